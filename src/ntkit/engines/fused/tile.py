"""The fused engine on a tile: some row images by some column images, blocks of lanes one after another."""

import dataclasses
from typing import Any

import jax
import numpy as np

from ntkit.engines.fused import arc, code
from ntkit.engines.fused.layout import read_displacements, sparse_pool, starts_of
from ntkit.engines.fused.program import (
    DEVIATION,
    HALF_GAP,
    INVERSE,
    VARIANCE,
    Program,
    Stage,
    as_grid,
    as_windows,
    pool_matrices,
    reads_pairs,
)
from ntkit.engines.fused.machine import ALL_LANES
from ntkit.engines.fused.stage import IMAGES, PAIRS, POOL, SUM, run_stage
from ntkit.moments import BivariateNormal
from ntkit.moments.products import products
from ntkit.tape import Activate, Add, Affine, Data, Flatten, Inflate, Mix, Slide

LANES = 16  # column images side by side: one vector register of single precision
_PIECE = 4096  # variances at a time through an activation
ROW_LANES = 2048  # the same for vectors, whose images have one pixel


@dataclasses.dataclass
class Fields:
    """What the engine knows of single examples.

    Attributes:
        variances: Of every instruction of the tape, (n, height, width), in double precision.
        half_gaps: Of every pool, half of the gap within a window, alike.
    """

    variances: dict[int, np.ndarray]
    half_gaps: dict[int, np.ndarray]


# Single examples ------------------------------------------------------------------------------------------------------


def fields_of(program: Program, x: np.ndarray) -> Fields:
    """The variances of all pixels behind every instruction."""
    tape, fields = program.tape, Fields({}, {})
    images = x.reshape(len(x), *as_grid(tape[0].shape), x.shape[-1])
    for i, step in enumerate(tape):
        if isinstance(step, Data):
            fields.variances[i] = np.mean(images.astype(np.float64) ** 2, axis=-1)
            fields.half_gaps[i] = np.zeros_like(fields.variances[i])
        elif isinstance(step, Mix) and id(step) in {id(s.end) for s in program.stages[:-1]}:
            _pool(program, next(s for s in program.stages if s.end is step), images, fields, i)
        elif isinstance(step, Mix):
            break  # only weights follow, which ask for no variances
        else:
            _follow(fields, step, i)
    return fields


def _follow(fields: Fields, step: Any, i: int) -> None:
    q = [fields.variances[source] for source in step.inputs]
    if isinstance(step, Slide):
        fields.variances[i] = _window_mean(q[0], as_windows(step.windows))
    elif isinstance(step, Affine):
        fields.variances[i] = step.scale * q[0] + step.shift
    elif isinstance(step, Activate):
        fields.variances[i] = _activated(step.activation, q[0])
    elif isinstance(step, Inflate):
        fields.variances[i] = (1 + step.extra) * q[0]
    elif isinstance(step, Add):
        fields.variances[i] = sum(q[1:], q[0])
    elif isinstance(step, Flatten):
        fields.variances[i] = q[0].mean(axis=(1, 2), keepdims=True)
        fields.half_gaps[i] = np.zeros_like(fields.variances[i])


