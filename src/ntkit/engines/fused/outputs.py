"""Kernels from what the last stage has summed over pairs of pixels, through the weights that are left."""

import dataclasses

import numpy as np
from numba import njit

from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.program import Program, pool_matrices, weight_of_sum
from ntkit.engines.fused.vector import OPTIONS
from ntkit.tape import Mix


def variance_sums(program: Program, fields: Fields) -> np.ndarray:
    """(n,), by which the gap behind the last stage is 2·covariance short: a weighted sum of variances."""
    stage = program.stages[-1]
    q = fields.variances[stage.last]
    weight = 1 / q[0].size
    if isinstance(stage.end, Mix):
        # (A q)(x) and (A q)(x') stand beside the row sums of A.
        a, b = pool_matrices(stage.end)
        weight = float(a[0, 0] * b[0, 0] * a.sum() * b.sum())
    return weight * q.reshape(len(q), -1).sum(axis=1)


def head_table(program: Program) -> np.ndarray:
    """(layers + 1, 4): the weight of the sums, then of each layer behind the last stage its numbers."""
    first = weight_of_sum(program.stages[-1]), 0.0, 0.0, 0.0
    rest = [(s.scale, s.shift, s.weight_rate, s.bias_rate) for s in program.head]
    return np.array([first, *rest])


@dataclasses.dataclass(frozen=True)
class Result:
    """Where the kernels of some rows and columns go, and what they take beside the sums.

    Attributes:
        nngp: (n1, n2).
        ntk: (n1, n2), or (1, 1) where it is not wanted.
        row: Where the rows begin.
        column: Where the columns begin.
        variances1: `variance_sums` of the rows.
        variances2: Those of the columns.
        head: `head_table`.
        finite: (1,), whether all that was written so far is finite.
    """

    nngp: np.ndarray
    ntk: np.ndarray
    row: int
    column: int
    variances1: np.ndarray
    variances2: np.ndarray
    head: np.ndarray
    finite: np.ndarray

    def at(self, part: slice) -> "Result":
        """Of some of the rows."""
        finite = np.ones(1, np.bool_)
        rows = {"row": self.row + part.start, "variances1": self.variances1[part], "finite": finite}
        return dataclasses.replace(self, **rows)

    def arguments(self) -> tuple:
        """As `conclude` takes them."""
        return self.head, self.variances1, self.variances2, self.nngp, self.ntk, self.row, self.column

    def for_stage(self, dtype: np.dtype, lanes: int) -> tuple[np.ndarray, tuple]:
        """As `run_stage` takes them."""
        count = len(self.variances2)
        columns = np.zeros(lanes, dtype)
        columns[:count] = self.variances2
        where = self.nngp, self.ntk, self.row, self.column, count, self.finite
        return self.variances1.astype(dtype), (*where, columns, self.head.astype(dtype))


def nowhere(dtype: np.dtype) -> Result:
    """In place of a result, of the same types."""
    one, none = np.zeros((1, 1), dtype), np.zeros(0)
    return Result(one, one, 0, 0, none, none, np.zeros((1, 4)), np.ones(1, np.bool_))


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"}, **OPTIONS)
def conclude(sums, head, variances1, variances2, nngp, ntk, row, column, tangent):
    """Write the kernels of some rows and columns, the first ones at (row, column); whether all of them are finite.

    Args:
        sums: (2, rows, lanes), gaps and tangent kernels summed over pairs of pixels; they are overwritten.
        head: `head_table`.
        variances1: `variance_sums` of the rows.
        variances2: Those of the columns.
        nngp: (n1, n2), the result.
        ntk: The result, or (1, 1) where it is not wanted.
        row: Where the rows begin.
        column: Where the columns begin.
        tangent: Whether it is.
    """
    count, total = len(variances2), 0.0
    weight = head[0, 0]
    for i in range(len(variances1)):
        k, t, own = sums[0, i], sums[1, i], variances1[i]
        for j in range(count):
            k[j] = 0.5 * (own + variances2[j] - weight * k[j])
            t[j] = weight * t[j]
        for step in range(1, head.shape[0]):
            scale, shift, weight_rate, bias_rate = head[step]
            for j in range(count):
                t[j] = scale * t[j] + (weight_rate * k[j] + bias_rate)
                k[j] = scale * k[j] + shift
        to_k = nngp[row + i, column : column + count]
        for j in range(count):
            to_k[j] = k[j]
            total += to_k[j] * 0
        if tangent:
            to_t = ntk[row + i, column : column + count]
            for j in range(count):
                to_t[j] = t[j]
                total += to_t[j] * 0
    return total == 0


@njit(cache=True, **OPTIONS)
def mirror(k):
    """Fill what lies below the diagonal of a square matrix, block by block."""
    n, side = len(k), 64
    for top in range(0, n, side):
        for left in range(0, top + 1, side):
            for i in range(top, min(top + side, n)):
                for j in range(left, min(left + side, i)):
                    k[i, j] = k[j, i]
