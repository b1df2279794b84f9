"""`BatchNorm`, normalisation of each channel over the batch, as in training: a layer of finite networks."""

import math
from typing import ClassVar, NoReturn

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError, NoClosedFormError
from ntkit.layer import Hyperparameter, Layer, Params, Shape, check_range, hyperparameter
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need


class BatchNorm(Layer):
    """y = (x − mean)/√(variance + epsilon), both over the examples and positions of the batch, one channel by itself.

    This is batch normalisation as it trains, without weights of its own. The outputs of an example depend on all
    examples beside it, so **the kernel belongs to the batch**: that of x1 and x2 is taken on one batch, x1 with x2 behind
    it, and is no block of the kernel of a larger batch. There is no closed form;
    `nk.kernel(net, x, engine="monte_carlo")` samples finite networks.

    Args:
        epsilon: Added to the variance, ≥ 0.

    Raises:
        InputError: `epsilon` is out of range; by `apply`, where a channel has a single value in the batch.
        NoClosedFormError: By any exact engine.

    Example:
        >>> import jax.numpy as jnp, ntkit as nk
        >>> nk.BatchNorm(epsilon=0).apply((), jnp.array([[1.0], [3.0]])).tolist()
        [[-1.0], [1.0]]

    References:
        Ioffe & Szegedy (2015), "Batch Normalization", algorithm 1; Yang et al. (2019), "A Mean Field Theory of Batch
        Normalization", section 3 (wide networks, whose covariances of a whole batch go together).
    """

    epsilon: Hyperparameter = hyperparameter(1e-5)

    couples_examples: ClassVar[bool] = True

    def __check_init__(self):
        """Check the range."""
        check_range(self, "epsilon", 0.0)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "BatchNorm")
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if math.prod(x.shape[:-1]) < 2:
            raise InputError(
                f"BatchNorm: a batch shaped {x.shape} has one value in each channel, whose variance is 0; give at least two "
                "examples"
            )
        axes = tuple(range(x.ndim - 1))
        centred = x - jnp.mean(x, axis=axes, keepdims=True)
        return centred / jnp.sqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + self.epsilon)

    def propagate(self, m: Moments) -> Moments:
        _refuse()

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        # Every exact reading asks this first, so that the refusal comes before any work.
        _refuse()


def _refuse() -> NoReturn:
    raise NoClosedFormError(
        "BatchNorm: it normalises by the statistics of the whole batch, so moments of two examples are integrals over all "
        "examples together, which have no closed form. Remedy: LayerNorm, whose kernel is exact, or "
        'engine="monte_carlo", which samples finite networks and gives standard errors'
    )
