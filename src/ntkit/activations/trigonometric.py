"""Waves: Sin, Cos, Rbf."""

import abc
import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import squared_distance
from ntkit.layer import Hyperparameter, check_range, hyperparameter
from ntkit.moments import BivariateNormal


def _difference_sum(pair: BivariateNormal, b: Hyperparameter) -> tuple[Array, Array]:
    """E[cos b(u − v)] = exp(−b²(q + q' − 2r)/2) and E[cos b(u + v)] = exp(−b²(q + q' + 2r)/2)."""
    minus = jnp.exp(-(b**2) / 2 * squared_distance(pair))
    return minus, jnp.exp(-(b**2) / 2 * (pair.var1 + pair.var2 + 2 * pair.cov))


def _sines(pair: BivariateNormal, b: Hyperparameter) -> Array:
    """E[sin(bu) sin(bv)] = exp(−b²(q + q')/2) sinh(b²r), from the larger exponential: no digit cancels."""
    minus, plus = _difference_sum(pair, b)
    ahead = pair.cov >= 0
    decay = jnp.expm1(-2 * b**2 * jnp.where(ahead, pair.cov, -pair.cov)) / 2
    return jnp.where(ahead, -minus * decay, plus * decay)


def _cosines(pair: BivariateNormal, b: Hyperparameter) -> Array:
    """E[cos(bu) cos(bv)] = exp(−b²(q + q')/2) cosh(b²r)."""
    minus, plus = _difference_sum(pair, b)
    return (minus + plus) / 2


def _wave_gap(pair: BivariateNormal, b: Hyperparameter, sine: Array, cosine: Array) -> Array:
    """E[(f(u) − f(v))²] of a wave with squared weights `sine` of sin(bx) and `cosine` of cos(bx), which add up to 1.

    With y = exp(−b²(q + q' − 2r)/2), p = exp(−b²(q + q' + 2r)/2) and w = `sine` − `cosine`, it is
    (1 − y)(1 + w p) − w (exp(−b²q) − exp(−b²q'))²/2.
    """
    apart = -jnp.expm1(-(b**2) / 2 * squared_distance(pair))
    exponent = -(b**2) / 2 * (pair.var1 + pair.var2 + 2 * pair.cov)
    weighted = -jnp.expm1(exponent) + 2 * sine * jnp.exp(exponent)
    step = jnp.exp(-(b**2) * jnp.minimum(pair.var1, pair.var2)) * jnp.expm1(
        -(b**2) * jnp.abs(pair.var1 - pair.var2)
    )
    return jnp.maximum(0.0, apart * weighted + (cosine - sine) * step**2 / 2)


class Wave(Activation):
    """A wave of amplitude a, frequency b and phase c.

    With m = exp(−b²(q + q' − 2r)/2) and p = exp(−b²(q + q' + 2r)/2)·cos 2c, a sine has E[f(u) f(v)] = a²(m − p)/2 and
    E[f'(u) f'(v)] = a²b²(m + p)/2; a cosine is a sine of phase c + π/2.

    References:
        Pearce, Tsuchida, Zaki, Brintrup, Neely, "Expressive priors in Bayesian neural networks: kernel combinations and
        periodic functions", UAI 2019 (periodic activations).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    a: Hyperparameter = hyperparameter(1.0)
    b: Hyperparameter = hyperparameter(1.0)
    c: Hyperparameter = hyperparameter(0.0)

    def __check_init__(self):
        """Refuse values that are not finite."""
        for name in ("a", "b", "c"):
            check_range(self, name)

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[Array, Array]:
        """The squared weights of sin(b x) and of cos(b x) in f/a; they add up to 1."""

    def dual(self, pair: BivariateNormal) -> Array:
        sine, cosine = self.parts
        return (sine * _sines(pair, self.b) + cosine * _cosines(pair, self.b)) * self.a**2

    def dual_slope(self, pair: BivariateNormal) -> Array:
        sine, cosine = self.parts
        return (sine * _cosines(pair, self.b) + cosine * _sines(pair, self.b)) * (self.a * self.b) ** 2

    def gap(self, pair: BivariateNormal) -> Array:
        return _wave_gap(pair, self.b, *self.parts) * self.a**2


class Sin(Wave):
    """a·sin(b x + c).

    Args:
        a: Amplitude.
        b: Frequency.
        c: Phase.

    Raises:
        InputError: A parameter is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Sin(b=2.0).fn(jnp.array(0.0)))
        0.0
    """

    @property
    def parts(self) -> tuple[Array, Array]:
        return jnp.cos(self.c) ** 2, jnp.sin(self.c) ** 2

    def fn(self, x: Array) -> Array:
        return jnp.sin(x * self.b + self.c) * self.a


class Cos(Wave):
    """a·cos(b x + c).

    Args:
        a: Amplitude.
        b: Frequency.
        c: Phase.

    Raises:
        InputError: A parameter is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Cos(a=2.0).fn(jnp.array(0.0)))
        2.0
    """

    @property
    def parts(self) -> tuple[Array, Array]:
        return jnp.sin(self.c) ** 2, jnp.cos(self.c) ** 2

    def fn(self, x: Array) -> Array:
        return jnp.cos(x * self.b + self.c) * self.a


class Rbf(Activation):
    """√2·sin(√(2 gamma)·x + π/4), whose dual is the RBF kernel.

    E[f(u) f(v)] = exp(−gamma·E[(u − v)²]) =: k and E[f'(u) f'(v)] = 2·gamma·k.

    Args:
        gamma: Inverse squared width, at least 0.

    Raises:
        InputError: `gamma` is negative or not finite.

    Example:
        >>> import ntkit as nk
        >>> nk.Rbf(gamma=0.5).gamma
        0.5

    References:
        Rahimi and Recht, "Random features for large-scale kernel machines", NIPS 2007, section 3 (where
        the phase is random; the kernel is the same).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    gamma: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Refuse a negative `gamma`."""
        check_range(self, "gamma", low=0.0)

    def fn(self, x: Array) -> Array:
        return math.sqrt(2) * jnp.sin(jnp.sqrt(2 * self.gamma) * x + math.pi / 4)

    def dual(self, pair: BivariateNormal) -> Array:
        return jnp.exp(-self.gamma * squared_distance(pair))

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return jnp.exp(-self.gamma * squared_distance(pair)) * (2 * self.gamma)

    def gap(self, pair: BivariateNormal) -> Array:
        return -2 * jnp.expm1(-self.gamma * pair.gap)
