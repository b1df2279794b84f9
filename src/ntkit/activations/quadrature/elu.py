"""The exponential linear unit, its derivatives, and their means over a normal variable."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.quadrature.ladder import Ladder


def _elu(x: Array, alpha: Array) -> Array:
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0.0)))


def _elu_derivative(x: Array, alpha: Array) -> Array:
    return jnp.where(x > 0, 1.0, alpha * jnp.exp(jnp.minimum(x, 0.0)))


def _elu_second(x: Array, alpha: Array) -> Array:
    return jnp.where(x > 0, 0.0, alpha * jnp.exp(jnp.minimum(x, 0.0)))


def _means(order: int) -> Callable | None:
    """E[elu⁽ᵒʳᵈᵉʳ⁾(m + s w)] in closed form, by E[eˣ; x < 0] = exp(m + s²/2) Φ(−(m + s²)/s)."""

    def exponential(m: Array, s: Array, s_inverse: Array) -> Array:
        return jnp.exp(m + s**2 / 2 + jax.scipy.special.log_ndtr(-(m * s_inverse + s)))

    def mean(m: Array, s: Array, alpha: Array) -> Array:
        s_inverse = 1 / jnp.maximum(s, jnp.finfo(s.dtype).tiny ** 0.5)
        t = m * s_inverse
        positive, left = jax.scipy.special.ndtr(t), exponential(m, s, s_inverse)
        if order == 0:
            ahead = m * positive + s * jnp.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
            return ahead + alpha * (left - jax.scipy.special.ndtr(-t))
        return (positive if order == 1 else 0.0) + alpha * left

    return mean


ELU = Ladder((_elu, _elu_derivative, _elu_second, _elu_second), (0.0,), _means)
