"""The Gabor function, a wave under a bell."""

import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import determinant, squared_distance
from ntkit.activations.widened import (
    Widened,
    inverse_root_gap,
    joint_inverse_root_gap,
    own_inverse_root_gap,
    widened,
)
from ntkit.moments import BivariateNormal


class Gabor(Activation):
    """exp(−x²)·sin(x).

    With s² = qq' − r² and Δ = (1 + 2q)(1 + 2q') − 4r², under the weight exp(−u² − v²) the pair is normal with
    covariance matrix [[q + 2s², r], [r, q' + 2s²]]/Δ, whence

        E[f(u) f(v)] = exp(−(q + q' + 4s²)/2Δ) sinh(r/Δ)/√Δ

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Gabor().fn(jnp.array(0.0)))
        0.0

    References:
        Han, Zandieh, Lee, Novak, Xiao, Karbasi, "Fast neural kernel embeddings for general activations",
        NeurIPS 2022 (list of exact dual activations).
    """

    odd: ClassVar[bool] = True
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return jnp.exp(-(x**2)) * jnp.sin(x)

    def dual(self, pair: BivariateNormal) -> Array:
        joint = widened(pair, 2.0).joint
        return _envelope(pair, joint) * jnp.sinh(pair.cov / joint)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        # The derivative of the dual in r, with ∂Δ = −8r and ∂(s²) = −2r.
        joint, r = widened(pair, 2.0).joint, pair.cov
        bell = 4 * r / joint * (1 + (1 + pair.var1 + pair.var2) / joint)
        wave = (1 + 8 * r**2 / joint) / joint
        return _envelope(pair, joint) * (bell * jnp.sinh(r / joint) + wave * jnp.cosh(r / joint))

    def gap(self, pair: BivariateNormal) -> Array:
        # f(u) f(v) is half of exp(−u² − v²)(cos(u − v) − cos(u + v)); each cosine gives a second difference.
        w = widened(pair, 2.0)
        distance = squared_distance(pair)
        difference = inverse_root_gap(w) - 2 / jnp.sqrt(w.joint) * jnp.expm1(
            -(distance + w.beta_det) / (2 * w.joint)
        )
        lifted = 2 / jnp.sqrt(w.joint) * jnp.exp(0.5 / w.joint) * jnp.expm1(distance / (2 * w.joint))
        total = math.exp(-0.5) * (_own_lift_gap(w) + 2 * _joint_lift_gap(w) - lifted)
        return jnp.maximum(0.0, (difference - total) / 2)


def _envelope(pair: BivariateNormal, joint: Array) -> Array:
    """exp(−(q + q' + 4s²)/2Δ)/√Δ."""
    return jnp.exp(-(pair.var1 + pair.var2 + 4 * determinant(pair)) / (2 * joint)) / jnp.sqrt(joint)


def _joint_lift_gap(w: Widened) -> Array:
    """φ(M) − φ(Δ) with φ(x) = exp(1/2x)/√x; 1/M − 1/Δ = β²s²/(MΔ)."""
    apart = jnp.exp(0.5 / w.joint) / jnp.sqrt(w.joint) * jnp.expm1(w.beta_det / (2 * w.middle * w.joint))
    return jnp.exp(0.5 / w.middle) * joint_inverse_root_gap(w) + apart


def _own_lift_gap(w: Widened) -> Array:
    """φ(A) + φ(B) − 2φ(M): exp(1/2x) around M, where the terms linear in A − M and B − M cancel against 1/√x."""
    a, b = 1 / jnp.sqrt(w.own1), 1 / jnp.sqrt(w.own2)
    half = w.step / (2 * w.middle)
    linear = half * 2 * w.step / (w.geometric * w.roots) * (a**2 + a * b + b**2)
    curved = a * _expm1_residual(-half * a**2) + b * _expm1_residual(half * b**2)
    return jnp.exp(0.5 / w.middle) * (own_inverse_root_gap(w) + linear + curved)


def _expm1_residual(x: Array) -> Array:
    """exp(x) − 1 − x."""
    series = jnp.zeros_like(x)
    for n in range(13, 1, -1):
        series = (1 + series) * x / n
    # The last factor of the Taylor series is x itself: x²/2 (1 + x/3 (1 + x/4 (1 + …))).
    return jnp.where(jnp.abs(x) < 0.5, series * x, jnp.expm1(x) - x)
