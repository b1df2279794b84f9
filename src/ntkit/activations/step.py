"""Functions that jump at 0: Sign and Step.

Their NNGP has a closed form. Their derivative is 0 almost everywhere, so that automatic differentiation of a finite
network gives a tangent kernel of 0 below them; the limit of ever steeper smooth functions gives an infinite one at
u = v. Neither is the tangent kernel of the network: `dual_slope` is infinite, and the layers below have to be frozen for an
NTK to exist.
"""

import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.moments import BivariateNormal


class Sign(Activation):
    """The sign of x: −1, 0 at 0, 1.

    E[f(u) f(v)] = (2/π) asin(r/√(qq')) = 1 − 2θ/π, θ the angle of (u, v); 0 where a variance is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Sign().fn(jnp.array(-2.0)))
        -1.0

    References:
        Cho and Saul, "Kernel methods for deep learning", NIPS 2009, equations (3) and (5): their k₀ is
        (1 + this)/2.
    """

    odd: ClassVar[bool] = True
    discontinuous: ClassVar[bool] = True

    def fn(self, x: Array) -> Array:
        return jnp.sign(x)

    def dual(self, pair: BivariateNormal) -> Array:
        # The difference first: a fused multiply-add would leave rounding where the angle is π/2.
        return (math.pi / 2 - pair.angle) * (2 / math.pi)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return jnp.full_like(pair.angle, jnp.inf)

    def gap(self, pair: BivariateNormal) -> Array:
        return _jump_gap(pair)


class Step(Activation):
    """1 for x > 0, 0 for x < 0 and 1/2 at 0.

    E[f(u) f(v)] = 1/2 − θ/2π, θ the angle of (u, v), taken as π/2 where a variance is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Step().fn(jnp.array(2.0)))
        1.0

    References:
        Cho and Saul, "Kernel methods for deep learning", NIPS 2009, equations (3) and (5): their k₀ is
        twice this.
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = True

    def fn(self, x: Array) -> Array:
        return (1 + jnp.sign(x)) / 2

    def dual(self, pair: BivariateNormal) -> Array:
        return 0.5 - pair.angle / (2 * math.pi)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return jnp.full_like(pair.angle, jnp.inf)

    def gap(self, pair: BivariateNormal) -> Array:
        return _jump_gap(pair) / 4


def _jump_gap(pair: BivariateNormal) -> Array:
    """E[(sign u − sign v)²]: 4θ/π; the number of variables that are not 0, where one or both are."""
    alive1, alive2 = pair.var1 > 0, pair.var2 > 0
    theta = pair.angle
    return jnp.where(alive1 & alive2, theta * (4 / math.pi), (alive1 | alive2).astype(theta.dtype))
