"""`Runner` takes blocks of examples through the stages of a program: tables, work space, and calls of compiled code."""

import dataclasses
from typing import Any

import numpy as np

from ntkit.engines.fused import approximations
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import aligned, filled, laned, read_displacements, sparse_pool, starts_of
from ntkit.engines.fused.outputs import Result, conclude, nowhere
from ntkit.engines.fused.products import Products
from ntkit.engines.fused.program import Program, Stage, as_grid, reads_pairs, sums_up, weight_of_sum
from ntkit.engines.fused.stage import GAPS, IMAGES, PAIRS, POOL, RESULT, SUM, VECTORS, stage_runner
from ntkit.tape import Mix

# Row images that go through a stage side by side: the fields of the column images are read once for them.
IMAGES_TOGETHER, VECTORS_TOGETHER = 2, 8
ROWS, ROWS_OF_VECTORS = 64, 512  # row images in one call of compiled code
ROWS_OF_PRODUCTS = 256  # the same where their gaps wait in the L2 cache

Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Columns:
    """A block of column images, side by side.

    Attributes:
        images: (height, width, channels, lanes).
        fields: Of every stage, (pixels · lanes,).
        known: The same as numbers of single examples.
        products: Of long vectors, instead of the images, their products with all rows.
    """

    images: np.ndarray
    fields: list[np.ndarray]
    known: Fields
    products: Products | None = None


@dataclasses.dataclass(frozen=True)
class Rows:
    """The fields of row images.

    Attributes:
        fields: Of every stage, (rows, pixels), its fields one behind the other.
        known: The same as numbers of single examples.
    """

    fields: list[np.ndarray]
    known: Fields

    @classmethod
    def of(cls, program: Program, known: Fields, dtype: np.dtype, upto: int | None = None) -> "Rows":
        """As the first `upto` stages read them."""
        found = []
        for stage in program.stages[:upto]:
            parts = [known.field(kind, node) for kind, node in stage.fields]
            together = np.concatenate(
                [p.reshape(len(p), -1) for p in parts], axis=1, dtype=dtype, casting="same_kind"
            )
            found.append(together)
        return cls(found, known)

    def at(self, part: slice) -> "Rows":
        """Those of some images."""
        return Rows([f[part] for f in self.fields], self.known.at(part))


@dataclasses.dataclass(frozen=True)
class Passage:
    """A stage and what compiled code needs to know of it, whichever the examples.

    Attributes:
        stage: The stage.
        plan: As `run_stage` takes it.
        starts: Where the displacements begin that are read.
        after: The stage behind it, unless it is the last to run.
        pool: Of a pool to another grid its sparse matrices and where the displacements of that grid begin, else None.
        count: How many pairs that grid has.
    """

    stage: Stage
    plan: tuple
    starts: np.ndarray
    after: Stage | None
    pool: tuple | None
    count: int


