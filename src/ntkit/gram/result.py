"""Where tiles go: arrays in memory, or those of a folder that keeps which tiles are finished."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from ntkit.gram.plan import Plan, Tile
from ntkit.gram.room import check_memory

Arrays = dict[str, np.ndarray]


class Result(Protocol):
    """What takes tiles."""

    arrays: Arrays
    finished: set[int]

    def put(self, tile: Tile, values: Arrays) -> None:
        """Write a tile, of several threads at a time no two the same."""
        ...

    def close(self) -> None:
        """All that was put stays."""
        ...


class Memory:
    """Arrays in memory, not a number where no tile has been put."""

    def __init__(self, plan: Plan, names: Iterable[str], dtype: np.dtype):
        """Allocate.

        Raises:
            InputError: There is not enough memory.
        """
        shape, names = (plan.rows, plan.columns), list(names)
        check_memory(len(names) * plan.rows * plan.columns * dtype.itemsize)
        self.plan = plan
        self.arrays: Arrays = {name: np.full(shape, np.nan, dtype) for name in names}
        self.finished: set[int] = set()

    def put(self, tile: Tile, values: Arrays) -> None:
        """Write a tile."""
        for name, part in values.items():
            write(self.arrays[name], tile, part, self.plan.symmetric)
        self.finished.add(tile.number)

    def close(self) -> None:
        """Nothing is left to do."""


_BLOCK = 256  # rows and columns that are transposed at a time: both sides of them stay in the cache


def write(array: np.ndarray, tile: Tile, values: np.ndarray, symmetric: bool) -> None:
    """A tile in its place, and of a symmetric matrix its mirror image."""
    array[tile.rows, tile.columns] = values
    if not symmetric or tile.own:
        return
    height, width = values.shape
    for i in range(0, height, _BLOCK):
        for j in range(0, width, _BLOCK):
            part = values[i : i + _BLOCK, j : j + _BLOCK].T
            top, left = tile.columns.start + j, tile.rows.start + i
            array[top : top + part.shape[0], left : left + part.shape[1]] = part
