"""The fused engine on vectors: differences of short ones, products of long ones, each right for rows of every kind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ntkit as nk
from ntkit.engines.fused import blas, products, tile
from ntkit.errors import InputError

HIDDEN = nk.Dense(8, w_std=1.3, b_std=0.3, w_lr=0.7, b_lr=1.2) >> nk.Relu() >> nk.Dense(8) >> nk.Abs()
NET = HIDDEN >> nk.Dense(1)
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-11}


def close(found: nk.KernelPair, x1: np.ndarray, x2: np.ndarray | None, dtype: type) -> None:
    """Within the tolerance of the reference engine in double precision, relative to the diagonals."""
    expected = nk.kernel(NET, x1, x2, engine="reference", dtype=np.float64)
    own = [nk.kernels.diagonal(NET, x, dtype=np.float64) for x in (x1, x1 if x2 is None else x2)]
    for k, e, a, b in zip(found, expected, *own, strict=True):
        assert k.dtype == dtype
        off = np.max(np.abs(k - e) / np.sqrt(np.outer(a, b)))
        assert off <= TOLERANCE[dtype], off


def rows(n: int, channels: int, kind: str, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, channels))
    if kind == "near":
        x = x[:1] + 1e-3 * x
    elif kind == "off centre":
        x = 100 + x
    elif kind == "sizes":
        x *= 10.0 ** generator.uniform(-2, 2, size=(n, 1))
    elif kind == "special" and n > 3:
        x[1], x[2], x[3] = x[0], -x[0], 0.0
    return x


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: d.__name__)
@pytest.mark.parametrize("kind", ["plain", "near", "off centre", "sizes", "special"])
@pytest.mark.parametrize("channels", [5, products.LONG - 1, products.LONG, 131])
@pytest.mark.every(7)
def test_rows_of_every_kind(channels: int, kind: str, dtype: type):
    x1, x2 = rows(70, channels, kind).astype(dtype), rows(45, channels, kind, 1).astype(dtype)
    close(nk.kernel(NET, x1, engine="fused"), x1, None, dtype)
    close(nk.kernel(NET, x1, x2, engine="fused"), x1, x2, dtype)


def test_norms_that_are_too_far_apart():
    x = rows(9, 5, "plain")
    x[0] *= 1e7
    with pytest.raises(InputError, match=r"no instruction for examples whose norms are .* times apart"):
        nk.kernel(NET, x, engine="fused")
    x[0] = 0
    close(nk.kernel(NET, x, engine="fused"), x, None, np.float64)


@pytest.mark.parametrize("n", [1, 2, tile.VECTORS - 1, tile.VECTORS + 1])
@pytest.mark.every(3)
def test_numbers_of_columns(n: int):
    x1, x2 = rows(3, products.LONG, "plain"), rows(n, products.LONG, "plain", 1)
    close(nk.kernel(NET, x1, x2, engine="fused"), x1, x2, np.float64)
    close(nk.kernel(NET, x2, x1, engine="fused"), x2, x1, np.float64)


def test_a_row_with_itself_is_exact():
    x = rows(9, products.LONG, "off centre")
    k = nk.kernel(NET, np.concatenate([x, x]), engine="fused").ntk
    np.testing.assert_array_equal(k[:9, :9], k[9:, :9])


def blas_threads() -> int:
    """Of NumPy's library, as a new thread sees it, as those of the engine are."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: blas._library().num_threads).result()


def test_threads_of_blas_come_back():
    before = blas_threads()

    def stay(inside: threading.Event, leave: threading.Event) -> None:
        with blas.one_blas_thread():
            inside.set()
            leave.wait(60)

    for first in (0, 1):  # who leaves first
        events = [(threading.Event(), threading.Event()) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(stay, *pair) for pair in events]
            assert all(inside.wait(60) for inside, _ in events)
            assert blas_threads() == 1
            for k in (first, 1 - first):
                events[k][1].set()
                jobs[k].result()
                assert blas_threads() == (1 if k == first else before)


def test_threads_of_blas_come_back_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), blas.one_blas_thread():
        _ = 1 / 0
    assert blas_threads() == before


def test_without_a_library_whose_threads_can_be_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blas, "_library", lambda: None)
    x = rows(5, products.LONG, "plain")
    close(nk.kernel(NET, x, engine="fused"), x, None, np.float64)
