"""det(I + βΣ) of a pair's covariance matrix Σ, and the differences in which erf, Gelu, Gaussian and Gabor meet.

An expectation under N(0, Σ) of functions with a factor exp(−βx²/2) is one under a narrower normal law, times
det(I + βΣ)^(−1/2). On the diagonal (u = v, variance q) that determinant is 1 + 2βq. A gap E[(f(u) − f(v))²] is a second
difference: twice a function of the joint determinant taken from the sum of the same function of the two diagonal ones.
Each is written here as a sum of terms that do not cancel.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.separation import determinant
from ntkit.layer import Hyperparameter
from ntkit.moments import BivariateNormal


class Widened(eqx.Module):
    """The determinants for a pair (u, v) of variances q, q' and covariance r."""

    beta_cov: Array
    """βr."""
    beta_det: Array
    """β²(qq' − r²)."""
    step: Array
    """β(q − q')."""
    own1: Array
    """A = 1 + 2βq."""
    own2: Array
    """B = 1 + 2βq'."""
    middle: Array
    """M = 1 + β(q + q'), the mean of A and B."""
    joint: Array
    """Δ = det(I + βΣ) = M + β²(qq' − r²)."""
    excess: Array
    """√(AB) − 1."""

    @property
    def geometric(self) -> Array:
        """√(AB)."""
        return 1 + self.excess

    @property
    def spread(self) -> Array:
        """M − √(AB) = β²(q − q')²/(M + √(AB)), the arithmetic over the geometric mean."""
        return self.step**2 / (self.middle + self.geometric)

    @property
    def roots(self) -> Array:
        """√A + √B."""
        return jnp.sqrt(self.own1) + jnp.sqrt(self.own2)


def widened(pair: BivariateNormal, beta: Hyperparameter) -> Widened:
    """The determinants of `pair` at β ≥ 0."""
    scaled1, scaled2 = pair.var1 * beta, pair.var2 * beta
    own1, own2 = 1 + 2 * scaled1, 1 + 2 * scaled2
    total = scaled1 + scaled2
    beta_det = determinant(pair) * beta**2
    squared_excess = 2 * total + 4 * scaled1 * scaled2
    return Widened(
        beta_cov=pair.cov * beta,
        beta_det=beta_det,
        step=(pair.var1 - pair.var2) * beta,
        own1=own1,
        own2=own2,
        middle=1 + total,
        joint=1 + total + beta_det,
        excess=squared_excess / (1 + jnp.sqrt(own1) * jnp.sqrt(own2)),
    )


def root_gap(w: Widened) -> Array:
    """√A + √B − 2√Δ, split as −2(M − √(AB))/(√A + √B + 2√M) − 2(√Δ − √M)."""
    return -2 * (
        w.spread / (w.roots + 2 * jnp.sqrt(w.middle)) + w.beta_det / (jnp.sqrt(w.joint) + jnp.sqrt(w.middle))
    )


def inverse_root_gap(w: Widened) -> Array:
    """1/√A + 1/√B − 2/√Δ ≥ 0."""
    return own_inverse_root_gap(w) + 2 * joint_inverse_root_gap(w)


def own_inverse_root_gap(w: Widened) -> Array:
    """1/√A + 1/√B − 2/√M ≥ 0.

    With g = √(AB), the difference of the squares 2(M + g)/g² and 4/M is 2(M − g)(M + 2g)/(g² M).
    """
    g = w.geometric
    squares = 2 * w.spread * (w.middle + 2 * g) / (g**2 * w.middle)
    return squares / (jnp.sqrt(2 * (w.middle + g)) / g + 2 / jnp.sqrt(w.middle))


def joint_inverse_root_gap(w: Widened) -> Array:
    """1/√M − 1/√Δ ≥ 0."""
    root_m, root_d = jnp.sqrt(w.middle), jnp.sqrt(w.joint)
    return w.beta_det / (root_m * root_d * (root_m + root_d))


def tilt(w: Widened) -> Array:
    """α = atan(βr/√Δ) = asin(βr/√((1 + βq)(1 + βq')))."""
    return jnp.arctan2(w.beta_cov, jnp.sqrt(w.joint))


def tilt_gap(w: Widened) -> Array:
    """α(q) + α(q') − 2 α(r) ≥ 0, as one arc tangent.

    The complements of α(q), α(q') have tan((π/2 − α)/2) = 1/√A and 1/√B, hence the half of the sum is atan2(N, C) with
    N = √Δ (g − 1) − βr (√A + √B), C = βr (g − 1) + √Δ (√A + √B), g = √(AB). For r > 0 the product of N with its
    conjugate is (g² + 1 + 2M)(β²(qq' − r²) + (M − g)/2).
    """
    root = jnp.sqrt(w.joint)
    plus, minus = root * w.excess, w.beta_cov * w.roots
    conjugate = plus + minus
    positive = (minus > 0) & (conjugate > 0)
    product = (w.geometric**2 + 1 + 2 * w.middle) * (w.beta_det + w.spread / 2)
    numerator = jnp.where(positive, product / jnp.where(positive, conjugate, 1.0), plus - minus)
    return 2 * jnp.arctan2(jnp.maximum(0.0, numerator), w.beta_cov * w.excess + root * w.roots)


def tilt_step(w: Widened) -> Array:
    """α(q) − α(q'), of the sign of q − q'."""
    return 2 * jnp.arctan(2 * w.step / (w.roots * (w.geometric + 1)))