def _activated(activation: Any, q: np.ndarray) -> np.ndarray:
    """E[f(u)²], u of variance q; in pieces of one size, so that one program serves all shapes."""
    pieces = -(-q.size // _PIECE)
    flat = np.zeros(pieces * _PIECE)
    flat[: q.size] = q.ravel()
    with jax.enable_x64(True):
        found = [np.asarray(_own_dual(activation, piece)) for piece in flat.reshape(pieces, _PIECE)]
    return np.concatenate(found)[: q.size].reshape(q.shape)


@jax.jit
def _own_dual(activation: Any, q: jax.Array) -> jax.Array:
    return activation.dual(BivariateNormal(q, q, q, jax.numpy.zeros_like(q)))


def _window_mean(q: np.ndarray, windows: tuple) -> np.ndarray:
    for axis, window in enumerate(windows, start=1):
        low, high = window.pads(q.shape[axis], "Conv")
        mode = "wrap" if window.padding == "CIRCULAR" else "constant"
        widths = [(0, 0)] * q.ndim
        widths[axis] = (low, high)
        padded = np.pad(q, widths, mode=mode)  # type: ignore[call-overload]
        taken = np.lib.stride_tricks.sliding_window_view(padded, window.reach, axis=axis)
        taken = np.take(taken, np.arange(0, taken.shape[axis], window.stride), axis=axis)
        q = taken[..., :: window.dilation].mean(axis=-1)
    return q


def _pool(program: Program, stage: Stage, images: np.ndarray, fields: Fields, i: int) -> None:
    """Half of the gap within windows, by running every image with itself over the few displacements of a window."""
    a, b = pool_matrices(stage.end)  # type: ignore[arg-type]
    mean = np.einsum("Pp,npq,Qq->nPQ", a, fields.variances[stage.last], b)
    gaps = np.empty_like(mean)
    upto = next(k for k, s in enumerate(program.stages, start=1) if s is stage)
    for k in range(len(images)):
        gaps[k] = _own_gap(program, upto, images[k : k + 1], fields, k)
    fields.half_gaps[i] = gaps / 2
    rows = a.sum(1)[:, None] * b.sum(1)[None, :]
    fields.variances[i] = rows * mean - gaps / 2


def _own_gap(program: Program, upto: int, image: np.ndarray, fields: Fields, k: int) -> np.ndarray:
    one = Fields(*({n: q[k : k + 1] for n, q in some.items()} for some in (fields.variances, fields.half_gaps)))
    # In the precision of the kernel: then the gap of equal images is 0, not what two roundings differ by.
    run = _Run(program, image.dtype, 1, tangent=False, own=True)
    stored, _ = run.stages(image, image, one, one, np.array([ALL_LANES]), upto)
    height, width = as_grid(program.stages[upto - 1].end.shape)  # type: ignore[union-attr]
    return stored[0, : height * width, 0].reshape(height, width)


# Tiles ----------------------------------------------------------------------------------------------------------------


class _Run:
    """Work space and tables for one thread, one dtype and one number of lanes."""

    def __init__(self, program: Program, dtype: np.dtype, lanes: int, *, tangent: bool, own: bool = False):
        self.program, self.dtype, self.lanes, self.tangent, self.own = program, dtype, lanes, tangent, own
        self.polynomials = arc.coefficients(dtype.name)
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
        gap = _filled(gap, self.lanes).astype(self.dtype)[:, None, :]
        return gap, np.zeros_like(gap)

    def _stage(
        self, stage: Stage, after: Stage | None, x1, x2, found: tuple, one: Fields, two: Fields, same: np.ndarray
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
        images2 = _laned(x2, lanes, stage.wrap) if reads == IMAGES else np.zeros((1, 1, 1, lanes), dtype)
        source = (np.ascontiguousarray(x1), images2.astype(dtype, copy=False), *found, starts_in)
        ends, result = self._ends(stage, after, pooled, rows)
        ones = self._fields(stage, one)
        twos = np.ascontiguousarray(self._laned_fields(stage, two))
        run_stage(plan, source, ends, (ones, twos), same, lanes, self.tangent, self.polynomials, self.space)
        if pooled:
            return result
        gap, tangent = (weight_of_sum(stage) * r for r in result)
        if isinstance(stage.end, Mix) and after is not None:
            gap = np.maximum(gap - self._half_gaps(after, one, two), 0.0)
        return (gap, tangent) if after is None else (gap.astype(dtype), tangent.astype(dtype))

    def _half_gaps(self, after: Stage, one: Fields, two: Fields) -> np.ndarray:
        halves = [f.half_gaps[after.first].reshape(-1) for f in (one, two)]
        return halves[0][:, None, None] + _filled(halves[1][None, :], self.lanes)[None]

    def _ends(self, stage: Stage, after: Stage | None, pooled: bool, rows: int) -> tuple[tuple, tuple]:
        lanes, dtype = self.lanes, self.dtype
        if not pooled:
            sums = np.zeros((rows, lanes)), np.zeros((rows, lanes))
            nothing = (np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(1, dtype))
            empty = np.zeros((rows, 1, lanes), dtype)
            starts = np.zeros((1, 1), np.int64)
            return (*sums, nothing, nothing, starts, (1, 1), False, empty, empty), tuple(
                s[:, None, :] for s in sums
            )
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
        parts = [_field(fields, kind, node) for kind, node in stage.fields]
        together = np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)
        return np.ascontiguousarray(together, self.dtype)

    def _laned_fields(self, stage: Stage, fields: Fields) -> np.ndarray:
        """(pixels · lanes,), the same of column images side by side."""
        parts = []
        for kind, node in stage.fields:
            field = _field(fields, kind, node)
            if stage.wrap:
                field = np.concatenate([field, field], axis=2)
            parts.append(_filled(field.reshape(len(field), -1).T, self.lanes))
        return np.concatenate(parts).astype(self.dtype).reshape(-1)


def _field(fields: Fields, kind: str, node: int) -> np.ndarray:
    if kind == HALF_GAP:
        # Of a pool to one pixel it has been taken away, in double precision.
        halves = fields.half_gaps[node]
        return halves if halves[0].size > 1 else np.zeros_like(halves)
    q = fields.variances[node]
    if kind == VARIANCE:
        return q
    deviation = np.sqrt(q)
    if kind == DEVIATION:
        return deviation
    assert kind == INVERSE
    return np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)


