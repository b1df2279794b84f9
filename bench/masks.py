"""Sequences of different lengths in one batch against each cropped by itself, for every layer that takes them."""

import pathlib
import sys

import numpy as np

import record

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

import ntkit as nk
from test_sequences import NETWORKS, sequences

BOUND = 1e-12


def error_of(net: nk.Layer) -> float:
    """The largest difference of an entry, over the kernel's largest."""
    rows = sequences()
    ours, worst = nk.kernel(net, nk.Sequences(rows)), 0.0
    for i in range(len(rows)):
        for j in range(len(rows)):
            # One row alone is an array: nothing is padded, and it is the same example on both sides.
            one, two = nk.Sequences(rows[i : i + 1]), nk.Sequences(rows[j : j + 1])
            cropped = nk.kernel(net, rows[i][None]) if i == j else nk.kernel(net, one, two)
            for k, exact in zip(ours, cropped, strict=True):
                worst = max(worst, float(abs(k[i, j] - exact[0, 0]) / np.abs(k).max()))
    return worst


def main() -> None:
    errors = {name: error_of(net) for name, net in NETWORKS.items()}
    worst = max(errors.values())
    record.write(
        "masks",
        {
            "required": f"masked = cropped for every layer that takes masks: at most {BOUND}, float64",
            "reached": worst,
            "holds": worst <= BOUND,
            "of_networks": errors,
        },
    )


if __name__ == "__main__":
    main()
