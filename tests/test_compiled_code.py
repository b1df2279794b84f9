"""The code that the fused engine compiles is kept on disk, for other processes and safely beside them."""

import os
import pathlib
import subprocess
import sys

import pytest

PROCESS = """
import numpy as np, ntkit as nk, time
net = nk.Conv(3, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
begin = time.perf_counter()
k = nk.ntk(net, np.random.default_rng(0).normal(size=(3, 4, 4, 2)), engine="fused")
print(time.perf_counter() - begin, k.sum())
"""


def start(cache: pathlib.Path) -> subprocess.Popen:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROCESS], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_processes_that_compile_at_the_same_time(tmp_path: pathlib.Path):
    together = [start(tmp_path) for _ in range(4)]
    said = [p.communicate(timeout=600)[0].split() for p in together]
    assert all(p.returncode == 0 for p in together)
    last = start(tmp_path)
    said.append(last.communicate(timeout=600)[0].split())
    assert last.returncode == 0
    assert len({kernel for _, kernel in said}) == 1
    assert float(said[-1][0]) < min(float(seconds) for seconds, _ in said[:-1]) / 3
