"""`Runner` takes blocks of examples through the stages of a program: tables, work space, and calls of compiled code."""

import numpy as np

from ntkit.engines.fused import arc
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import filled, laned, read_displacements, sparse_pool, starts_of
from ntkit.engines.fused.program import Program, Stage, as_grid, reads_pairs, sums_up, weight_of_sum
from ntkit.engines.fused.stage import IMAGES, PAIRS, POOL, SUM, run_stage
from ntkit.moments.products import products
from ntkit.tape import Mix


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
            np.zeros(shape, dtype),
            np.zeros(shape if tangent else (registers, 1, 1), dtype),
            np.zeros((2, span, width * lanes), dtype),
            np.zeros((4, width * lanes), dtype),
            np.zeros(lanes, dtype),
            frame,
        )

    def stages(
        self, x1: np.ndarray, x2: np.ndarray, one: Fields, two: Fields, same: np.ndarray, upto: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gaps and tangent kernels behind the last of the first `upto` stages, (rows, pairs, lanes)."""
        found = self._pairs_of_data(x1, x2)
        for stage, after in zip(
            self.program.stages[:upto], [*self.program.stages[1:upto], None], strict=True
        ):
            found = self._stage(stage, after, x1, x2, found, one, two, same)
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
        stage: Stage,
        after: Stage | None,
        x1,
        x2,
        found: tuple,
        one: Fields,
        two: Fields,
        same: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        rows, lanes, dtype = len(x1), self.lanes, self.dtype
        first = self.program.tape[stage.first]
        pooled = isinstance(stage.end, Mix) and not sums_up(stage) and (after is not None or self.own)
        displacements = stage.own if self.own else stage.displacements
        starts_in, _ = starts_of(read_displacements(stage, self.own), stage.grid_in, stage.wrap)
        numbers = stage.numbers.astype(dtype)
        reads = PAIRS if reads_pairs(first) else IMAGES
        plan = (
            stage.code,
            numbers,
            displacements,
            stage.grid_in,
            stage.grid_out,
            stage.wrap,
            reads,
            POOL if pooled else SUM,
        )
        images2 = laned(x2, lanes, stage.wrap) if reads == IMAGES else np.zeros((1, 1, 1, lanes), dtype)
        source = (np.ascontiguousarray(x1), images2.astype(dtype, copy=False), *found, starts_in)
        ends, result = self._ends(stage, after, pooled, rows)
        ones = self._fields(stage, one)
        twos = np.ascontiguousarray(self._laned_fields(stage, two))
        run_stage(plan, source, ends, (ones, twos), same, lanes, self.tangent, self.angles, self.space)
        if pooled:
            return result
        gap, tangent = (weight_of_sum(stage) * r for r in result)
        if isinstance(stage.end, Mix) and after is not None:
            # What rounding leaves of two equal images counts as 0.
            within = self._half_gaps(after, one, two)
            gap = np.where(gap - within > 4 * np.finfo(dtype).eps * within, gap - within, 0.0)
        return (gap, tangent) if after is None else (gap.astype(dtype), tangent.astype(dtype))

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
        return np.concatenate(parts).astype(self.dtype).reshape(-1)
