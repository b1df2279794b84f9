"""Exponentials: Exp, Gaussian, ExpNormalized."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import deviations, shortfall, squared_distance, with_derivative
from ntkit.activations.widened import inverse_root_gap, widened
from ntkit.layer import Hyperparameter, check_range, hyperparameter
from ntkit.moments import BivariateNormal


class Exp(Activation):
    """a·exp(b x).

    E[f(u) f(v)] = a² exp(b²(q + q' + 2r)/2) =: k and E[f'(u) f'(v)] = b² k. They overflow where b²·variance exceeds
    about 350 in float64 and 44 in float32.

    Args:
        a: Height at 0.
        b: Rate.

    Raises:
        InputError: A parameter is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Exp(a=2.0).fn(jnp.array(0.0)))
        2.0

    References:
        Mairal, Koniusz, Harchaoui, Schmid, "Convolutional kernel networks", NIPS 2014, Lemma 1 (the same integral).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    a: Hyperparameter = hyperparameter(1.0)
    b: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Refuse values that are not finite."""
        check_range(self, "a")
        check_range(self, "b")

    def fn(self, x: Array) -> Array:
        return jnp.exp(x * self.b) * self.a

    def dual(self, pair: BivariateNormal) -> Array:
        return jnp.exp((pair.var1 + pair.var2 + 2 * pair.cov) * (self.b**2 / 2)) * self.a**2

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return self.dual(pair) * self.b**2

    def gap(self, pair: BivariateNormal) -> Array:
        # (exp(b²q) − exp(b²q'))² + 2 exp(b²(q + q'))(1 − exp(−b² gap/2)): both terms are at least 0.
        rate = self.b**2
        largest = jnp.maximum(pair.var1, pair.var2)
        norms = (jnp.exp(rate * largest) * jnp.expm1(-rate * jnp.abs(pair.var1 - pair.var2))) ** 2
        apart = -2 * jnp.exp(rate * (pair.var1 + pair.var2)) * jnp.expm1(-rate / 2 * squared_distance(pair))
        return (norms + apart) * self.a**2


class Gaussian(Activation):
    """a·exp(b x²), b ≤ 0.

    With Δ = (1 − 2bq)(1 − 2bq') − 4b²r², E[f(u) f(v)] = a²/√Δ and E[f'(u) f'(v)] = 4a²b²r/Δ^(3/2).

    Args:
        a: Height at 0.
        b: Minus the inverse squared width, at most 0: with b > 0 the moments are infinite at large variances.

    Raises:
        InputError: `b` is positive, or a parameter is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Gaussian(a=2.0).fn(jnp.array(0.0)))
        2.0

    References:
        Han, Zandieh, Lee, Novak, Xiao, Karbasi, "Fast neural kernel embeddings for general activations",
        NeurIPS 2022 (list of exact dual activations). The Gaussian units of Williams, "Computing with
        infinite networks", NIPS 1996, are another function: radial ones.
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    a: Hyperparameter = hyperparameter(1.0)
    b: Hyperparameter = hyperparameter(-1.0)

    def __check_init__(self):
        """Refuse a positive `b`."""
        check_range(self, "a")
        check_range(self, "b", high=0.0)

    def fn(self, x: Array) -> Array:
        return jnp.exp(x**2 * self.b) * self.a

    def dual(self, pair: BivariateNormal) -> Array:
        return 1 / jnp.sqrt(widened(pair, -2 * self.b).joint) * self.a**2

    def dual_slope(self, pair: BivariateNormal) -> Array:
        joint = widened(pair, -2 * self.b).joint
        return 4 * pair.cov / (joint * jnp.sqrt(joint)) * (self.a * self.b) ** 2

    def gap(self, pair: BivariateNormal) -> Array:
        return inverse_root_gap(widened(pair, -2 * self.b)) * self.a**2


class ExpNormalized(Activation):
    """√q·exp(√gamma·x/√q + gamma·(shift − 1)/2), q the variance of x: the Gaussian kernel of normalised inputs.

    Its dual is √(qq')·exp(gamma·(r/√(qq') + shift)), homogeneous in the inputs; E[f'(u) f'(v)] is gamma times that
    exponential. The variance q belongs to a whole example, hence f is not elementwise: `fn` takes for q the mean square
    over the last axis (the channels), which tends to the variance as the width grows. The dependence of q on the
    weights adds nothing to the tangent kernel in that limit. Where q = 0 the function is 0.

    Args:
        gamma: Inverse squared width of the kernel, at least 0.
        shift: Added to the correlation; −1 keeps the variance of every example.

    Raises:
        InputError: `gamma` is negative, or a parameter is not finite.

    Example:
        >>> import ntkit as nk
        >>> nk.ExpNormalized().shift
        -1.0

    References:
        Shankar, Fang, Guo, Fridovich-Keil, Schmidt, Ragan-Kelley, Recht, "Neural kernels without tangents", ICML 2020,
        where it is the normalised Gaussian kernel (shift = −1).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    gamma: Hyperparameter = hyperparameter(1.0)
    shift: Hyperparameter = hyperparameter(-1.0)

    def __check_init__(self):
        """Refuse a negative `gamma`."""
        check_range(self, "gamma", low=0.0)
        check_range(self, "shift")

    def fn(self, x: Array) -> Array:
        square = jnp.mean(x**2, axis=-1, keepdims=True)
        alive = square > 0
        root = jnp.sqrt(jnp.where(alive, square, 1.0))
        value = root * jnp.exp(jnp.sqrt(self.gamma) * x / root + self.gamma * (self.shift - 1) / 2)
        return jnp.where(alive, value, 0.0)

    def dual(self, pair: BivariateNormal) -> Array:
        return pair.scale * jnp.exp(self.gamma * (_correlation(pair) + self.shift))

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return jnp.exp((_correlation(pair) + self.shift) * self.gamma) * self.gamma

    def gap(self, pair: BivariateNormal) -> Array:
        s1, s2, difference = deviations(pair)
        product = s1 * s2
        lost = shortfall(pair) / jnp.where(product > 0, product, 1.0)
        apart = difference**2 - 2 * product * jnp.expm1(-self.gamma * lost)
        return jnp.exp(self.gamma * (1 + self.shift)) * apart


def _correlation(pair: BivariateNormal) -> Array:
    """The correlation, with derivatives also at ±1, where `BivariateNormal.correlation` is clipped."""
    scale = pair.scale
    degenerate = scale == 0
    return with_derivative(
        pair.correlation, jnp.where(degenerate, 0.0, pair.cov / jnp.where(degenerate, 1.0, scale))
    )
