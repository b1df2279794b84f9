"""`Dropout`, independent random masks of channels, as in training."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import EACH_POSITION, Hyperparameter, Layer, Params, Shape, check_range, hyperparameter
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need


class Dropout(Layer):
    """Set each value to zero with probability `rate`, and divide the kept ones by 1 − rate.

    One independent mask value for every example, position and channel: K and T of an example with itself at p = p' are
    divided by 1 − rate, all else is unchanged. Two rows of a batch are two examples, even if equal.

    Args:
        rate: The probability of dropping, in [0, 1).

    Raises:
        InputError: `rate` is out of range, or `apply` is called without a key.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Relu() >> nk.Dropout(0.5) >> nk.Dense(1)
        >>> k = nk.nngp(net, np.ones((2, 3)))
        >>> float((k[0, 0] / k[0, 1]).round(6))
        2.0

    References:
        Schoenholz et al. (2017), "Deep Information Propagation" (variances and covariances under dropout).
    """

    on_padding = EACH_POSITION

    rate: Hyperparameter = hyperparameter()

    def __check_init__(self):
        """Check the range."""
        check_range(self, "rate", 0.0, 1.0, open_high=True)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "Dropout")
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if key is None:
            raise InputError(
                "Dropout: apply draws a mask and needs a random key: net.apply(params, x, key=key)"
            )
        keep = 1 - self.rate
        return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0.0)

    def propagate(self, m: Moments) -> Moments:
        return m.inflate_variances(self.rate / (1 - self.rate))

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.with_variances()
