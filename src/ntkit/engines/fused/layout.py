"""How pairs of pixels are stored between stages: displacement after displacement, row by row."""

import numpy as np
from numpy.typing import NDArray

from ntkit.engines.fused.program import Grid, Stage, pool_matrices


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
    from ntkit.engines.fused import code

    return (stage.own if own else stage.displacements) * stage.code[0, code.STEP_IN : code.STEP_IN + 2]


def sparse_pool(stage: Stage, dtype: np.dtype) -> tuple[tuple, tuple]:
    """The matrices of the pool behind a stage, of every row (column) its windows and weights."""
    return tuple(_sparse(matrix, dtype) for matrix in pool_matrices(stage.end))  # type: ignore[return-value, arg-type]


def _sparse(matrix: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels, windows = np.nonzero(matrix.T)
    begins = np.searchsorted(pixels, np.arange(matrix.shape[1] + 1))
    return begins.astype(np.int64), windows.astype(np.int64), matrix[windows, pixels].astype(dtype)
