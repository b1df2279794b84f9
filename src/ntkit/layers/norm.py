"""`LayerNorm` and `RMSNorm`, normalisation of each example by its own mean and variance, or by its mean square."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import READS_PADDING, Layer, Params, Shape
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need

EPSILON = 1e-12
OVER = ("channels", "channels_and_space")


class LayerNorm(Layer):
    """(x − mean)/√(variance + 1e-12), without weights of its own.

    K and T are divided by √((q + ε)(q' + ε)), q the variance over channels, or its mean over positions as well.

    Args:
        over: "channels", at every position by itself, or "channels_and_space", over all of an example.

    Raises:
        InputError: `over` is something else.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(64, w_std=3.0) >> nk.LayerNorm()
        >>> float(nk.kernel(net, np.eye(2)).nngp[0, 0].round(6))
        1.0

    References:
        Ba, Kiros & Hinton (2016), "Layer Normalization", equation (3).
    """

    on_padding = READS_PADDING

    over: str = eqx.field(static=True, default="channels")

    def __check_init__(self):
        """Check the name."""
        _check_over(self)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "LayerNorm")
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _normalised(self.over, x, centre=True)

    def propagate(self, m: Moments) -> Moments:
        m.require_centred("LayerNorm")
        return _rescaled(self.over, m)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.with_variances()


class RMSNorm(Layer):
    """x/√(mean of x² + 1e-12), without weights of its own.

    K and T are divided by √((q + ε)(q' + ε)), q the mean square over channels, or over positions as well. No mean is
    subtracted, so it may follow a ReLU; of the data q is the mean over their channels, and nothing has to be wide.

    Args:
        over: "channels", at every position by itself, or "channels_and_space", over all of an example.

    Raises:
        InputError: `over` is something else.
        NoClosedFormError: The mean square is random, since few random channels lie below (`Dropout` on the data).

    Example:
        >>> import numpy as np, ntkit as nk
        >>> float(nk.nngp(nk.RMSNorm() >> nk.Dense(1), 3 * np.eye(2))[0, 0].round(6))
        1.0

    References:
        Zhang & Sennrich (2019), "Root Mean Square Layer Normalization", equation (4).
    """

    on_padding = READS_PADDING

    over: str = eqx.field(static=True, default="channels")

    def __check_init__(self):
        """Check the name."""
        _check_over(self)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "RMSNorm")
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _normalised(self.over, x, centre=False)

    def propagate(self, m: Moments) -> Moments:
        m.require_concentrated("RMSNorm")
        return _rescaled(self.over, m)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.with_variances()


def _check_over(layer: LayerNorm | RMSNorm) -> None:
    if layer.over not in OVER:
        raise InputError(
            f"{type(layer).__name__}: over must be 'channels' or 'channels_and_space', found {layer.over!r}"
        )


def _normalised(over: str, x: Any, *, centre: bool) -> Any:
    """A batch normalised over channels, or over all that each example has."""
    if isinstance(x, Padded):
        weights = None if over == "channels" else x.mask[..., None]
        return x.map(lambda values: _values(over, values, weights, centre))
    return _values(over, x, None, centre)


def _values(over: str, x: Array, weights: Array | None, centre: bool) -> Array:
    axes = (x.ndim - 1,) if over == "channels" else tuple(range(1, x.ndim))

    def mean(values: Array) -> Array:
        if weights is None:
            return jnp.mean(values, axis=axes, keepdims=True)
        total = jnp.sum(weights * values, axis=axes, keepdims=True)
        return total / (x.shape[-1] * jnp.sum(weights, axis=axes, keepdims=True))

    centred = x - mean(x) if centre else x
    return centred / jnp.sqrt(mean(centred**2) + EPSILON)


def _rescaled(over: str, m: Moments) -> Moments:
    return m.rescale(
        lambda variances: 1 / jnp.sqrt(variances + EPSILON),
        over_positions=over == "channels_and_space" and len(m.shape) > 0,
    )
