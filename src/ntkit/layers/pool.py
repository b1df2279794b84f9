"""Pooling: means and sums over windows of positions, or over all of them."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import Layer, Params, Shape
from ntkit.layers.shapes import channels_of, positions_of
from ntkit.layers.window import (
    Extents,
    Padding,
    as_extents,
    as_padding,
    check_window,
    output_shape,
    windows_over,
)
from ntkit.moments import Moments, Need, Window
from ntkit.moments.grid import window_sum
from ntkit.moments.moments import check_positions


class AvgPool(Layer):
    """Mean over windows of positions; padded positions count as zeros, and the divisor is the window's full size.

    K ← A K A', T ← A T A', A the matrix of the mean.

    Local average pooling (LAP), the mean over a box of radius c around every position, before a readout of all positions, is
    `AvgPool(2*c + 1, stride=1, padding="CIRCULAR") >> Flatten()`, or with "SAME" for zeros outside; see `zoo.cnn_lap`.

    Args:
        window: Extent of the window, one number for all dimensions or one each.
        stride: Step between windows; None for the window's extent.
        padding: "VALID" (windows inside), "SAME" (zeros outside), "CIRCULAR" (round the grid), or how many zeros stand
            below and above, one pair for each dimension, such as ((1, 2), (0, 1)).

    Raises:
        InputError: A value is out of range, or a window is larger than the image.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.AvgPool(2) >> nk.Flatten() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)

    References:
        Novak et al. (2019), "Bayesian Deep Convolutional Networks with Many Channels are Gaussian Processes",
        section 3.2 (global average pooling);
        Li et al. (2019), "Enhanced Convolutional Neural Tangent Kernels" (local average pooling).
    """

    window: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=None)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="VALID")

    def __check_init__(self):
        """Check extents."""
        check_window(self, self.window)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), (*_pooled(self, shape)[1], shape[-1])

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        windows = _windows(self, x.shape[1:-1])
        return _pool_batch(x, windows, "AvgPool") / math.prod(w.size for w in windows)

    def propagate(self, m: Moments) -> Moments:
        return _pool_moments(self, m, mean=True)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()


class SumPool(Layer):
    """Sum over windows of positions; the arguments are those of `AvgPool`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.SumPool(2) >> nk.Flatten() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)
    """

    window: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=None)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="VALID")

    def __check_init__(self):
        """Check extents."""
        check_window(self, self.window)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), (*_pooled(self, shape)[1], shape[-1])

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _pool_batch(x, _windows(self, x.shape[1:-1]), "SumPool")

    def propagate(self, m: Moments) -> Moments:
        return _pool_moments(self, m, mean=False)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()


class GlobalAvgPool(Layer):
    """Mean over all positions: K and T become their means over all pairs of positions.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)
    """

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(positions_of(shape, "GlobalAvgPool"), "GlobalAvgPool")
        return (), (channels_of(shape, "GlobalAvgPool"),)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        check_positions(x.shape[1:-1], "GlobalAvgPool")
        return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))

    def propagate(self, m: Moments) -> Moments:
        m.require_positions("GlobalAvgPool")
        return m.mix(lambda a, axis, _: jnp.mean(a, axis=axis, keepdims=True), (), drop=True)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()


class GlobalSumPool(Layer):
    """Sum over all positions: K and T become their sums over all pairs of positions.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)
    """

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(positions_of(shape, "GlobalSumPool"), "GlobalSumPool")
        return (), (channels_of(shape, "GlobalSumPool"),)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        check_positions(x.shape[1:-1], "GlobalSumPool")
        return jnp.sum(x, axis=tuple(range(1, x.ndim - 1)))

    def propagate(self, m: Moments) -> Moments:
        m.require_positions("GlobalSumPool")
        return m.mix(lambda a, axis, _: jnp.sum(a, axis=axis, keepdims=True), (), drop=True)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()


def _windows(layer: AvgPool | SumPool, positions: tuple[int, ...]) -> list[Window]:
    windows = windows_over(layer, layer.window, positions)
    for window, extent in zip(windows, positions, strict=True):
        if isinstance(layer.padding, str) and window.size > extent:
            raise InputError(
                f"{type(layer).__name__}: the window {layer.window} is larger than the image, whose positions are "
                f"{positions}; use a smaller window, or fewer pools"
            )
    return windows


def _pooled(layer: AvgPool | SumPool, shape: Shape) -> tuple[list[Window], tuple[int, ...]]:
    _windows(layer, positions_of(shape, type(layer).__name__))
    return output_shape(layer, layer.window, shape)


def _pool_batch(x: Array, windows: list[Window], who: str) -> Array:
    for d, window in enumerate(windows):
        x = window_sum(x, (1 + d,), window, who)
    return x


def _pool_moments(layer: AvgPool | SumPool, m: Moments, *, mean: bool) -> Moments:
    name = type(layer).__name__
    windows = _windows(layer, m.shape)
    shape = tuple(w.output(n, name) for w, n in zip(windows, m.shape, strict=True))

    def pool(array: Array, axis: int, dimension: int) -> Array:
        window = windows[dimension]
        total = window_sum(array, (axis,), window, name)
        return total / window.size if mean else total

    return m.mix(pool, shape)
