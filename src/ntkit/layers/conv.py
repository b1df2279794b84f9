"""`Conv`, a convolution over a grid of one to three dimensions, in the NTK and in the standard parametrisation."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import (
    READS_PADDING,
    Hyperparameter,
    Layer,
    Params,
    Shape,
    check_count,
    hyperparameter,
    whole,
)
from ntkit.layers.dense import check_weights, weight_rates
from ntkit.layers.shapes import channels_of
from ntkit.layers.window import (
    Extents,
    Padding,
    as_extents,
    as_padding,
    check_window,
    output_shape,
    pad_batch,
    through_windows,
    windows_over,
)
from ntkit.moments import Moments, Need, Window


class Conv(Layer):
    """y[o] = w_std/√(C·taps) Σ_t x[source(o, t)] W_t + b_std · b, with all weights N(0, 1).

    K[o, o'] ← w_std²/taps Σ_t K[source(o, t), source(o', t)] + b_std²; T likewise, plus what the layer's own weights add.

    Args:
        width: Number of output channels, ≥ 1.
        kernel_size: Extent of the kernel, one number for all dimensions or one each.
        stride: Step between outputs, likewise.
        padding: "SAME" (zeros outside), "VALID" (windows inside), "CIRCULAR" (round the grid), or how many zeros stand
            below and above, one pair for each dimension, such as ((1, 2), (0, 1)).
        dilation: Step between the taps of a kernel, likewise.
        w_std: Standard deviation of the weights, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of the weights, ≥ 0; 0 freezes them.
        b_lr: Learning-rate factor of the biases, ≥ 0.
        groups: Into how many groups channels fall, ≥ 1: an output channel reads the inputs of its group alone, and C counts
            these. The kernel does not change in the limit, in which the channels of each group are many; so they have to
            be alike, and more than one.

    Raises:
        InputError: A value is out of range, or groups do not divide the channels.
        NoClosedFormError: Groups of channels that are not alike (the data, `Concat`), or of one channel each.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(10)
        >>> nk.kernel(net, np.ones((2, 8, 8, 3))).ntk.shape
        (2, 2)

    References:
        Arora et al. (2019), "On Exact Computation with an Infinitely Wide Neural Net", section 4;
        Novak et al. (2019), "Bayesian Deep Convolutional Networks with Many Channels are Gaussian Processes",
        section 2.2.
    """

    on_padding = READS_PADDING

    width: int = eqx.field(static=True, converter=whole)
    kernel_size: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=1)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="SAME")
    dilation: Extents = eqx.field(static=True, converter=as_extents, default=1)
    w_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)
    groups: int = eqx.field(static=True, converter=whole, default=1)

    def __check_init__(self):
        """Check extents and ranges."""
        check_weights(self)
        check_count(self, "groups")
        _share(self.width, self.groups, "outputs")
        check_window(self, self.kernel_size)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        windows, out = output_shape(self, self.kernel_size, shape)
        channels = _share(channels_of(shape, "Conv"), self.groups, "inputs")
        return _draw(key, windows, channels, self.width), (*out, self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        def convolved(values: Array, windows: list[Window]) -> Array:
            fan_in = _share(values.shape[-1], self.groups, "inputs") * math.prod(w.size for w in windows)
            y = _convolve(self, windows, params["W"], values, self.groups)
            return self.w_std / fan_in**0.5 * y + self.b_std * params["b"]

        return through_windows(self, x, lambda p: windows_over(self, self.kernel_size, p), convolved)

    def propagate(self, m: Moments) -> Moments:
        _share(m.facts.channels, self.groups, "inputs")
        m.facts.require_alike_groups("Conv", self.groups)
        m = m.slide(windows_over(self, self.kernel_size, m.shape), "Conv")
        scale, shift = self.w_std**2, self.b_std**2
        return m.affine(
            scale, shift, weight_rate=self.w_lr * scale, bias_rate=self.b_lr * shift, channels=self.width
        )

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after


class StandardConv(Layer):
    """A convolution with W ~ N(0, w_std²/(C·taps)) and b ~ N(0, b_std²): widths enter the tangent kernel.

    As `StandardDense`, with fan_in = C·taps; the arguments are those of `Conv`, without `groups`.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.StandardConv(64, 3) >> nk.Relu() >> nk.Flatten() >> nk.StandardDense(1)
        >>> nk.kernel(net, np.ones((2, 4, 3))).ntk.shape
        (2, 2)

    References:
        Sohl-Dickstein et al. (2020), "On the infinite width limit of neural networks with a standard
        parameterization" (the improved standard parameterization).
    """

    on_padding = READS_PADDING

    width: int = eqx.field(static=True, converter=whole)
    kernel_size: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=1)
    padding: Padding = eqx.field(static=True, converter=as_padding, default="SAME")
    dilation: Extents = eqx.field(static=True, converter=as_extents, default=1)
    w_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Check extents and ranges."""
        check_weights(self)
        check_window(self, self.kernel_size)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        windows, out = output_shape(self, self.kernel_size, shape)
        channels = channels_of(shape, "StandardConv")
        params = _draw(key, windows, channels, self.width)
        scale = self.w_std / (channels * math.prod(w.size for w in windows)) ** 0.5
        return {"W": scale * params["W"], "b": self.b_std * params["b"]}, (*out, self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        def convolved(values: Array, windows: list[Window]) -> Array:
            return _convolve(self, windows, params["W"], values) + params["b"]

        return through_windows(self, x, lambda p: windows_over(self, self.kernel_size, p), convolved)

    def propagate(self, m: Moments) -> Moments:
        windows = windows_over(self, self.kernel_size, m.shape)
        fan_in = m.facts.channels * math.prod(w.size for w in windows)
        return m.slide(windows, "StandardConv").affine(
            self.w_std**2,
            self.b_std**2,
            weight_rate=self.w_lr * fan_in,
            bias_rate=self.b_lr,
            channels=self.width,
        )

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after


def _draw(key: PRNGKeyArray, windows: list[Window], channels: int, width: int) -> Params:
    w, b = jax.random.split(key)
    shape = (*(window.size for window in windows), channels, width)
    return {"W": jax.random.normal(w, shape), "b": jax.random.normal(b, (width,))}


def _share(channels: int, groups: int, which: str) -> int:
    """How many channels each group has."""
    if channels % groups:
        raise InputError(
            f"Conv: groups must divide the channels, found {groups} groups and {channels} {which}; change either"
        )
    return channels // groups


def _convolve(
    layer: Conv | StandardConv, windows: list[Window], weights: Array, x: Array, groups: int = 1
) -> Array:
    """Correlation of the padded batch with the weights."""
    letters = "DHW"[3 - len(windows) :]
    return jax.lax.conv_general_dilated(
        pad_batch(x, windows, type(layer).__name__),
        weights,
        [w.stride for w in windows],
        "VALID",
        rhs_dilation=[w.dilation for w in windows],
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
    )
