"""What `Moments` asks of an elementwise nonlinearity."""

from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments.bivariate import BivariateNormal


class Elementwise(Protocol):
    """A function f with its moments over pairs of centred normal variables; `ntkit.activations.Activation` is one."""

    odd: ClassVar[bool]
    discontinuous: ClassVar[bool]

    def dual(self, pair: BivariateNormal) -> Array:
        """E[f(u) f(v)]."""
        ...

    def dual_slope(self, pair: BivariateNormal) -> Array:
        """E[f'(u) f'(v)]."""
        ...

    def gap(self, pair: BivariateNormal) -> Array:
        """E[(f(u) − f(v))²]."""
        ...


def activated(
    activation: Elementwise, pair: BivariateNormal, ntk: Array | None
) -> tuple[Array, Array, Array | None]:
    """Covariance, gap and tangent kernel behind a nonlinearity: cov ← dual, ntk ← ntk·slope."""
    if ntk is not None:
        slope = activation.dual_slope(pair)
        if activation.discontinuous:
            # Infinite; where nothing below is trained, neither 0·∞ nor its gradient shall appear.
            slope = jnp.where(ntk == 0, 0.0, slope)
        ntk = ntk * slope
    cov, gap = activation.dual(pair), jax.lax.stop_gradient(activation.gap(pair))
    return _like(cov, pair.cov), _like(gap, pair.cov), ntk


def _like(array: Array, reference: Array) -> Array:
    return jnp.broadcast_to(array, reference.shape).astype(reference.dtype)
