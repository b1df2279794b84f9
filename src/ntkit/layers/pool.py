"""Pooling: means and sums over windows of positions, or over all of them."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import READS_PADDING, Layer, Params, Shape
from ntkit.layers.shapes import channels_of
from ntkit.layers.window import (
    Extents,
    Padding,
    as_extents,
    as_padding,
    check_window,
    output_shape,
    through_windows,
    windows_over,
)
from ntkit.moments import Moments, Need, Window
from ntkit.moments.grid import window_sum
from ntkit.moments.places import check_positions


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

    on_padding = READS_PADDING

    window: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=None)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="VALID")

    def __check_init__(self):
        """Check extents."""
        check_window(self, self.window)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), (*pooled_shape(self, shape), shape[-1])

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _pool_batch(self, x, mean=True)

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

    on_padding = READS_PADDING

    window: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=None)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="VALID")

    def __check_init__(self):
        """Check extents."""
        check_window(self, self.window)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), (*pooled_shape(self, shape), shape[-1])

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _pool_batch(self, x, mean=False)

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

    on_padding = READS_PADDING

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(shape[:-1], "GlobalAvgPool")
        return (), (channels_of(shape, "GlobalAvgPool"),)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            return jnp.sum(x.masked(), axis=1) / x.lengths()
        check_positions(x.shape[1:-1], "GlobalAvgPool")
        return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))

    def propagate(self, m: Moments) -> Moments:
        return m.readout("GlobalAvgPool", mean=True)

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

    on_padding = READS_PADDING

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(shape[:-1], "GlobalSumPool")
        return (), (channels_of(shape, "GlobalSumPool"),)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            return jnp.sum(x.masked(), axis=1)
        check_positions(x.shape[1:-1], "GlobalSumPool")
        return jnp.sum(x, axis=tuple(range(1, x.ndim - 1)))

    def propagate(self, m: Moments) -> Moments:
        return m.readout("GlobalSumPool", mean=False)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()


def pool_windows(layer: Any, positions: tuple[int | None, ...]) -> list[Window]:
    """The windows of a pool over a grid, none larger than the image.

    Raises:
        InputError: One is.
    """
    windows = windows_over(layer, layer.window, positions)
    for window, extent in zip(windows, positions, strict=True):
        if isinstance(layer.padding, str) and extent is not None and window.size > extent:
            raise InputError(
                f"{type(layer).__name__}: the window {layer.window} is larger than the image, whose positions are "
                f"{positions}; use a smaller window, or fewer pools"
            )
    return windows


def pooled_shape(layer: Any, shape: Shape) -> tuple[int | None, ...]:
    """The positions that a pool leaves of those of one example."""
    pool_windows(layer, shape[:-1])
    return output_shape(layer, layer.window, shape)[1]


def _pool_batch(layer: AvgPool | SumPool, x: Any, *, mean: bool) -> Any:
    def pooled(values: Array, windows: list[Window]) -> Array:
        for d, window in enumerate(windows):
            values = window_sum(values, (1 + d,), window, type(layer).__name__)
        return values / math.prod(w.size for w in windows) if mean else values

    return through_windows(layer, x, lambda positions: pool_windows(layer, positions), pooled)


def _pool_moments(layer: AvgPool | SumPool, m: Moments, *, mean: bool) -> Moments:
    name = type(layer).__name__
    m.require_order(name)
    windows = pool_windows(layer, m.shape)
    shape = tuple(w.output(n, name) for w, n in zip(windows, m.shape, strict=True))

    def pool(array: Array, axis: int, dimension: int) -> Array:
        window = windows[dimension]
        total = window_sum(array, (axis,), window, name)
        return total / window.size if mean else total

    return m.mix(pool, shape, name, windows=windows)
