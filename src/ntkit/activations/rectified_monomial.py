"""Rectified monomials, the functions of the arc-cosine kernels."""

import functools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.polynomial import Monomial
from ntkit.activations.separation import shortfall
from ntkit.errors import InputError
from ntkit.layer import whole
from ntkit.moments import BivariateNormal


class RectifiedMonomial(Activation):
    """max(x, 0)ⁿ, n = `degree`, whose dual is the arc-cosine kernel of degree n up to a factor.

    With θ the angle of (u, v) and s = √(qq' − r²),

        E[f(u) f(v)] = ((π − θ) P_n(r) + s Q_n(r))/2π

    P_n being the dual of xⁿ and Q_n a polynomial in r and qq' (P_1 = r, Q_1 = 1; P_2 = qq' + 2r², Q_2 = 3r). And
    E[f'(u) f'(v)] is n² times the same for n − 1.

    Args:
        degree: From 1 to 10. Degree 0 is `Step`.

    Raises:
        InputError: `degree` is not a whole number in that range.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.RectifiedMonomial(2).fn(jnp.array(3.0)))
        9.0

    References:
        Cho and Saul, "Kernel methods for deep learning", NIPS 2009, equations (3) and (4): their k_n is twice
        this dual.
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    degree: int = eqx.field(static=True, converter=whole)

    def __check_init__(self):
        """Refuse a degree out of range."""
        degree = self.degree
        whole = isinstance(degree, (int, np.integer)) and not isinstance(degree, bool)
        if whole and degree == 0:
            raise InputError(
                "RectifiedMonomial: degree 0 is a step, which has no tangent kernel; write Step()"
            )
        if not whole or not 1 <= degree <= 10:
            raise InputError(
                f"RectifiedMonomial: degree must be a whole number from 1 to 10, found {degree!r}"
            )

    def fn(self, x: Array) -> Array:
        return jnp.maximum(x, 0.0) ** self.degree

    def dual(self, pair: BivariateNormal) -> Array:
        return _dual(self.degree, pair.var1, pair.var2, pair.cov, jax.lax.stop_gradient(pair.gap))

    def dual_slope(self, pair: BivariateNormal) -> Array:
        n = self.degree
        return n**2 * _dual(n - 1, pair.var1, pair.var2, pair.cov, jax.lax.stop_gradient(pair.gap))

    def gap(self, pair: BivariateNormal) -> Array:
        # Half of what xⁿ has, and the arc: 2·dual = P_n − (θ P_n − s Q_n)/π.
        return jnp.maximum(0.0, Monomial(self.degree).gap(pair) / 2 + _arc(self.degree, pair) / math.pi)


@functools.cache
def _arc_polynomials(degree: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """P_n and Q_n at qq' = 1, as coefficients in ascending powers of the correlation.

    Price's theorem, ∂ dual_n/∂r = n² dual_{n−1}, leaves P_n' = n² P_{n−1} and
    P_n + (1 − ρ²) Q_n' − ρ Q_n = n² (1 − ρ²) Q_{n−1}, which fixes Q_n from its highest power down.
    """
    p, q = [1], [0]
    for n in range(1, degree + 1):
        p = _next_moments(n)
        # Power j of the identity: (j + 1) Q_{j+1} − (j − 1) Q_{j−1} − Q_{j−1} = right_j.
        right = [n**2 * c for c in q] + [0, 0]
        for j, c in enumerate(q):
            right[j + 2] -= n**2 * c
        right = (right + [0] * (n + 3))[: n + 3]
        for j, c in enumerate(p):
            right[j] -= c
        new = [0] * (n + 2)
        for j in range(n, 0, -1):
            new[j - 1] = ((j + 1) * new[j + 1] - right[j]) // j
        q = new[:n]
    return tuple(float(c) for c in p), tuple(float(c) for c in q)


def _next_moments(n: int) -> list[int]:
    """E[uⁿ vⁿ] at unit variances, in ascending powers of the correlation."""
    p = [0] * (n + 1)
    for k in range(n % 2, n + 1, 2):
        h = (n - k) // 2
        p[k] = (math.factorial(n) // (math.factorial(h) * 2**h)) ** 2 // math.factorial(k)
    return p


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _dual(degree: int, var1: Array, var2: Array, cov: Array, gap: Array) -> Array:
    pair = BivariateNormal(var1, var2, cov, gap)
    p, q = _arc_polynomials(degree)
    theta, rho = pair.angle, pair.correlation
    value = (math.pi - theta) * jnp.polyval(jnp.array(p[::-1], rho.dtype), rho)
    value += jnp.sin(theta) * jnp.polyval(jnp.array(q[::-1], rho.dtype), rho)
    return pair.scale**degree * value / (2 * math.pi)


@_dual.defjvp
def _dual_jvp(degree: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """∂dual/∂r = n² dual_{n−1}; ∂dual/∂q = (n dual − r ∂dual/∂r)/2q, the dual being homogeneous; 0 at q = 0."""
    var1, var2, cov, gap = primals
    dvar1, dvar2, dcov, _ = tangents
    value = _dual(degree, var1, var2, cov, gap)
    if degree == 0:

        def angle(var1: Array, var2: Array, cov: Array) -> Array:
            return BivariateNormal(var1, var2, cov, gap).angle

        return value, jax.jvp(angle, (var1, var2, cov), (dvar1, dvar2, dcov))[1] / (-2 * math.pi)
    slope = degree**2 * _dual(degree - 1, var1, var2, cov, gap)
    by_scale = (degree * value - cov * slope) / 2
    return value, slope * dcov + by_scale * (_reciprocal(var1) * dvar1 + _reciprocal(var2) * dvar2)


def _reciprocal(x: Array) -> Array:
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1.0), 0.0)


def _arc(degree: int, pair: BivariateNormal) -> Array:
    """θ P_n − s Q_n = (−1)ⁿ n!² (qq')^(n/2) I_n(1 − ρ), I_0(x) = acos(1 − x) and I_n the integral of I_{n−1} from 0."""
    p, q = _arc_polynomials(degree)
    theta, rho = pair.angle, pair.correlation
    far = theta * jnp.polyval(jnp.array(p[::-1], rho.dtype), rho)
    far -= jnp.sin(theta) * jnp.polyval(jnp.array(q[::-1], rho.dtype), rho)
    x = shortfall(pair) / jnp.where(pair.scale > 0, pair.scale, 1.0)
    inside = jnp.minimum(x, 0.25)
    # I_0 = √(2x) Σ_k C(2k, k)/(8ᵏ(2k + 1)) xᵏ, integrated n times term by term.
    terms = [
        math.comb(2 * k, k) / (8**k * (2 * k + 1)) / math.prod(k + j + 0.5 for j in range(1, degree + 1))
        for k in range(18)
    ]
    series = jnp.polyval(jnp.array(terms[::-1], rho.dtype), inside)
    near = (-1) ** degree * math.factorial(degree) ** 2 * jnp.sqrt(2 * inside) * inside**degree * series
    return pair.scale**degree * jnp.where(x < 0.25, near, far)
