"""Functions without weights, told by what they do to numbers: names do not matter, values do."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkit.activations import (
    Abs,
    Cos,
    Elementwise,
    Elu,
    Erf,
    Exp,
    Gelu,
    LeakyRelu,
    Relu,
    Sigmoid,
    Silu,
    Sin,
    Softplus,
    Tanh,
)
from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import Flatten, GlobalAvgPool, Identity

_TANH_GELU = partial(jax.nn.gelu, approximate=True)
_EXTENTS = (4, 5, 2)
_FEW, _CHANNELS = 3, 7


def recognised(
    fn: Callable, dimensions: int | None, *, batched: bool = True, channels_last: bool = True
) -> Layer:
    """The layer of a function without weights.

    Args:
        fn: Takes an array of float64, one example or a batch.
        dimensions: How many dimensions of positions there are; where that is not known, the function must be the same
            layer for 0 to 3 of them.
        batched: Whether the first axis is the examples'.
        channels_last: Whether the channels are the last axis, rather than the first of an example.

    Raises:
        InputError: The function is none of ntkit's, or its meaning depends on the number of dimensions.
    """
    known = range(4) if dimensions is None else (dimensions,)
    found = [_on_positions(fn, d, batched, channels_last) for d in known]
    moves = next((layer for layer in found if isinstance(layer, Flatten | GlobalAvgPool)), None)
    if moves is not None:  # a flattening of vectors does nothing
        found = [layer for d, layer in zip(known, found, strict=True) if d > 0]
    if any(layer is None for layer in found) or len({type(layer) for layer in found}) > 1:
        where = "" if dimensions is None else f" of {dimensions} dimensions of positions"
        raise InputError(
            f"{_name(fn)} is no function{where} that ntkit knows by its values; lift without it, and put nk.Elementwise there"
        )
    return next(layer for layer in found if layer is not None)


def _on_positions(fn: Callable, dimensions: int, batched: bool, channels_last: bool) -> Layer | None:
    """The layer that a function is on arrays with so many dimensions of positions, if any."""
    positions = _EXTENTS[:dimensions]
    example = (*positions, _CHANNELS) if channels_last else (_CHANNELS, *positions)
    shape = (_FEW, *example) if batched else example
    # Not symmetric, not sorted, and over four decades: no mean, order or sign is there by chance.
    draws = np.random.default_rng(7)
    x = draws.normal(0.2, size=shape) * 10 ** draws.uniform(-2, 2, size=shape)
    try:
        with jax.enable_x64(True):
            y, again = np.asarray(fn(x.copy())), np.asarray(fn(x.copy()))
    except Exception:  # whatever the caller's function raises on arrays that it is not made for
        return None
    if y.dtype.kind != "f" or not np.array_equal(y, again, equal_nan=True):
        return None
    close = partial(np.allclose, y, rtol=1e-4 if y.dtype.itemsize < 8 else 1e-7, atol=1e-7)
    if y.shape == shape:
        return next((layer for layer in _candidates(fn, x) if close(_values(layer, x))), None)
    start = int(batched)
    axes = tuple(range(start, start + dimensions) if channels_last else range(start + 1, x.ndim))
    mean = x.mean(axes)
    flat = x.reshape((_FEW, -1) if batched else -1)
    if y.shape == flat.shape and np.array_equal(y, flat):
        return Flatten()
    if y.size == mean.size and y.squeeze().shape == mean.shape and close(mean.reshape(y.shape)):
        return GlobalAvgPool()
    return None


def _candidates(fn: Callable, x: np.ndarray) -> Iterator[Layer]:
    """Layers that leave the shape as it is; their parameters from the function's value far to the left."""
    yield from (
        Identity(),
        Relu(),
        Gelu(),
        Tanh(),
        Sigmoid(),
        Silu(),
        Softplus(),
        Erf(),
        Abs(),
        Sin(),
        Cos(),
        Exp(),
    )
    with jax.enable_x64(True):
        left = np.asarray(fn(np.full_like(x, -100.0)), dtype=np.float64).flat[0]
    if np.isfinite(left):
        rounded = float(f"{-left:.6g}")
        yield from (LeakyRelu(slope=rounded / 100), Elu(alpha=rounded))
    yield Elementwise(_TANH_GELU)


def _values(layer: Layer, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True), np.errstate(over="ignore"):
        return np.asarray(layer.apply((), jnp.asarray(x)))


def _name(fn: Any) -> str:
    """What a message calls a function."""
    return getattr(fn, "__name__", None) or type(fn).__name__
