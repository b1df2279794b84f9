"""Predictions for test sets of any size: the kernel of some test points at a time, never all of it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ntkit.errors import InputError
from ntkit.kernel_fn import KernelFn
from ntkit.pair import KernelPair

MEMORY = 2**28  # bytes of the two kernels of a tile


def kernel_tiles(
    kernel: KernelFn | KernelPair, x_test: Any, x_train: Any = None, *, rows: int | None = None
) -> Iterator[tuple[slice, KernelPair]]:
    """The kernels of the test points with the training points, some rows after another.

    Args:
        kernel: of the network, `nk.kernel_fn(net)`, or a pair of arrays (m, n) that may lie in files, such as those of
            `nk.gram.load`.
        x_test: (m, …) test points; with a pair of arrays, None.
        x_train: (n, …) training points; with a pair of arrays, None.
        rows: test points of a tile; None for as many as take a quarter of a GiB.

    Yields:
        Which rows, and their kernels (rows, n).

    Raises:
        InputError: `rows` is less than 1, or points are given with arrays or not without them.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> k = nk.kernel_fn(nk.Dense(8) >> nk.Relu() >> nk.Dense(1))
        >>> [pair.ntk.shape for _, pair in nk.predict.kernel_tiles(k, np.eye(5), np.eye(5)[:2], rows=3)]
        [(3, 2), (2, 2)]
    """
    arrays = isinstance(kernel, tuple)
    if arrays == (x_train is not None):
        raise InputError(
            "give x_test and x_train with a kernel of a network, and neither with a pair of arrays."
        )
    m, n = kernel.ntk.shape if isinstance(kernel, tuple) else (len(x_test), len(x_train))
    size = max(1, MEMORY // (16 * max(n, 1))) if rows is None else rows
    if size < 1:
        raise InputError(f"rows is {rows}; expected at least 1.")
    return _tiles(kernel, x_test, x_train, m, size)


def _tiles(kernel: Any, x_test: Any, x_train: Any, m: int, size: int) -> Iterator[tuple[slice, KernelPair]]:
    for start in range(0, m, size):
        part = slice(start, min(start + size, m))
        if x_train is None:
            yield part, KernelPair(*(np.asarray(array[part]) for array in kernel))
        else:
            yield part, kernel(x_test[part], x_train)


def in_tiles(
    answer: Callable[[slice, KernelPair], np.ndarray],
    kernel: KernelFn | KernelPair,
    x_test: Any,
    x_train: Any = None,
    *,
    axis: int = 0,
    rows: int | None = None,
) -> np.ndarray:
    """Predictions for all test points, made for some at a time.

    Args:
        answer: (rows, pair) → predictions, from which test points and their kernels with the training points, such as
            `lambda rows, pair: curve.test(times, pair.ntk, f0_test[rows])`.
        kernel: as that of `kernel_tiles`.
        x_test: (m, …) test points; with a pair of arrays, None.
        x_train: (n, …) training points; with a pair of arrays, None.
        axis: of the test points in the predictions.
        rows: test points of a tile; None for as many as take a quarter of a GiB.

    Raises:
        InputError: as `kernel_tiles`, or there is no test point.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x, x_test = np.eye(3), np.random.default_rng(0).normal(size=(1000, 3))
        >>> k = nk.kernel_fn(nk.Dense(8) >> nk.Relu() >> nk.Dense(1))
        >>> curve = nk.predict.gradient_flow(k(x).ntk, [1.0, 2.0, 3.0])
        >>> nk.predict.in_tiles(lambda rows, pair: curve.test([1, 2], pair.ntk), k, x_test, x, axis=1).shape
        (2, 1000)
    """
    parts = [
        np.asarray(answer(part, pair)) for part, pair in kernel_tiles(kernel, x_test, x_train, rows=rows)
    ]
    if not parts:
        raise InputError("there is no test point.")
    return np.concatenate(parts, axis=axis)
