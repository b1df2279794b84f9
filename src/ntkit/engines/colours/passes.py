"""A pass: the fields of two blocks, one after another, from the data to the kernels of their outputs."""

import bisect
import dataclasses
import functools

import numpy as np

from ntkit.engines.colours.plan import Field, Plan
from ntkit.engines.colours.products import ACROSS, lanes_of, own_terms, products
from ntkit.engines.colours.sides import Block, Known, Side, known_data, known_sums, layout
from ntkit.engines.fused import approximations
from ntkit.engines.fused.layout import aligned
from ntkit.moments.products import products as data_products

DOUBLE = np.dtype(np.float64)
Kernels = tuple[np.ndarray, np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Gaps and tangent kernels between the colours of two blocks.

    Attributes:
        gap: (rows, row distance).
        tangent: The same, or (1, 1).
        upright: Whether rows are colours of the first block.
    """

    gap: np.ndarray
    tangent: np.ndarray
    upright: bool

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """As compiled code takes them."""
        return self.gap, self.tangent

    def turned(self) -> "Matrix":
        """The same with columns as rows."""
        return Matrix(_copy(self.gap.T), _copy(self.tangent.T), not self.upright)


def _copy(x: np.ndarray) -> np.ndarray:
    """A copy whose rows are laid out as those of all matrices; the last columns are not in use."""
    out = aligned((len(x), layout(x.shape[1], x.dtype)[1]), x.dtype)
    out[:, : x.shape[1]] = x
    return out


class Space:
    """Arrays that are used again: pages fresh from the operating system cost as much as what is computed in them."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []  # by size
        self._taken: dict[int, np.ndarray] = {}

    def take(self, rows: int, hop: int, dtype: np.dtype) -> np.ndarray:
        """A matrix of that size."""
        count = rows * hop * dtype.itemsize
        smallest = bisect.bisect_left(self._free, count, key=len)
        fits = smallest < len(self._free)
        raw = self._free.pop(smallest) if fits else aligned((count,), np.dtype(np.uint8))
        self._taken[raw.ctypes.data] = raw
        return raw[:count].view(dtype).reshape(rows, hop)

    def give(self, matrix: np.ndarray) -> None:
        """Hand a matrix back, if it came from here."""
        raw = self._taken.pop(matrix.ctypes.data, None)
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
        self.turned, self.filled = products(plan.functions)
        self.space = Space()
        self.last_reader = [len(plan.fields)] * len(plan.fields)
        for k, field in enumerate(plan.fields):
            for source, _ in field.sources:
                self.last_reader[source] = k
        self.tiles = {d: aligned((16 * 16 * ACROSS,), d) for d in (np.dtype(np.float32), DOUBLE)}

    def own(self, block: Block) -> Kernels:
        """A block with itself, in double precision, by which it becomes known."""
        return self._run(block, block, DOUBLE)

    def cross(self, a: Block, b: Block, dtype: np.dtype) -> Kernels:
        """Two blocks that are known."""
        return self._run(a, b, dtype)

    # What overflows is infinite in the result, and said there; and lanes that are not in use hold anything.
    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _run(self, a: Block, b: Block, dtype: np.dtype) -> Kernels:
        found: list[Matrix | None] = []
        for k, field in enumerate(self.plan.fields):
            sources = [found[source] for source, _ in field.sources]
            if len(a.known) == k:
                a.known.append(self._known(field, k, a, sources))  # type: ignore[arg-type]
            if sources:
                found.append(self._sum(k, a, b, sources, DOUBLE if field.vectors else dtype))  # type: ignore[arg-type]
            else:
                found.append(self._data(k, a, b, dtype))
            for source in {source for source, _ in field.sources}:
                if self.last_reader[source] == k:
                    self._free(found[source])  # type: ignore[arg-type]
                    found[source] = None
        return self._kernels(a, b, found[-1])  # type: ignore[arg-type]

    def _free(self, matrix: Matrix) -> None:
        self.space.give(matrix.gap)
        if self.tangent:
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
        side, other = a.side(k, dtype), b.side(k, dtype)
        matrix = self._matrix(side.count, other.hop, dtype, upright=True)
        matrix.gap[:, : other.count] = gap
        matrix.gap[:, other.count :] = 0
        matrix.tangent[:] = 0
        return matrix

    def _matrix(self, rows: int, hop: int, dtype: np.dtype, *, upright: bool) -> Matrix:
        gap = self.space.take(rows, hop, dtype)
        tangent = self.space.take(rows, hop, dtype) if self.tangent else np.zeros((1, 1), dtype)
        return Matrix(gap, tangent, upright)

    def _stage(self, k: int, rows: Side, lanes: Side, dtype: np.dtype) -> tuple:
        field = self.plan.fields[k]
        code = field.stage.code[: len(field.chain) - 1]  # none where the chain is empty
        return code, field.stage.numbers.astype(dtype), rows.ones, lanes.twos

    def _sum(self, k: int, a: Block, b: Block, sources: list[Matrix], dtype: np.dtype) -> Matrix:
        """Σ S X Sᵀ, and the functions behind it; what were rows becomes lanes."""
        upright = sources[0].upright
        sources = [m if m.upright == upright else m.turned() for m in sources]
        above, below = (a, b) if upright else (b, a)  # of what are rows now; of what will be
        lanes, rows = above.side(k, dtype), below.side(k, dtype)
        out = self._matrix(rows.count, lanes.hop, dtype, upright=not upright)
        same = np.empty(rows.count, np.int64)
        lanes_of(below.cut.colours[k], above.cut.colours[k], same)
        stage, line = self._stage(k, rows, lanes, dtype), self.space.take(1, lanes.hop, dtype)
        for n, source in enumerate(sources):
            half = self._turned(k, n, source, above, below)
            if half.gap.dtype != dtype:
                narrow = half
                half = Matrix(narrow.gap.astype(dtype), narrow.tangent.astype(dtype), narrow.upright)
                self._free(narrow)
            sparse, of_rows, _ = rows.terms[n]
            terms = *of_rows, *lanes.terms[n][2]
            ends = n == 0, n == len(sources) - 1
            sizes = lanes.lanes, rows.count
            more = self.tangent, *ends, _polynomials(dtype), line[0], out.pair()
            self.filled(sparse, terms, half.pair(), same, stage, sizes, *more)
            self._free(half)
        self.space.give(line)
        return out

    def _turned(self, k: int, n: int, source: Matrix, above: Block, below: Block) -> Matrix:
        """(S X)ᵀ, in the precision of X."""
        number, dtype = self.plan.fields[k].sources[n][0], source.gap.dtype
        side, count = above.side(k, dtype), len(below.cut.colours[number])
        lanes = layout(count, dtype)[0]
        half = self._matrix(lanes, side.hop, dtype, upright=not source.upright)
        flat = tuple(x.reshape(-1) for x in half.pair())
        self.turned(side.terms[n][0], source.pair(), lanes, self.tangent, flat, side.hop, self.tiles[dtype])
        return half

    def _kernels(self, a: Block, b: Block, last: Matrix) -> Kernels:
        """Covariances and tangent kernels of the outputs, (outputs of a, outputs of b)."""
        one, two = a.known[-1], b.known[-1]
        shape = len(one.unit), len(two.unit)
        gap, tangent = (x[:, : shape[last.upright]].astype(DOUBLE) for x in last.pair())
        self._free(last)
        if not last.upright:
            gap, tangent = gap.T, tangent.T
        units = one.unit[:, None] * two.unit
        covariance = (one.variance[:, None] + two.variance - gap) * (0.5 * units)
        return covariance, tangent * units if self.tangent else None


@functools.cache
def _polynomials(dtype: np.dtype) -> tuple:
    return approximations.coefficients(dtype.name)
