"""`ConvTranspose`, a convolution over positions set apart by its stride, which makes images larger."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import Hyperparameter, Layer, Params, Shape, hyperparameter, whole
from ntkit.layers.dense import check_weights, weight_rates
from ntkit.layers.shapes import channels_of, positions_of
from ntkit.layers.window import Extents, as_extents, by_dimension, check_window
from ntkit.moments import Moments, Need, Window

PADDINGS = ("SAME", "VALID")


class ConvTranspose(Layer):
    """y[o] = w_std/√(C·taps) Σ_t x[(o + dilation·t − low)/stride] W_t + b_std · b, with all weights N(0, 1).

    The sum goes over those taps for which the index is a whole number and lies on the grid: the inputs are set apart by
    `stride` with zeros between them and around, `low` below, and the kernel slides over them by steps of 1. This is
    `jax.lax.conv_transpose` with `transpose_kernel=False`. With n inputs and r = (kernel_size − 1)·dilation + 1,

    * "SAME" has n·stride outputs; low = r − 1 if stride ≥ r, else ⌈(r + stride − 2)/2⌉;
    * "VALID" has n·stride + max(r − stride, 0) outputs, all that any input reaches; low = r − 1.

    The divisor counts all taps of the kernel, though an output reads one in `stride` of them, and fewer at a border: away
    from borders K becomes some w_std²/stride of what it was for each dimension, and w_std = √stride for each keeps its size.
    K[o, o'] ← w_std²/taps Σ_t K[source(o, t), source(o', t)] + b_std² over the taps that both read; T likewise.

    Args:
        width: Number of output channels, ≥ 1.
        kernel_size: Extent of the kernel, one number for all dimensions or one each.
        stride: How far apart the inputs are set, likewise.
        padding: "SAME" or "VALID", as above.
        dilation: Step between the taps of a kernel, likewise.
        w_std: Standard deviation of the weights, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of the weights, ≥ 0; 0 freezes them.
        b_lr: Learning-rate factor of the biases, ≥ 0.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3, stride=2) >> nk.Relu() >> nk.ConvTranspose(1, 2, stride=2) >> nk.Flatten()
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)

    References:
        Dumoulin & Visin (2016), "A guide to convolution arithmetic for deep learning", section 4 (transposed convolutions)
        and section 5 (kernels set apart).
    """

    width: int = eqx.field(static=True, converter=whole)
    kernel_size: Extents = eqx.field(static=True, converter=as_extents)
    stride: Extents = eqx.field(static=True, converter=as_extents, default=1)
    padding: str = eqx.field(static=True, default="SAME")
    dilation: Extents = eqx.field(static=True, converter=as_extents, default=1)
    w_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Check extents and ranges."""
        check_weights(self)
        if self.padding not in PADDINGS:
            raise InputError(
                f"ConvTranspose: padding must be one of {', '.join(PADDINGS)}, found {self.padding!r}"
            )
        check_window(self, self.kernel_size)

    def _windows(self, positions: tuple[int, ...]) -> list[Window]:
        """Windows that move by 1 over positions set apart."""
        windows = []
        for size, stride, padding, dilation in by_dimension(self, self.kernel_size, positions):
            reach = (size - 1) * dilation + 1
            total = reach + stride - 2 + (max(reach - stride, 0) if padding == "VALID" else 0)
            low = reach - 1 if padding == "VALID" or stride >= reach else -(-total // 2)
            windows.append(Window(size, 1, (low, total - low), dilation, stride))
        return windows

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels, positions = channels_of(shape, "ConvTranspose"), positions_of(shape, "ConvTranspose")
        windows = self._windows(positions)
        out = tuple(w.output(n, "ConvTranspose") for w, n in zip(windows, positions, strict=True))
        w, b = jax.random.split(key)
        weights = jax.random.normal(w, (*(window.size for window in windows), channels, self.width))
        return {"W": weights, "b": jax.random.normal(b, (self.width,))}, (*out, self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        windows = self._windows(x.shape[1:-1])
        letters = "DHW"[3 - len(windows) :]
        y = jax.lax.conv_transpose(
            x,
            params["W"],
            [w.spread for w in windows],
            self.padding,
            rhs_dilation=[w.dilation for w in windows],
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        )
        fan_in = x.shape[-1] * math.prod(w.size for w in windows)
        return self.w_std / fan_in**0.5 * y + self.b_std * params["b"]

    def propagate(self, m: Moments) -> Moments:
        m = m.slide(self._windows(m.shape), "ConvTranspose")
        scale, shift = self.w_std**2, self.b_std**2
        return m.affine(
            scale, shift, weight_rate=self.w_lr * scale, bias_rate=self.b_lr * shift, channels=self.width
        )

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after
