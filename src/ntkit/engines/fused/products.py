"""The gaps of long vectors by products of matrices, repaired where that loses their digits."""

import dataclasses

import numpy as np
from numba import njit

from ntkit.engines.fused.functions import fast
from ntkit.engines.fused.vector import BYTES, OPTIONS, fill, lesser, load, store, take

LONG = 48  # channels from which a product of matrices and its repair cost less than differences

# The part of |x|² + |x'|² below which a gap is computed again by differences: above it, rounding moves an angle by
# some units of the last place.
_NEAR = {"float32": 1 / 8, "float64": 1e-4}
_COMMON = 0.05  # the mean is taken off where its square is more than this part of the squares


@dataclasses.dataclass(frozen=True)
class Products:
    """Two batches of vectors, and where their inner products go.

    What all vectors have in common costs digits of their gaps, and is taken off before they are multiplied.

    Attributes:
        x1: (n1, channels).
        x2: (n2, channels).
        centered1: The same, less the mean, unless that is small.
        centered2: The same.
        norms1: (n1,), the squared norms of these.
        norms2: (n2,).
        inner: (n1, n2), work space.
    """

    x1: np.ndarray
    x2: np.ndarray
    centered1: np.ndarray
    centered2: np.ndarray
    norms1: np.ndarray
    norms2: np.ndarray
    inner: np.ndarray

    @classmethod
    def of(cls, x1: np.ndarray, x2: np.ndarray | None, inner: np.ndarray) -> "Products":
        """Of `x1` with itself where `x2` is None."""
        batches = [np.require(x, x1.dtype, ["C", "A", "W"]) for x in (x1, x2) if x is not None]
        mean = batches[0].mean(axis=0, dtype=np.float64).astype(x1.dtype)
        norms = [np.einsum("nc,nc->n", x, x) for x in batches]
        centered = batches
        if mean @ mean > _COMMON * norms[0].mean():
            centered = [x - mean for x in batches]
            norms = [np.einsum("nc,nc->n", x, x) for x in centered]
        return cls(batches[0], batches[-1], centered[0], centered[-1], norms[0], norms[-1], inner)

    def multiply(self, rows: slice, columns: slice) -> None:
        """Fill this part of `inner`."""
        np.matmul(self.centered1[rows], self.centered2[columns].T, out=self.inner[rows, columns])

    def gaps(self, row: int, column: int, out: np.ndarray) -> None:
        """Write those that have been multiplied from (row, column) on to `out`, (rows, 1, lanes)."""
        near = out.dtype.type(_NEAR[out.dtype.name])
        _gaps(self.inner, row, column, self.norms1, self.norms2, self.x1, self.x2, near, out)


@njit(cache=True, **OPTIONS)
def _gaps(inner, row, column, norms1, norms2, x1, x2, near, out):
    """Lanes beyond the last column are zero."""
    share = out.dtype.type(1) / out.dtype.type(x1.shape[1])
    count = min(out.shape[2], len(norms2) - column)
    for i in range(out.shape[0]):
        to, own = out[i, 0], norms1[row + i]
        if _gaps_of_row(inner[row + i], own, norms2, column, count, near, to) < 0:
            _repair(to, near, own, norms2, column, count, x1[row + i], x2)
        for j in range(0, out.shape[2], BYTES // out.itemsize):
            store(to, j, load(to, j) * share)


@fast
def _gaps_of_row(products, own, norms2, column, count, near, to):
    """|x|² + |x'|² − 2 x·x', and a number below zero where one of them is near."""
    width, two, zero = BYTES // to.itemsize, to.dtype.type(2), to.dtype.type(0)
    least, whole = fill(zero), count // width * width
    for j in range(0, whole, width):
        total = load(norms2, column + j) + own
        gap = total - load(products, column + j) * two
        least = lesser(least, gap - total * near)
        store(to, j, gap)
    smallest = zero
    for j in range(whole, count):
        total = norms2[column + j] + own
        to[j] = total - two * products[column + j]
        smallest = min(smallest, to[j] - near * total)
    for j in range(count, len(to)):
        to[j] = zero
    for j in range(width):
        smallest = min(smallest, take(least, j))
    return smallest


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"}, **OPTIONS)
def _repair(to, near, own, norms2, column, count, x, x2):
    """Sum the squared differences of a row with the columns that are near it."""
    for j in range(count):
        if to[j] < near * (own + norms2[column + j]):
            other, total = x2[column + j], to.dtype.type(0)
            for c in range(len(x)):
                total += (x[c] - other[c]) * (x[c] - other[c])
            to[j] = total
