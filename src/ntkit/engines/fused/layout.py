"""How arrays lie: pairs of pixels displacement after displacement, column images side by side, pools as sparse matrices."""

import numpy as np
from numpy.typing import NDArray

from ntkit.engines.fused import code
from ntkit.engines.fused.program import Grid, Stage, pool_matrices
from ntkit.engines.fused.vector import BYTES


def starts_of(displacements: np.ndarray, grid: Grid, wrap: bool) -> tuple[NDArray[np.int64], int]:
    """Where each displacement's pairs begin, −1 for those that are not stored, and how many pairs there are in all.

    The table has the displacement (dy, dx) at [dy + height − 1, dx + width − 1], and at [dy, dx] where it wraps.
    """
    height, width = grid
    starts = np.full((2 * height - 1, 2 * width - 1), -1, np.int64)
    count = 0
    for dy, dx in displacements:
        if wrap:
            starts[dy, dx], more = count, height * width
        else:
            starts[dy + height - 1, dx + width - 1] = count
            more = (height - abs(dy)) * (width - abs(dx))
        count += int(more)
    return starts, count


def read_displacements(stage: Stage, own: bool) -> np.ndarray:
    """The displacements of its first grid that a stage reads."""
    return (stage.own if own else stage.displacements) * stage.code[0, code.STEP_IN : code.STEP_IN + 2]


def sparse_pool(stage: Stage, dtype: np.dtype) -> tuple[tuple, tuple]:
    """The matrices of the pool behind a stage, of every row (column) its windows and weights."""
    return tuple(_sparse(matrix, dtype) for matrix in pool_matrices(stage.end))  # type: ignore[return-value, arg-type]


def _sparse(matrix: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels, windows = np.nonzero(matrix.T)
    begins = np.searchsorted(pixels, np.arange(matrix.shape[1] + 1))
    return begins.astype(np.int64), windows.astype(np.int64), matrix[windows, pixels].astype(dtype)


def whole_vectors(lanes: int, dtype: np.dtype, vectors: int = 1) -> int:
    """The next number of lanes that is a whole number of vectors, or of so many of them."""
    width = vectors * BYTES // dtype.itemsize
    return -(-lanes // width) * width


def filled(columns: np.ndarray, lanes: int) -> np.ndarray:
    """(k, n) with the last column repeated up to `lanes`."""
    return np.concatenate([columns, np.repeat(columns[:, -1:], lanes - columns.shape[1], axis=1)], axis=1)


def laned(x: np.ndarray, lanes: int, wrap: bool) -> np.ndarray:
    """(height, width, channels, lanes)."""
    if wrap:
        x = np.concatenate([x, x], axis=2)
    flat = filled(x.reshape(len(x), -1).T, lanes)
    return np.ascontiguousarray(flat).reshape(*x.shape[1:], lanes)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros that begin with a cache line: a vector register that straddles two costs twice as much to load."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 63, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)