class Runner:
    """Work space and tables for one thread, one dtype and one number of lanes.

    Args:
        program: The network.
        dtype: Of the examples and of all that is computed of pairs.
        lanes: How many column images, a whole number of vectors.
        tangent: Whether tangent kernels are wanted.
        own: The number of stages that images run with themselves, for what lies within the windows of pools; 0 to run all
            stages over pairs of images.
        products: Whether columns come with `Products`.
    """

    def __init__(
        self,
        program: Program,
        dtype: np.dtype,
        lanes: int,
        *,
        tangent: bool,
        own: int = 0,
        products: bool = False,
    ):
        self.program, self.dtype, self.lanes, self.tangent, self.own = program, dtype, lanes, tangent, own > 0
        self.vectors = GAPS if products else VECTORS
        self.polynomials = approximations.coefficients(dtype.name)
        self.run_stage = stage_runner(program.functions)
        upto = own or len(program.stages)
        self.passages = [self._passage(k, k + 1 == upto) for k in range(upto)]
        self.space = self._space()
        # What lies between two stages is large: then few row images at a time.
        of_vectors = ROWS_OF_PRODUCTS if products else ROWS_OF_VECTORS
        rows = IMAGES_TOGETHER if upto > 1 else ROWS if program.tape[0].shape else of_vectors
        self.sums = np.zeros((2, rows, lanes))
        self.nowhere = nowhere(dtype)

    def _space(self) -> tuple:
        stages, dtype = self.program.stages, self.dtype
        grids = [g for s in stages for g in (s.grid_in, s.grid_out)]
        frame = max(s.frame for s in stages)
        height, width = (max(g[axis] for g in grids) + 2 * frame for axis in (0, 1))
        registers, span = (max(getattr(s, name) for s in stages) for name in ("registers", "span"))
        self.together = IMAGES_TOGETHER if self.program.tape[0].shape else VECTORS_TOGETHER
        shape = (self.together, registers, height, width * self.lanes)
        return (
            aligned(shape, dtype),
            aligned(shape if self.tangent else (self.together, registers, 1, 1), dtype),
            aligned((2, span, width * self.lanes), dtype),
            aligned((2, width * self.lanes), dtype),
            aligned((self.lanes,), dtype),
            np.zeros((self.together, registers, 2), np.int64),
            frame,
        )

    def _passage(self, k: int, final: bool) -> Passage:
        stage = self.program.stages[k]
        after = None if final else self.program.stages[k + 1]
        pooled = isinstance(stage.end, Mix) and not sums_up(stage) and (after is not None or self.own)
        first = self.program.tape[stage.first]
        reads = PAIRS if reads_pairs(first) else IMAGES if first.shape else self.vectors
        # Of vectors there is one displacement of one pixel: nothing to sum.
        straight = reads == self.vectors and after is None and not self.own
        displacements = stage.own if self.own else stage.displacements
        plan = (
            stage.code,
            stage.numbers.astype(self.dtype),
            displacements,
            stage.grid_in,
            stage.grid_out,
            stage.wrap,
            reads,
            POOL if pooled else RESULT if straight else SUM,
        )
        starts, _ = starts_of(read_displacements(stage, self.own), stage.grid_in, stage.wrap)
        if not pooled:
            return Passage(stage, plan, starts, after, None, 0)
        below = as_grid(stage.end.shape)  # type: ignore[union-attr]
        wanted = np.zeros((1, 2), np.int64) if after is None else read_displacements(after, self.own)
        wrap = after is not None and after.wrap
        begins, count = starts_of(wanted, below, wrap)
        pool = *sparse_pool(stage, self.dtype), begins, below, wrap
        return Passage(stage, plan, starts, after, pool, count)

    def columns(self, x2: np.ndarray, two: Fields, products: Products | None = None) -> Columns:
        """A block of column images as the stages read it."""
        images = laned(x2[..., :0] if products else x2, self.lanes, self.program.stages[0].wrap)
        fields = [self._laned_fields(p.stage, two) for p in self.passages]
        return Columns(images.astype(self.dtype, copy=False), fields, two, products)

    def fill(self, x1: np.ndarray, columns: Columns, one: Rows, same: np.ndarray, to: Result) -> bool:
        """Write the kernels of row images with a block of column images; whether all are finite."""
        finite = True
        for i in range(0, len(x1), self.sums.shape[1]):
            part = slice(i, min(i + self.sums.shape[1], len(x1)))
            some = to.at(part)
            self._run(x1[part], columns, one.at(part), same[part], some)
            if self.passages[-1].plan[-1] != RESULT:
                some.finite[0] &= conclude(self.sums, *some.arguments(), self.tangent)
            finite &= bool(some.finite[0])
        return finite

    def own_gaps(self, x: np.ndarray, columns: Columns, one: Rows, same: np.ndarray) -> np.ndarray:
        """(rows, pairs, lanes), the gaps behind the pool of the last stage."""
        last = self.passages[-1]
        gaps = self._run(x, columns, one, same)[0]
        return gaps if last.pool else weight_of_sum(last.stage) * gaps

    def _run(
        self, x1: np.ndarray, columns: Columns, one: Rows, same: np.ndarray, to: Result | None = None
    ) -> Pair:
        none = np.zeros((1, 1, 1), self.dtype)
        found = none, none
        if columns.products is not None and to is not None:
            found = np.empty((len(x1), 1, self.lanes), self.dtype), none
            columns.products.gaps(to.row, to.column, found[0])
        for k in range(len(self.passages)):
            found = self._pass(k, x1, columns, found, one, same, to)
        return found

    def _pass(
        self,
        k: int,
        x1: np.ndarray,
        columns: Columns,
        found: Pair,
        one: Rows,
        same: np.ndarray,
        to: Result | None,
    ) -> Pair:
        passage, twos, dtype = self.passages[k], columns.fields[k], self.dtype
        stage, after = passage.stage, passage.after
        ends, result = self._ends(passage, len(x1), to)
        # Numba compiles anew for arrays that are read-only or lie otherwise.
        images = np.require(x1, self.dtype, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
        source = (images, columns.images, *found, passage.starts)
        fields = one.fields[k], twos
        options = self.lanes, self.tangent, self.polynomials, self.space
        self.run_stage(passage.plan, source, ends, fields, same, *options)
        # Of a pool to one pixel, half of the gaps within are taken away here (`Fields.field`).
        if after is None or (passage.pool and stage.end is not None and as_grid(stage.end.shape) != (1, 1)):
            return result
        weight = 1.0 if passage.pool else weight_of_sum(stage)
        gap, tangent = (weight * r for r in result)
        if isinstance(stage.end, Mix):
            # What rounding leaves of two equal images counts as 0.
            within = self._half_gaps(after, one.known, columns.known)
            gap = np.where(gap - within > 4 * np.finfo(dtype).eps * within, gap - within, 0.0)
        return gap.astype(dtype), tangent.astype(dtype)

    def _half_gaps(self, after: Stage, one: Fields, two: Fields) -> np.ndarray:
        halves = [f.half_gaps[after.first].reshape(-1) for f in (one, two)]
        return halves[0][:, None, None] + filled(halves[1][None, :], self.lanes)[None]

    def _ends(self, passage: Passage, rows: int, to: Result | None) -> tuple[tuple, Pair]:
        lanes, dtype = self.lanes, self.dtype
        sums = self.sums[:, :rows]
        result = (self.nowhere if to is None else to).for_stage(dtype, lanes)
        if passage.plan[-1] == SUM:
            sums[:] = 0
        if passage.pool is None:
            empty = np.zeros((rows, 1, lanes), dtype)
            return (sums[0], sums[1], *_no_pool(dtype), empty, empty, *result), (
                sums[0][:, None],
                sums[1][:, None],
            )
        pairs_d = np.zeros((rows, passage.count, lanes), dtype)
        pairs_t = np.zeros((rows, passage.count if self.tangent else 1, lanes), dtype)
        return (sums[0], sums[1], *passage.pool, pairs_d, pairs_t, *result), (pairs_d, pairs_t)

    def _laned_fields(self, stage: Stage, fields: Fields) -> np.ndarray:
        """(pixels · lanes,), the same of column images side by side."""
        parts = []
        for kind, node in stage.fields:
            field = fields.field(kind, node)
            if stage.wrap:
                field = np.concatenate([field, field], axis=-1)
            parts.append(filled(field.reshape(len(field), -1).T, self.lanes))
        together = aligned((sum(p.size for p in parts),), self.dtype)
        np.concatenate([p.reshape(-1) for p in parts], out=together, casting="same_kind")
        return together


def _no_pool(dtype: np.dtype) -> tuple[Any, ...]:
    """In place of a pool, of the same types."""
    nothing = (np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(1, dtype))
    return nothing, nothing, np.zeros((1, 1), np.int64), (1, 1), False