def sums_up(stage: Stage) -> bool:
    """Whether the pool behind a stage is a sum or mean over all pixels."""
    matrices = pool_matrices(stage.end)  # type: ignore[arg-type]
    return all(len(m) == 1 and np.ptp(m) == 0 for m in matrices)


def weight_of_sum(stage: Stage) -> float:
    """What a sum over pairs of pixels counts in the field behind the stage."""
    if stage.end is None:
        return 1.0
    if isinstance(stage.end, Flatten):
        return 1.0 / (stage.grid_out[0] * stage.grid_out[1])
    a, b = pool_matrices(stage.end)
    return float(a[0, 0] * b[0, 0]) ** 2


def _filled(columns: np.ndarray, lanes: int) -> np.ndarray:
    """(k, n) with the last column repeated up to `lanes`."""
    return np.concatenate([columns, np.repeat(columns[:, -1:], lanes - columns.shape[1], axis=1)], axis=1)


def _laned(x: np.ndarray, lanes: int, wrap: bool) -> np.ndarray:
    """(height, width, channels, lanes)."""
    if wrap:
        x = np.concatenate([x, x], axis=2)
    flat = _filled(x.reshape(len(x), -1).T, lanes)
    return np.ascontiguousarray(flat).reshape(*x.shape[1:], lanes)


def pairs(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    tangent: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """NNGP and NTK of all rows of `x1` with all rows of `x2`; arguments as those of the reference engine."""
    dtype = x1.dtype
    grid = as_grid(program.tape[0].shape)
    x1, x2 = (x.reshape(len(x), *grid, x.shape[-1]) for x in (x1, x2))
    one, two = fields_of(program, x1), fields_of(program, x2)
    lanes = min(ROW_LANES if grid == (1, 1) else LANES, len(x2))
    nngp, ntk = np.empty((len(x1), len(x2))), np.zeros((len(x1), len(x2)))
    run = _Run(program, dtype, lanes, tangent=tangent)
    together = len(x1) if len(program.stages) == 1 else 1
    for j in range(0, len(x2), lanes):
        block = slice(j, j + lanes)
        some = _at(two, block)
        for i in range(0, len(x1), together):
            part = slice(i, i + together)
            same = np.array([_lane(r, columns[block]) for r in rows[part]])
            found = run.stages(x1[part], x2[block], _at(one, part), some, same, len(program.stages))
            gap, kernel = _outputs(program, found, _at(one, part), some)
            nngp[part, block], ntk[part, block] = gap, kernel
    return nngp.astype(dtype), ntk.astype(dtype) if tangent else None


def _lane(row: int, columns: np.ndarray) -> int:
    (found,) = np.nonzero(columns == row)
    return int(found[0]) if len(found) else -1


def _at(fields: Fields, part: slice) -> Fields:
    return Fields(*({n: q[part] for n, q in some.items()} for some in (fields.variances, fields.half_gaps)))


def _outputs(program: Program, found: tuple, one: Fields, two: Fields) -> tuple[np.ndarray, np.ndarray]:
    """Kernels from what the last stage has summed over pairs of pixels, through the weights that are left."""
    stage = program.stages[-1]
    n = len(next(iter(two.variances.values())))
    gap, tangent = (s[:, 0, :n] for s in found)
    q1, q2 = (f.variances[stage.last].reshape(len(f.variances[stage.last]), -1) for f in (one, two))
    weight = 1 / q1.shape[1]
    if isinstance(stage.end, Mix):
        # (A q)(x) and (A q)(x') stand beside the row sums of A.
        a, b = pool_matrices(stage.end)
        weight = float(a[0, 0] * b[0, 0] * a.sum() * b.sum())
    k = (weight * (q1.sum(1)[:, None] + q2.sum(1)[None, :]) - gap) / 2
    t = tangent
    for step in program.head:
        k, t = step.scale * k + step.shift, step.scale * t + (step.weight_rate * k + step.bias_rate)
    return k, t
