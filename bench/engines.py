"""The fused engine beside neural-tangents 0.6.5: the same kernels of the same data in turns, seconds an entry.

`python bench/engines.py` runs all rows, `python bench/engines.py gap21 myrtle5` some; each writes a file of its own.
neural-tangents comes in a virtual environment of its own, `.nt-venv`, made when it is first asked for.
"""

import argparse
import dataclasses
import statistics
import time

import numpy as np

import ntkit as nk
import record
from neural_tangents.environment import NeuralTangents


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        net: The network.
        shape: Of an example.
        required: How many times faster than neural-tangents.
        theirs: Rows and columns that neural-tangents computes in a call; more are slower an entry, or no faster.
        ours: Rows and columns of a call of ntkit.
        dtype: Of the data and the kernels.
        calls: How many follow one another in a turn of either side, of which the median counts: short calls with large
            results depend on whether the machine has given memory back meanwhile.
    """

    net: nk.Layer
    shape: tuple[int, ...]
    required: float
    theirs: tuple[int, int]
    ours: tuple[int, int]
    dtype: str = "float32"
    calls: int = 1


def _stack(end: nk.Layer) -> nk.Layer:
    """21 layers of weights."""
    stage = nk.Conv(64, 3, w_std=2**0.5) >> nk.Relu()
    return nk.Serial((*stage.layers * 20, end, nk.Dense(1)))


def _dense() -> nk.Layer:
    hidden = nk.Dense(512, w_std=2**0.5) >> nk.Relu()
    return nk.Serial((*hidden.layers * 3, nk.Dense(1)))


IMAGE = (32, 32, 3)
ROWS = {
    "gap21": Row(_stack(nk.GlobalAvgPool()), IMAGE, 250, (2, 1), (16, 64)),
    "gap21_float64": Row(_stack(nk.GlobalAvgPool()), IMAGE, 60, (1, 1), (8, 32), "float64"),
    "flatten21": Row(_stack(nk.Flatten()), IMAGE, 30, (20, 20), (512, 512)),
    "myrtle5": Row(nk.zoo.myrtle5(), IMAGE, 100, (3, 3), (64, 64)),
    "wideresnet": Row(nk.zoo.resnet(blocks=4), IMAGE, 150, (2, 1), (32, 64)),
    "dense_784": Row(_dense(), (784,), 5, (4000, 4000), (4000, 4000), calls=5),
    "dense_20": Row(_dense(), (20,), 12, (4000, 4000), (4000, 4000), calls=5),
}


def compare(name: str, row: Row, nt: NeuralTangents, rounds: int) -> None:
    """Measure a row and write it."""
    generator, spec = np.random.default_rng(0), nk.to_spec(row.net)
    theirs, ours, first, apart = [], [], {}, 0.0
    for turn in range(rounds + 1):
        x1, x2 = (generator.standard_normal((n, *row.shape)).astype(row.dtype) for n in row.ours)
        a, b = x1[: row.theirs[0]], x2[: row.theirs[1]]
        answer = nt.kernel(name, spec, a, b, row.calls)
        seconds = []
        for _ in range(row.calls):
            found = None  # so that its memory is free
            begin = time.perf_counter()
            found = nk.kernel(row.net, x1, x2, engine="fused")
            seconds.append(time.perf_counter() - begin)
        for k in ("nngp", "ntk"):
            part, other = getattr(found, k)[: len(a), : len(b)], answer[k]
            apart = max(apart, float(np.max(np.abs(part - other)) / np.max(np.abs(other))))
        if turn == 0:
            first = {"neural_tangents": round(answer["seconds"][0], 2), "ntkit": round(seconds[0], 2)}
            continue
        theirs.append(statistics.median(answer["seconds"]) / np.prod(row.theirs))
        ours.append(statistics.median(seconds) / np.prod(row.ours))
        print(f"{name}: {1e3 * theirs[-1]:.4g} ms against {1e3 * ours[-1]:.4g} ms an entry", flush=True)
    ratio = float(statistics.median(theirs) / statistics.median(ours))
    record.write(
        f"engines_{name}",
        {
            "required": f"at least {row.required:g} times as fast as neural-tangents 0.6.5",
            "reached": round(ratio, 1),
            "holds": bool(ratio >= row.required),
            "ntkit_ms_an_entry": round(1e3 * statistics.median(ours), 6),
            "neural_tangents_ms_an_entry": round(1e3 * statistics.median(theirs), 6),
            "ratios_of_rounds": [round(t / o, 1) for t, o in zip(theirs, ours, strict=True)],
            "largest_difference_of_the_kernels": apart,
            "calls_of_a_turn": row.calls,
            "entries_of_a_call": {"neural_tangents": row.theirs, "ntkit": row.ours},
            "first_call_s": first,
            "dtype": row.dtype,
        },
    )


def main(names: list[str], rounds: int) -> None:
    """The rows that are asked for, in one process of neural-tangents."""
    unknown = set(names) - set(ROWS)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    with NeuralTangents() as nt:
        for name in names or ROWS:
            compare(name, ROWS[name], nt, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"which of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="calls in turns (default: 5)")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.rounds)
