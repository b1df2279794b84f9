"""The reference engine on a GPU or TPU: seconds an entry of convolutional kernels, and how far they are from the CPU's.

Runs on JAX's default device, and compares with the CPU of the same machine.
"""

import argparse
import statistics
import time

import jax
import numpy as np

import ntkit as nk
import record
from engines import ROWS

# Rows and columns of a timed call, and of the comparison with the CPU in float64.
SIZES = {
    "gap21": (24, 3),
    "flatten21": (512, 8),
    "myrtle5": (32, 3),
    "wideresnet": (24, 2),
    "dense_784": (8192, 256),
}
WITHIN = {"float32": 2e-5, "float64": 1e-11}  # of the largest entry


def kernel(net: nk.Layer, x1: np.ndarray, x2: np.ndarray, memory: int) -> nk.KernelPair:
    """Both kernels by the reference engine."""
    return nk.kernel(net, x1, x2, engine="reference", memory=memory)


def figures_of(name: str, memory: int, rounds: int) -> dict:
    """Time and distance of one network."""
    row = ROWS[name]
    images, compared = SIZES[name]
    x1, x2 = np.random.default_rng(0).standard_normal((2, images, *row.shape))
    with jax.default_device(jax.devices("cpu")[0]):
        expected = kernel(row.net, x1[:compared], x2[:compared], memory)
    found = {}
    for dtype, limit in WITHIN.items():
        a, b = x1.astype(dtype), x2.astype(dtype)
        part = kernel(row.net, a[:compared], b[:compared], memory)
        apart = max(
            float(np.max(np.abs(p - e)) / np.max(np.abs(e))) for p, e in zip(part, expected, strict=True)
        )
        seconds = []
        for _ in range(rounds + 1):  # the first compiles
            begin = time.perf_counter()
            kernel(row.net, a, b, memory)
            seconds.append(time.perf_counter() - begin)
        found[dtype] = {
            "ms_an_entry": float(f"{1e3 * statistics.median(seconds[1:]) / images**2:.4g}"),
            "first_call_s": round(seconds[0], 2),
            "from_the_cpu_in_float64": apart,
            "holds": apart <= limit,
        }
        print(name, dtype, found[dtype], flush=True)
    return {**found, "entries_of_a_call": [images, images]}


def main(names: list[str], memory: float, rounds: int) -> None:
    """All networks, one file."""
    if jax.default_backend() == "cpu":
        print("JAX sees no accelerator: nothing to measure")
        return
    figures = {name: figures_of(name, int(memory * 2**30), rounds) for name in names or SIZES}
    record.write(
        "accelerator",
        {
            "required": f"within {WITHIN} of the largest entry from the CPU; the time is recorded",
            "memory_gib": memory,
            **figures,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help=f"which of {', '.join(SIZES)} (default: all)")
    parser.add_argument("--memory", type=float, default=16, help="GiB of working arrays (default: 16)")
    parser.add_argument("--rounds", type=int, default=5, help="timed calls (default: 5)")
    arguments = parser.parse_args()
    main(arguments.networks, arguments.memory, arguments.rounds)
