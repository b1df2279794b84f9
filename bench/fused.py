"""The fused engine by itself: accuracy, time to compile, how far from the arithmetic of the machine, how time grows."""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import ntkit as nk
import record
from ntkit.engines.fused import approximations
from ntkit.engines.fused.functions import fast, relu
from ntkit.engines.fused.vector import fill, load, store

DEPTH = 20


def network(depth: int = DEPTH, end: nk.Layer | None = None) -> nk.Layer:
    """3×3 convolutions with ReLU, a mean over positions, a readout."""
    stage = nk.Conv(64, 3, w_std=2**0.5) >> nk.Relu()
    return nk.Serial((*stage.layers * depth, end or nk.GlobalAvgPool(), nk.Dense(1)))


def accuracy() -> dict:
    """Single precision against the reference engine in double precision, among the images near-duplicates."""
    x = np.random.default_rng(0).standard_normal((6, 32, 32, 3))
    x[4] = x[0] + 1e-3 * x[5]
    x[5] = x[1] + 1e-5 * x[5]
    exact = nk.kernel(network(), x, engine="reference")
    found = nk.kernel(network(), x.astype(np.float32), engine="fused")
    worst = 0.0
    for a, b in zip(found, exact, strict=True):
        own = np.sqrt(np.diagonal(b))
        worst = max(worst, float(np.max(np.abs(a - b) / np.outer(own, own))))
    return {"required": "at most 2e-06 of the diagonal", "reached": worst, "holds": worst <= 2e-6}


FIRST_CALL = """
import time, json
import numpy as np
import ntkit as nk
stage = nk.Conv(64, 3, w_std=2**0.5) >> nk.Relu()
net = nk.Serial((*stage.layers * 20, nk.GlobalAvgPool(), nk.Dense(1)))
x = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
begin = time.perf_counter()
nk.kernel(net, x, engine="fused")
print(json.dumps(time.perf_counter() - begin))
"""


def compile_time() -> dict:
    """The first call in a fresh process, nothing compiled before, and in another one behind it."""
    with tempfile.TemporaryDirectory() as place:
        seconds = []
        for _ in range(2):
            command = [sys.executable, "-c", FIRST_CALL]
            environment = {**os.environ, "NUMBA_CACHE_DIR": place}
            run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds.append(json.loads(run.stdout))
    cold, warm = seconds
    return {
        "required": "at most 20 s, and 1 s once compiled",
        "reached": [round(cold, 2), round(warm, 2)],
        "holds": cold <= 20 and warm <= 1,
    }


@fast
def _duals(d, out, fields, g, repeat):
    n = len(d)
    for _ in range(repeat):
        for i in range(0, n, 16):
            one, two = (fill(fields[0]), fill(fields[1])), (load(d, i), load(d, i))
            behind, slope, _ = relu(load(d, i), one, two, fields, g)
            store(out, i, behind + slope)


@fast
def _sums(d, out, repeat):
    n = len(d)
    for _ in range(repeat):
        for i in range(0, n, 16):
            store(out, i, load(d, i) + load(out, i))


def roofline() -> dict:
    """Nanoseconds of one core for a pair of pixels and a layer, beside what the dual alone takes in the L1 cache."""
    g = approximations.coefficients("float32")
    fields = np.array([0.9, 0.8, 0, 0], np.float32)

    def per_element(run, *arguments) -> float:
        d, out = np.full(512, 0.5, np.float32), np.zeros(512, np.float32)
        run(d, out, *arguments, 1)
        best = math.inf
        for _ in range(5):
            begin = time.perf_counter()
            run(d, out, *arguments, 20_000)
            best = min(best, time.perf_counter() - begin)
        return 1e9 * best / (20_000 * len(d))

    dual, addition = per_element(_duals, fields, g), per_element(_sums)
    pairs = 32**4 * DEPTH
    found = {}
    for threads in (1, os.cpu_count() or 1):
        found[threads] = _seconds(network(), (8, 32), (32, 32, 3), threads) / pairs * 1e9
    return {
        "what": "ns a pair of pixels and a layer; `dual` is the ReLU alone, `addition` one of the eight of a 3x3 window",
        "one_thread": round(found[1], 3),
        "all_threads": round(found[os.cpu_count() or 1], 3),
        "dual_in_l1": round(dual, 3),
        "addition_in_l1": round(addition, 3),
        "share_of_the_limit": round((dual + 8 * addition / 3) / found[1], 2),
    }


def _seconds(
    net: nk.Layer, sizes: tuple[int, int], shape: tuple[int, ...], threads: int | None = None
) -> float:
    """Of an entry, the median of three."""
    generator = np.random.default_rng(0)
    x1, x2 = (generator.standard_normal((n, *shape)).astype(np.float32) for n in sizes)
    nk.kernel(net, x1[:1], x2[:1], engine="fused")
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        nk.kernel(net, x1, x2, engine="fused", threads=threads)
        times.append((time.perf_counter() - begin) / (sizes[0] * sizes[1]))
    return statistics.median(times)


def growth() -> dict:
    """Milliseconds of an entry by images, by pixels, by depth, and the exponents between first and last."""
    images = {n: _seconds(network(5), (n, n), (16, 16, 3)) for n in (8, 32, 128)}
    pixels = {side**2: _seconds(network(10), (16, 32), (side, side, 3)) for side in (8, 16, 32)}
    depths = {depth: _seconds(network(depth), (16, 32), (16, 16, 3)) for depth in (5, 10, 20)}
    result: dict = {"what": "ms an entry, 3x3 convolutions, global average pooling"}
    for name, times in (("images", images), ("pixels", pixels), ("depth", depths)):
        (a, first), *_, (b, last) = times.items()
        result[name] = {str(size): round(1e3 * seconds, 4) for size, seconds in times.items()}
        result[f"exponent_of_{name}"] = round(math.log(last / first) / math.log(b / a), 2)
    return result


def main() -> None:
    """All of it."""
    for name, measure in (
        ("accuracy", accuracy),
        ("compile_time", compile_time),
        ("roofline", roofline),
        ("growth", growth),
    ):
        record.write(f"fused_{name}", measure())


if __name__ == "__main__":
    main()
