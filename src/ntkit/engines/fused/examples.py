"""The fields of single examples: variances from layer to layer, and within pools from an example with itself."""

from typing import Any

import jax
import numpy as np

from ntkit.activations.relu import HalfLines
from ntkit.engines.fused import code, series
from ntkit.engines.fused.activations import function_of
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import whole_vectors
from ntkit.engines.fused.machine import ALL_LANES
from ntkit.engines.fused.program import SLOPE, Program, Stage, as_grid, as_windows, pool_matrices
from ntkit.engines.fused.runner import Rows, Runner
from ntkit.moments import BivariateNormal
from ntkit.tape import Activate, Add, Affine, Data, Flatten, Inflate, Mix, Slide

_PIECE = 4096  # variances at a time through an activation


def fields_of(program: Program, x: np.ndarray) -> Fields:
    """The variances of all pixels behind every instruction."""
    tape, fields = program.tape, Fields({}, {}, {}, {})
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
            follow(fields, step, i, x.dtype)
    return fields


def follow(fields: Fields, step: Any, i: int, dtype: np.dtype) -> None:
    """Fill in the fields of instruction i, which reads those of earlier ones; `dtype` is that of the kernel."""
    q = [fields.variances[source] for source in step.inputs]
    if isinstance(step, Slide):
        fields.variances[i] = _window_mean(q[0], as_windows(step.windows))
    elif isinstance(step, Affine):
        fields.variances[i] = step.scale * q[0] + step.shift
    elif isinstance(step, Activate):
        _activate(fields, step.activation, q[0], i, dtype)
    elif isinstance(step, Inflate):
        fields.variances[i] = (1 + step.extra) * q[0]
    elif isinstance(step, Add):
        fields.variances[i] = sum(q[1:], q[0])
    elif isinstance(step, Flatten):
        fields.variances[i] = q[0].mean(axis=(1, 2), keepdims=True)
        fields.half_gaps[i] = np.zeros_like(fields.variances[i])


def _activate(fields: Fields, activation: Any, q: np.ndarray, i: int, dtype: np.dtype) -> None:
    function, kinds, _ = function_of(activation)
    if isinstance(activation, HalfLines):
        fields.variances[i] = q * (sum(float(w) ** 2 for w in activation.weights) / 2)
        return
    fields.variances[i] = _piecewise(_second_moment, activation, q)
    if SLOPE in kinds or function == code.SERIES:
        fields.slopes[i] = _piecewise(_own_slope, activation, q)
    if function == code.SERIES:
        fields.series[i] = series.coefficients(activation, q)
        moments = fields.variances[i], fields.slopes[i]
        series.check_remainder(activation, fields.series[i], q, *moments, dtype)


def _piecewise(function: Any, activation: Any, q: np.ndarray) -> np.ndarray:
    """A function of variances, in pieces of one size, so that one program serves all shapes."""
    pieces = -(-q.size // _PIECE)
    flat = np.zeros(pieces * _PIECE)
    flat[: q.size] = q.ravel()
    with jax.enable_x64(True):
        found = [np.asarray(function(activation, piece)) for piece in flat.reshape(pieces, _PIECE)]
    return np.concatenate(found)[: q.size].reshape(q.shape)


@jax.jit
def _second_moment(activation: Any, q: jax.Array) -> jax.Array:
    """E[f(u)²], u of variance q."""
    return activation.dual(BivariateNormal(q, q, q, jax.numpy.zeros_like(q)))


@jax.jit
def _own_slope(activation: Any, q: jax.Array) -> jax.Array:
    """E[f'(u)²]."""
    return activation.dual_slope(BivariateNormal(q, q, q, jax.numpy.zeros_like(q)))


def _window_mean(q: np.ndarray, windows: tuple) -> np.ndarray:
    for axis, window in enumerate(windows, start=1):
        extent = q.shape[axis]
        low, high = window.pads(extent, "Conv")
        mode = "wrap" if window.padding == "CIRCULAR" else "constant"
        widths = [(0, 0)] * q.ndim
        widths[axis] = (low, high)
        padded = np.pad(q, widths, mode=mode)  # type: ignore[call-overload]
        last = padded.shape[axis] - window.reach
        total = np.zeros(())
        for begin in range(0, window.reach, window.dilation):
            part = [slice(None)] * q.ndim
            part[axis] = slice(begin, begin + last + 1, window.stride)
            total = total + padded[tuple(part)]
        q = total / window.size
    return q


def _pool(program: Program, stage: Stage, images: np.ndarray, fields: Fields, i: int) -> None:
    """Half of the gap within windows, by running every image with itself over the few displacements of a window."""
    a, b = pool_matrices(stage.end)  # type: ignore[arg-type]
    mean = np.einsum("Pp,npq,Qq->nPQ", a, fields.variances[stage.last], b)
    gaps = np.empty_like(mean)
    upto = next(k for k, s in enumerate(program.stages, start=1) if s is stage)
    # In the precision of the kernel: then the gap of equal images is 0, not what two roundings differ by.
    run = Runner(program, images.dtype, whole_vectors(1, images.dtype), tangent=False, own=upto)
    for k in range(len(images)):
        gaps[k] = _own_gap(run, stage.end, images[k : k + 1], fields, k)  # type: ignore[arg-type]
    fields.half_gaps[i] = gaps / 2
    rows = a.sum(1)[:, None] * b.sum(1)[None, :]
    fields.variances[i] = rows * mean - gaps / 2


def _own_gap(run: Runner, end: Mix, image: np.ndarray, fields: Fields, k: int) -> np.ndarray:
    one = fields.at(slice(k, k + 1))
    rows = Rows.of(run.program, one, image.dtype, len(run.passages))
    stored = run.own_gaps(image, run.columns(image, one), rows, np.array([ALL_LANES]))
    height, width = as_grid(end.shape)
    return stored[0, : height * width, 0].reshape(height, width)
