"""`ConvLocal`, a convolution whose weights are not shared over positions."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.layer import Hyperparameter, Layer, Params, Shape, hyperparameter, whole
from ntkit.layers.dense import check_weights, weight_rates
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
from ntkit.moments import Moments, Need
from ntkit.moments.grid import patches


class ConvLocal(Layer):
    """y[o] = w_std/√(C·taps) Σ_t x[source(o, t)] W[o]_t + b_std · b[o], weights and biases N(0, 1) for each position o.

    K[o, o] ← w_std²/taps Σ_t K[source(o, t), source(o, t)] + b_std², as of `Conv`, and K[o, o'] ← 0 for o ≠ o'; T likewise.
    So behind it `Flatten` gives what it gives behind `Conv`, and `GlobalAvgPool` as much, divided by the number of positions.

    Args:
        width: Number of output channels, ≥ 1.
        kernel_size: Extent of the kernel, one number for all dimensions or one each.
        stride: Step between outputs, likewise.
        padding: As of `Conv`.
        dilation: Step between the taps of a kernel, likewise.
        w_std: Standard deviation of the weights, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of the weights, ≥ 0; 0 freezes them.
        b_lr: Learning-rate factor of the biases, ≥ 0.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> float(nk.ntk(nk.ConvLocal(64, 1) >> nk.GlobalAvgPool(), np.ones((1, 2, 2, 1)))[0, 0])
        0.25

    References:
        Novak et al. (2019), "Bayesian Deep Convolutional Networks with Many Channels are Gaussian Processes",
        section 5.1 (networks without weight sharing).
    """

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
        windows, _ = output_shape(self, self.kernel_size, shape)
        positions = tuple(
            w.output(n, "ConvLocal") for w, n in zip(windows, positions_of(shape, "ConvLocal"), strict=True)
        )
        w, b = jax.random.split(key)
        taps = tuple(window.size for window in windows)
        weights = jax.random.normal(w, (*positions, *taps, channels_of(shape, "ConvLocal"), self.width))
        out = (*positions, self.width)
        return {"W": weights, "b": jax.random.normal(b, out)}, out

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        windows = windows_over(self, self.kernel_size, x.shape[1:-1])
        out = params["b"].shape
        read = jnp.stack(patches(x, windows, out[:-1]), axis=-2)  # (n, *positions, taps, channels)
        fan_in = read.shape[-2] * read.shape[-1]
        read = read.reshape(len(x), math.prod(out[:-1]), fan_in)
        weights = params["W"].reshape(math.prod(out[:-1]), fan_in, self.width)
        y = jnp.einsum("npk,pkw->npw", read, weights).reshape(len(x), *out)
        return self.w_std / fan_in**0.5 * y + self.b_std * params["b"]

    def propagate(self, m: Moments) -> Moments:
        m = m.keep(self.needs(m.wanted)).slide(windows_over(self, self.kernel_size, m.shape), "ConvLocal")
        scale, shift = self.w_std**2, self.b_std**2
        return m.affine(
            scale, shift, weight_rate=self.w_lr * scale, bias_rate=self.b_lr * shift, channels=self.width
        ).unshared("ConvLocal")

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after.of_diagonal()
