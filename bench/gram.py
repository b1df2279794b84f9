"""A large dense kernel into a folder: seconds and anonymous memory."""

import argparse
import pathlib
import tempfile
import threading
import time

import numpy as np

import ntkit as nk
import record

SECONDS, GIBIBYTES = 120.0, 4.0


def anonymous() -> float:
    """GiB of this process that no file stands behind."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


def main(n: int, place: str | None) -> None:
    """NTK alone, depth 3, d = 20, float32, symmetric."""
    hidden = nk.Dense(512, w_std=2**0.5) >> nk.Relu()
    net = nk.Serial((*hidden.layers * 3, nk.Dense(1)))
    x = np.random.default_rng(0).standard_normal((n, 20)).astype(np.float32)
    nk.ntk(net, x[:64], engine="fused")
    largest, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            largest[0] = max(largest[0], anonymous())

    watcher = threading.Thread(target=watch)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        watcher.start()
        begin = time.perf_counter()
        found = nk.gram.compute(
            nk.kernel_fn(net, engine="fused"), x, out=folder, kernels=["ntk"], progress=False
        )
        seconds = time.perf_counter() - begin
        stop.set()
        some = np.random.default_rng(1).integers(0, n, 50)
        exact = nk.ntk(net, x[some].astype(np.float64), engine="reference")
        error = float(np.max(np.abs(found.ntk[np.ix_(some, some)] - exact)) / np.max(exact))
        begin = time.perf_counter()
        nk.gram.compute(nk.kernel_fn(net, engine="fused"), x, out=folder, kernels=["ntk"], progress=False)
        again = time.perf_counter() - begin
    record.write(
        "gram",
        {
            "required": f"at most {SECONDS:.0f} s and {GIBIBYTES:.0f} GiB of anonymous memory",
            "reached": [round(seconds, 1), round(largest[0], 2)],
            "holds": seconds <= SECONDS and largest[0] <= GIBIBYTES,
            "rows": n,
            "gib_of_the_file": round(4 * n * n / 2**30, 2),
            "error_of_2500_entries": error,
            "finding_it_finished_s": round(again, 1),
            "what": "dense, depth 3, d = 20, symmetric, NTK alone, float32, into a memory-mapped file",
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument(
        "--place", help="where the folder of the matrix is made (default: that for temporary files)"
    )
    arguments = parser.parse_args()
    main(arguments.rows, arguments.place)
