"""The logistic function as a mixture of normal distribution functions: its moments become closed forms.

A logistic variable is a normal variable of random variance: sigmoid(x) = ∫ Φ(x/√n) dP(n), where √n/2 has the
Kolmogorov distribution (Andrews & Mallows 1974; Stefanski 1991). A quadrature of ten nodes for P reproduces the
sigmoid to 2.2e-10 and its derivative to 7.5e-10 everywhere. Under it, with e standard normal and independent of x,

    sigmoid(x) = E[1(x + √n e > 0)],   softplus(x) = E[max(x + √n e, 0)],   silu(x) = x sigmoid(x):

a step and a ReLU of an input with independent noise of variance n. So E[f(u) f(v)] is a double sum of arc-cosine
forms in (var1 + n, var2 + n', cov), at the same cost and precision at every variance and correlation.

References:
    Monahan, J. F. and Stefanski, L. A. (1992). Normal scale mixture approximations to F*(z) and computation of the
    logistic-normal integral. In Handbook of the Logistic Distribution (N. Balakrishnan, ed.).
    Andrews, D. F. and Mallows, C. L. (1974). Scale mixtures of normal distributions. J. R. Stat. Soc. B 36.
    Stefanski, L. A. (1991). A normal scale mixture representation of the logistic distribution. Stat. Probab.
    Lett. 11.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkit.activations.separation import determinant
from ntkit.moments import BivariateNormal

# Nodes n and weights of P, fitted so that the larger of the relative errors of the sigmoid less one half and of its
# derivative is smallest; bench/quadrature.py measures what the fit leaves.
NOISES = (
    (24.10562504557184, 7.597027185216299e-05),
    (14.815856776443685, 0.004108500613282313),
    (9.473670874252564, 0.0366317854595862),
    (6.1065737963693545, 0.1262309800058534),
    (3.943177372775122, 0.23694819898647615),
    (2.554526678137525, 0.28077070110921576),
    (1.6642362468934726, 0.21020804112594543),
    (1.0892712006178922, 0.08826439604373724),
    (0.7114983180199705, 0.016061019254207484),
    (0.45334904433621437, 0.0007004071298437431),
)


class NoisyPair(eqx.Module):
    """A bivariate normal pair (u, v) and the same with noise added, in units in which the larger variance is 1.

    Var(u + noise) = var1 + noise1, Var(v + noise) = var2 + noise2, `noisy` the determinant of their covariance,
    `quiet` that of (u, v). `unit` is the variance that became 1.
    """

    var1: Float[Array, "..."]
    var2: Float[Array, "..."]
    cov: Float[Array, "..."]
    quiet: Float[Array, "..."]
    unit: Float[Array, "..."]
    noise1: Float[Array, "..."]
    noise2: Float[Array, "..."]

    @property
    def noisy(self) -> Array:
        """(var1 + noise1)(var2 + noise2) − cov², without cancellation."""
        return self.quiet + self.noise2 * self.var1 + self.noise1 * self.var2 + self.noise1 * self.noise2

    @property
    def both_positive(self) -> Array:
        """P(u + noise > 0, v + noise > 0): 1/4 plus the angle of the two over 2π (Sheppard)."""
        return 0.25 + jnp.arctan2(self.cov, jnp.sqrt(self.noisy)) / (2 * math.pi)


def average(term: Callable[[NoisyPair], Array], pair: BivariateNormal) -> Array:
    """Σ p p' term(pair with noises n, n') over the mixture: 100 evaluations of `term` in constant memory."""
    one = jnp.ones((), pair.cov.dtype)
    unit = jax.lax.stop_gradient(jnp.maximum(jnp.maximum(pair.var1, pair.var2), one))
    var1, var2, cov, gap = pair.var1 / unit, pair.var2 / unit, pair.cov / unit, pair.gap / unit
    quiet = determinant(BivariateNormal(var1, var2, cov, gap))
    noise, weight = np.array(NOISES).T
    grid = [np.repeat(noise, len(noise)), np.tile(noise, len(noise)), np.outer(weight, weight).ravel()]
    rows = jnp.asarray(np.stack(grid, axis=-1), pair.cov.dtype)

    # A term is computed again in a backward pass: what 100 of them would keep is 100 times the kernel.
    @jax.checkpoint
    def one_term(noise1: Array, noise2: Array, noisy: tuple) -> Array:
        v1, v2, r, q, m = noisy
        return term(NoisyPair(v1, v2, r, q, m, noise1 / m, noise2 / m))

    def add(total: Array, row: Array) -> tuple[Array, None]:
        return total + row[2] * one_term(row[0], row[1], (var1, var2, cov, quiet, unit)), None

    shape = jnp.broadcast_shapes(var1.shape, var2.shape, cov.shape)
    return jax.lax.scan(add, jnp.zeros(shape, pair.cov.dtype), rows, unroll=5)[0]


def sigmoid_dual(p: NoisyPair) -> Array:
    """E[sigmoid(u) sigmoid(v)] less 1/4, one term: the arc-cosine kernel of degree 0 of the noisy pair."""
    return p.both_positive - 0.25


def sigmoid_slope(p: NoisyPair) -> Array:
    """E[sigmoid'(u) sigmoid'(v)], one term: the derivative of `sigmoid_dual` by the covariance."""
    return 1 / (2 * math.pi * p.unit * jnp.sqrt(p.noisy))


def softplus_dual(p: NoisyPair) -> Array:
    """E[softplus(u) softplus(v)], one term: the arc-cosine kernel of degree 1 of the noisy pair."""
    sine = jnp.sqrt(p.noisy)
    return p.unit * (sine + (math.pi - jnp.arctan2(sine, p.cov)) * p.cov) / (2 * math.pi)


def softplus_slope(p: NoisyPair) -> Array:
    """E[sigmoid(u) sigmoid(v)], one term."""
    return p.both_positive


def _silu_share(p: NoisyPair) -> Array:
    """n/(var1 + n) + n'/(var2 + n'): how much of the noisy variables is noise."""
    return p.noise1 / (p.var1 + p.noise1) + p.noise2 / (p.var2 + p.noise2)


def silu_dual(p: NoisyPair) -> Array:
    """E[silu(u) silu(v)], one term: the dual of x Φ(x/√n), which is the GELU's at n = 1."""
    extra = (p.quiet + p.cov**2 * _silu_share(p)) / (2 * math.pi * jnp.sqrt(p.noisy))
    return p.unit * (p.cov * p.both_positive + extra)


def silu_slope(p: NoisyPair) -> Array:
    """E[silu'(u) silu'(v)], one term: the derivative of `silu_dual` by the covariance."""
    share = _silu_share(p)
    extra = (p.quiet + p.cov**2 * share) / p.noisy + 2 * share - 1
    return p.both_positive + p.cov * extra / (2 * math.pi * jnp.sqrt(p.noisy))
