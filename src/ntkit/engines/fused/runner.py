"""`Runner` takes blocks of examples through the stages of a program: tables, work space, and calls of compiled code."""

import dataclasses

import numpy as np

from ntkit.engines.fused import arc
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import aligned, filled, laned, read_displacements, sparse_pool, starts_of
from ntkit.engines.fused.program import Program, Stage, as_grid, reads_pairs, sums_up, weight_of_sum
from ntkit.engines.fused.stage import IMAGES, PAIRS, POOL, SUM, run_stage
from ntkit.moments.products import products
from ntkit.tape import Mix


@dataclasses.dataclass(frozen=True)
class Columns:
    """A block of column images, side by side.

    Attributes:
        x: The images.
        images: (height, width, channels, lanes).
        fields: Of every stage, (pixels · lanes,).
        known: The same as numbers of single examples.
    """

    x: np.ndarray
    images: np.ndarray
    fields: list[np.ndarray]
    known: Fields


class Runner:
    """Work space and tables for one thread, one dtype and one number of lanes."""

    def __init__(self, program: Program, dtype: np.dtype, lanes: int, *, tangent: bool, own: bool = False):
        self.program, self.dtype, self.lanes, self.tangent, self.own = program, dtype, lanes, tangent, own
        self.angles = arc.coefficients(dtype.name)
        grids = [g for s in program.stages for g in (s.grid_in, s.grid_out)]
        frame = max(s.frame for s in program.stages)
        height, width = (max(g[axis] for g in grids) + 2 * frame for axis in (0, 1))
        registers = max(s.registers for s in program.stages)
        span = max(s.span for s in program.stages)
        shape = (registers, height, width * lanes)
        self.space = (
            aligned(shape, dtype),
            aligned(shape if tangent else (registers, 1, 1), dtype),
            aligned((2, span, width * lanes), dtype),
            aligned((4, width * lanes), dtype),
            aligned((lanes,), dtype),
            frame,
        )

    def columns(self, x2: np.ndarray, two: Fields, upto: int) -> "Columns":
        """A block of column images as the first `upto` stages read it."""
        stages = self.program.stages[:upto]
        wrap, dtype = stages[0].wrap, self.dtype
        images = (
            laned(x2, self.lanes, wrap) if self.program.tape[0].shape else np.zeros((1, 1, 1, self.lanes))
        )
        return Columns(
            x2, images.astype(dtype, copy=False), [self._laned_fields(s, two) for s in stages], two
        )

    def stages(
        self, x1: np.ndarray, columns: "Columns", one: Fields, same: np.ndarray, upto: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gaps and tangent kernels behind the last of the first `upto` stages, (rows, pairs, lanes)."""
        # What lies between two stages is large: then one row image after another.
        step = len(x1) if upto == 1 else 1
        parts = [slice(i, i + step) for i in range(0, len(x1), step)]
        found = [self._through(x1[p], columns, one.at(p), same[p], upto) for p in parts]
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def _through(
        self, x1: np.ndarray, columns: "Columns", one: Fields, same: np.ndarray, upto: int
    ) -> tuple[np.ndarray, np.ndarray]:
        found = self._pairs_of_data(x1, columns.x)
        for k in range(upto):
            found = self._stage(k, k + 1 == upto, x1, columns, found, one, same)
        return found

    def _pairs_of_data(self, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        none = np.zeros((1, 1, 1), self.dtype)
        if self.program.tape[0].shape:
            return none, none
        _, gap, _, _ = products(x1[:, 0, 0], x2[:, 0, 0])
        gap = filled(gap, self.lanes).astype(self.dtype)[:, None, :]
        return gap, np.zeros_like(gap)

    def _stage(
        self,
        k: int,
        final: bool,
        x1: np.ndarray,
        columns: "Columns",
        found: tuple,
        one: Fields,
        same: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        stage, dtype = self.program.stages[k], self.dtype
        after = None if final else self.program.stages[k + 1]
        pooled = isinstance(stage.end, Mix) and not sums_up(stage) and (after is not None or self.own)
        plan = self._plan(stage, POOL if pooled else SUM)
        starts, _ = starts_of(read_displacements(stage, self.own), stage.grid_in, stage.wrap)
        source = (np.ascontiguousarray(x1), columns.images, *found, starts)
        ends, result = self._ends(stage, after, pooled, len(x1))
        fields = self._fields(stage, one), columns.fields[k]
        run_stage(plan, source, ends, fields, same, self.lanes, self.tangent, self.angles, self.space)
        if pooled:
            return result
        gap, tangent = (weight_of_sum(stage) * r for r in result)
        if isinstance(stage.end, Mix) and after is not None:
            # What rounding leaves of two equal images counts as 0.
            within = self._half_gaps(after, one, columns.known)
            gap = np.where(gap - within > 4 * np.finfo(dtype).eps * within, gap - within, 0.0)
        return (gap, tangent) if after is None else (gap.astype(dtype), tangent.astype(dtype))

    def _plan(self, stage: Stage, writes: int) -> tuple:
        return (
            stage.code,
            stage.numbers.astype(self.dtype),
            stage.own if self.own else stage.displacements,
            stage.grid_in,
            stage.grid_out,
            stage.wrap,
            PAIRS if reads_pairs(self.program.tape[stage.first]) else IMAGES,
            writes,
        )

    def _half_gaps(self, after: Stage, one: Fields, two: Fields) -> np.ndarray:
        halves = [f.half_gaps[after.first].reshape(-1) for f in (one, two)]
        return halves[0][:, None, None] + filled(halves[1][None, :], self.lanes)[None]

    def _ends(self, stage: Stage, after: Stage | None, pooled: bool, rows: int) -> tuple[tuple, tuple]:
        lanes, dtype = self.lanes, self.dtype
        if not pooled:
            both = np.zeros((2, rows, lanes))
            nothing = (np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(1, dtype))
            empty = np.zeros((rows, 1, lanes), dtype)
            starts = np.zeros((1, 1), np.int64)
            ends = (both[0], both[1], nothing, nothing, starts, (1, 1), False, empty, empty)
            return ends, (both[0][:, None], both[1][:, None])
        below = as_grid(stage.end.shape)  # type: ignore[union-attr]
        if after is None:
            wanted, wrap = np.zeros((1, 2), np.int64), False
        else:
            wanted, wrap = read_displacements(after, self.own), after.wrap
        starts, count = starts_of(wanted, below, wrap)
        down, across = sparse_pool(stage, dtype)
        pairs_d = np.zeros((rows, count, lanes), dtype)
        pairs_t = np.zeros((rows, count if self.tangent else 1, lanes), dtype)
        sums = np.zeros((rows, lanes))
        return (sums, sums, down, across, starts, below, wrap, pairs_d, pairs_t), (pairs_d, pairs_t)

    def _fields(self, stage: Stage, fields: Fields) -> np.ndarray:
        """(rows, pixels), the stage's fields one behind the other."""
        parts = [fields.field(kind, node) for kind, node in stage.fields]
        together = np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)
        return np.ascontiguousarray(together, self.dtype)

    def _laned_fields(self, stage: Stage, fields: Fields) -> np.ndarray:
        """(pixels · lanes,), the same of column images side by side."""
        parts = []
        for kind, node in stage.fields:
            field = fields.field(kind, node)
            if stage.wrap:
                field = np.concatenate([field, field], axis=2)
            parts.append(filled(field.reshape(len(field), -1).T, self.lanes))
        together = aligned((sum(p.size for p in parts),), self.dtype)
        np.concatenate([p.reshape(-1) for p in parts], out=together, casting="same_kind")
        return together
