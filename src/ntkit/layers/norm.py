"""`LayerNorm`, normalisation of each example by its own mean and variance."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import READS_PADDING, Layer, Params, Shape
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need

EPSILON = 1e-12


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
        if self.over not in ("channels", "channels_and_space"):
            raise InputError(
                f"LayerNorm: over must be 'channels' or 'channels_and_space', found {self.over!r}"
            )

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "LayerNorm")
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            weights = None if self.over == "channels" else x.mask[..., None]
            return x.map(lambda values: self._normalised(values, weights))  # type: ignore[return-value]
        return self._normalised(x, None)

    def _normalised(self, x: Array, weights: Array | None) -> Array:
        """The values normalised over channels, or over all where `weights` are 1."""
        axes = (x.ndim - 1,) if self.over == "channels" else tuple(range(1, x.ndim))

        def mean(values: Array) -> Array:
            if weights is None:
                return jnp.mean(values, axis=axes, keepdims=True)
            total = jnp.sum(weights * values, axis=axes, keepdims=True)
            return total / (x.shape[-1] * jnp.sum(weights, axis=axes, keepdims=True))

        centred = x - mean(x)
        return centred / jnp.sqrt(mean(centred**2) + EPSILON)

    def propagate(self, m: Moments) -> Moments:
        m.require_centred("LayerNorm")

        return m.rescale(
            lambda variances: 1 / jnp.sqrt(variances + EPSILON),
            over_positions=self.over == "channels_and_space" and len(m.shape) > 0,
        )

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.with_variances()
