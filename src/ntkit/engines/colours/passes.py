"""A pass: the fields of two blocks, one after another, from the data to the kernels of their outputs."""

import bisect
import dataclasses
import functools
import math

import numpy as np

from ntkit.engines.colours import chains
from ntkit.engines.colours.plan import Field, Plan
from ntkit.engines.colours.sides import Block, Known, Sparse, in_strips, known_data, known_sums
from ntkit.engines.colours.strips import ACROSS, LANES, lanes_of, own_terms, summed
from ntkit.engines.fused import approximations
from ntkit.engines.fused.layout import aligned
from ntkit.engines.fused.vector import BYTES
from ntkit.moments.products import products as data_products

DOUBLE = np.dtype(np.float64)
Kernels = tuple[np.ndarray, np.ndarray | None]
# Code and numbers; and whether there are polynomials in their place, and these.
Functions = tuple[tuple[np.ndarray, np.ndarray], tuple[bool, chains.Polynomials]]


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Gaps and tangent kernels between the colours of two blocks.

    Attributes:
        gap: (strips, rows, LANES).
        tangent: The same, or (1, 1, 1).
        lanes: Colours that lie side by side.
        upright: Whether rows are colours of the first block.
        read: Whether rows are sums already, of those that a readout sums.
    """

    gap: np.ndarray
    tangent: np.ndarray
    lanes: int
    upright: bool
    read: bool = False

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """As compiled code takes them."""
        return self.gap, self.tangent

    def turned(self) -> "Matrix":
        """The same with columns as rows."""
        gap, tangent = (in_strips(self.dense(x).T, x.dtype) for x in self.pair())
        return Matrix(gap, tangent, self.gap.shape[1], not self.upright)

    def dense(self, x: np.ndarray) -> np.ndarray:
        """One of both as (rows, lanes)."""
        return x.transpose(1, 0, 2).reshape(x.shape[1], -1)[:, : self.lanes]

    def between(self, x: np.ndarray, ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
        """One of both between some colours of the first block and of the second one, in double precision."""
        dense = self.dense(x) if self.upright else self.dense(x).T
        return dense[ones[:, None], twos].astype(DOUBLE)


class Space:
    """Arrays that are used again: pages fresh from the operating system cost as much as what is computed in them."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []  # by size
        self._taken: dict[int, np.ndarray] = {}

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of that shape."""
        count = math.prod(shape) * dtype.itemsize
        smallest = bisect.bisect_left(self._free, count, key=len)
        fits = smallest < len(self._free)
        raw = self._free.pop(smallest) if fits else aligned((count,), np.dtype(np.uint8))
        self._taken[raw.ctypes.data] = raw
        return raw[:count].view(dtype).reshape(shape)

    def give(self, array: np.ndarray) -> None:
        """Hand an array back, if it came from here."""
        raw = self._taken.pop(array.ctypes.data, None)
        if raw is not None:
            bisect.insort(self._free, raw, key=len)


class Passes:
    """What one thread needs to run passes of a plan.

    Args:
        plan: The network over the batches.
        dtype: Of the kernel, by which series are judged.
        tangent: Whether tangent kernels are wanted.
    """

    def __init__(self, plan: Plan, dtype: np.dtype, *, tangent: bool):
        self.plan, self.dtype, self.tangent = plan, dtype, tangent
        self.summed = summed(plan.functions)
        self.space = Space()
        self._functions: dict[tuple[int, np.dtype, bool], Functions] = {}
        self._spaces: dict[tuple[np.dtype, np.dtype], tuple[np.ndarray, ...]] = {}
        readers: list[list[int]] = [[] for _ in plan.fields]
        for k, field in enumerate(plan.fields):
            for source, _ in field.sources:
                readers[source].append(k)
        for term in plan.terms:
            readers[term.field].append(len(plan.fields))
        self.last_reader = [max(each) for each in readers]
        # Of fields of nodes the readout that reads them; its sums of rows are taken while the rows are in the cache.
        readouts = [
            (f.sources[0][0], k) for k, f in enumerate(plan.fields) if f.vectors and len(f.sources) == 1
        ]
        self.readout = {source: k for source, k in readouts if not plan.fields[source].vectors}
        # Of these, fields that nothing else reads: some rows after others, and none are kept.
        self.passing = {k for k in self.readout if len(readers[k]) == len(plan.fields[k].sources) == 1}

    def own(self, block: Block) -> Kernels:
        """A block with itself, in double precision, by which it becomes known."""
        return self._run(block, block, DOUBLE)

    def cross(self, a: Block, b: Block, dtype: np.dtype) -> Kernels:
        """Two blocks that are known."""
        return self._run(a, b, dtype)

    # What overflows is infinite in the result, and said there; and lanes that are not in use hold anything.
    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _run(self, a: Block, b: Block, dtype: np.dtype) -> Kernels:
        found: dict[int, Matrix] = {}
        read: dict[int, Matrix] = {}
        known = len(a.known) == len(self.plan.fields)
        for k, field in enumerate(self.plan.fields):
            sources = [found[source] for source, _ in field.sources]
            if not known:
                a.known.append(self._known(field, k, a, sources))
            if k in read:
                found[k] = self._sum(k, a, b, [read[k]], DOUBLE)
                self._free(read[k])
            elif sources:
                readout = self._readout(k, a, b, sources[0], dtype) if known and k in self.readout else None
                found[k] = self._sum(k, a, b, sources, DOUBLE if field.vectors else dtype, readout)
                if readout is not None:
                    read[self.readout[k]] = readout
            else:
                found[k] = self._data(k, a, b, dtype)
            for source in {source for source, _ in field.sources}:
                if self.last_reader[source] == k:
                    self._free(found.pop(source))
        return self._kernels(a, b, found)

    def _free(self, matrix: Matrix) -> None:
        self.space.give(matrix.gap)
        self.space.give(matrix.tangent)

    def _known(self, field: Field, k: int, block: Block, sources: list[Matrix]) -> Known:
        if not sources:
            return known_data(field, self.plan.values[block.cut.colours[k]], self.dtype)
        sums = []
        for (source, _), m, matrix in zip(field.sources, block.cut.maps[k], sources, strict=True):
            below = block.known[source]
            m = m.scaled(np.ones(len(m)), below.unit)
            own = np.empty(len(m))
            own_terms(m.begins, m.columns, m.weights, matrix.gap, own)
            sums.append((m, own, below))
        return known_sums(field, sums, self.dtype)

    def _data(self, k: int, a: Block, b: Block, dtype: np.dtype) -> Matrix:
        one, two = (self.plan.values[block.cut.colours[k]] / block.known[k].unit[:, None] for block in (a, b))
        _, gap, _, _ = data_products(one, two)
        found = in_strips(gap, dtype)
        return Matrix(found, np.zeros_like(found if self.tangent else found[:1, :1, :1]), len(two), True)

    def _readout(self, k: int, a: Block, b: Block, source: Matrix, dtype: np.dtype) -> Matrix:
        """Zeros, to which the rows of field k are added that its readout sums."""
        above, below = (a, b) if source.upright else (b, a)
        sums, lanes = len(below.cut.colours[self.readout[k]]), len(above.cut.colours[k])
        matrix = self._matrix(sums, lanes, dtype, upright=not source.upright)
        for x in matrix.pair():
            x[:] = 0
        return dataclasses.replace(matrix, read=True)

    def _sum(
        self,
        k: int,
        a: Block,
        b: Block,
        sources: list[Matrix],
        dtype: np.dtype,
        readout: Matrix | None = None,
    ) -> Matrix:
        """Σ S X Sᵀ, and the functions behind it; what were rows become lanes. Sums of rows go to `readout`."""
        upright = sources[0].upright
        sources = [m if m.upright == upright else m.turned() for m in sources]
        above, below = (a, b) if upright else (b, a)  # of what are rows now; of what will be
        lanes, rows = above.side(k, dtype), below.side(k, dtype)
        passing = readout is not None and k in self.passing
        size = (LANES, LANES) if passing else (rows.count, lanes.count)
        out = self._matrix(*size, dtype, upright=not upright)
        same = np.empty(rows.count, np.int64)
        lanes_of(below.cut.colours[k], above.cut.colours[k], same)
        functions = self._functions_of(k, dtype, a.known[k].blank or b.known[k].blank)
        members = _none(dtype) if readout is None else below.members(self.readout[k], dtype)
        ends = members, (out if readout is None else readout).pair()
        for n, source in enumerate(sources):
            narrow = source.gap.dtype
            sparse = _unit(source.gap.shape[1], narrow) if source.read else above.side(k, narrow).terms[n][0]
            of_lanes = sparse, *lanes.terms[n][1:]
            how = self.tangent, n == 0, n == len(sources) - 1
            work = self._work(len(source.gap), narrow, dtype)
            stage = *functions, how, _approximations(dtype), work, out.pair(), ends
            self.summed(source.pair(), of_lanes, rows.terms[n], same, *stage)
        return out

    def _functions_of(self, k: int, dtype: np.dtype, blank: bool) -> Functions:
        """Those of a field, between colours of which one may hold 0 alone."""
        key = k, dtype, blank
        if key not in self._functions:
            field = self.plan.fields[k]
            table, numbers = field.functions
            polynomials = None if blank else field.polynomials(dtype.name)
            chain = polynomials is not None, polynomials or chains.none(dtype.name)
            self._functions[key] = (table, numbers.astype(dtype)), chain
        return self._functions[key]

    def _matrix(self, rows: int, lanes: int, dtype: np.dtype, *, upright: bool) -> Matrix:
        shape = -(-lanes // LANES), rows, LANES
        gap = self.space.take(shape, dtype)
        tangent = self.space.take(shape if self.tangent else (1, 1, 1), dtype)
        return Matrix(gap, tangent, lanes, upright)

    def _work(self, strips: int, narrow: np.dtype, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """Space for a tile, and for what is summed of `strips` strips, turned over, in both precisions."""
        work = self._spaces.get((narrow, dtype))
        count = strips * LANES * LANES * (1 + self.tangent) + LANES  # compiled code may read some more
        if work is None or len(work[1]) < count:
            tile = aligned((LANES * ACROSS * BYTES // narrow.itemsize,), narrow)
            turned = aligned((count,), narrow)
            work = tile, turned, turned if narrow == dtype else aligned((count,), dtype)
            self._spaces[narrow, dtype] = work
        return work

    def _kernels(self, a: Block, b: Block, found: dict[int, Matrix]) -> Kernels:
        """Covariances and tangent kernels of the outputs, (outputs of a, outputs of b)."""
        shape = len(a.cut.outputs[0]), len(b.cut.outputs[0])
        covariance, tangent = np.zeros(shape), np.zeros(shape)
        for n, term in enumerate(self.plan.terms):
            one, two, matrix = a.known[term.field], b.known[term.field], found[term.field]
            rows, columns = a.cut.outputs[n], b.cut.outputs[n]
            units = one.unit[rows, None] * two.unit[columns] * term.weight
            gap = matrix.between(matrix.gap, rows, columns)
            covariance += (one.variance[rows, None] + two.variance[columns] - gap) * (0.5 * units)
            if self.tangent:
                tangent += matrix.between(matrix.tangent, rows, columns) * units
        for matrix in found.values():
            self._free(matrix)
        return covariance, tangent if self.tangent else None


@functools.cache
def _approximations(dtype: np.dtype) -> tuple:
    return approximations.coefficients(dtype.name)


def _unit(count: int, dtype: np.dtype) -> Sparse:
    """The unit matrix."""
    return np.arange(count + 1), np.arange(count), np.ones(count, dtype)


@functools.cache
def _none(dtype: np.dtype) -> Sparse:
    """In place of sums that nobody reads, of the same types."""
    return np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, dtype)
