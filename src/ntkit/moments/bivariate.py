"""A pair of centred, jointly normal variables, and the angle between them to full precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.moments.angle import first_quadrant_angle


class BivariateNormal(eqx.Module):
    """Centred jointly normal (u, v), elementwise over arrays that broadcast against each other.

    `gap` = E[(u − v)²] = var1 + var2 − 2 cov is carried beside the covariance: where u and v nearly coincide,
    the difference of rounded moments keeps no digit of it. It serves accuracy alone; derivatives flow through
    `var1`, `var2` and `cov`.
    """

    var1: Float[Array, "..."]
    var2: Float[Array, "..."]
    cov: Float[Array, "..."]
    gap: Float[Array, "..."]

    @property
    def scale(self) -> Array:
        """√(var1·var2), with derivative 0 where a variance is 0."""
        return _safe_sqrt(self.var1) * _safe_sqrt(self.var2)

    @property
    def correlation(self) -> Array:
        """Cov / √(var1·var2) in [−1, 1]; 0 where a variance is 0."""
        scale = self.scale
        degenerate = scale == 0
        return jnp.where(degenerate, 0.0, jnp.clip(self.cov / jnp.where(degenerate, 1.0, scale), -1.0, 1.0))

    @property
    def angle(self) -> Array:
        """θ in [0, π] with cos θ the correlation; π/2 where a variance is 0; its derivative is 0 at 0 and π."""
        return _angle(self.var1, self.var2, self.cov, jax.lax.stop_gradient(self.gap))

    @property
    def sine(self) -> Array:
        """√(var1·var2 − cov²) = √(var1·var2)·sin θ; its derivative is taken as 0 at θ = 0 and π."""
        return _sine(self.var1, self.var2, self.cov, jax.lax.stop_gradient(self.gap))

    @property
    def arc(self) -> Array:
        """√(var1·var2)·(sin θ − θ cos θ), the part of an arc-cosine kernel that is not linear in the covariance."""
        return _arc(self.var1, self.var2, self.cov, jax.lax.stop_gradient(self.gap))


def _safe_sqrt(x: Array) -> Array:
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _half_chords(var1: Array, var2: Array, cov: Array, gap: Array) -> tuple[Array, Array]:
    """2·√(s s')·sin(θ/2) and 2·√(s s')·cos(θ/2), s and s' the standard deviations.

    4 s s' sin²(θ/2) is both gap − (s − s')² and 2 (s s' − cov): the first keeps its digits where the gap is small, the
    second where the scales differ. The cosine is the sine of (u, −v), whose gap is var1 + var2 + 2 cov.
    """
    s1, s2 = _safe_sqrt(var1), _safe_sqrt(var2)
    product = s1 * s2
    total = s1 + s2
    difference = jnp.where(total > 0, (var1 - var2) / jnp.where(total > 0, total, 1.0), 0.0) ** 2
    mirrored = (var1 + var2) + 2 * cov
    # Of s s' − cov and s s' + cov one may cancel: it is the determinant over the other one.
    large = product + jnp.abs(cov)
    determinant = _determinant(var1, var2, cov) / jnp.where(large > 0, large, 1.0)
    square = product * product
    info = jnp.finfo(product.dtype)
    cancels = (jnp.abs(cov) > 0.9 * product) & (square > info.tiny * 1e12) & (square < info.max * 1e-3)
    sin2 = jnp.where(cancels & (cov > 0), determinant, product - cov)
    cos2 = jnp.where(cancels & (cov < 0), determinant, product + cov)
    sin2 = jnp.where(64 * gap < product, gap - difference, 2 * sin2)
    cos2 = jnp.where(64 * mirrored < product, mirrored - difference, 2 * cos2)
    return _safe_sqrt(sin2), _safe_sqrt(cos2)


def _determinant(var1: Array, var2: Array, cov: Array) -> Array:
    """var1·var2 − cov², from halves of each number whose products are exact: its leading digits may cancel."""
    (a, b), (c, d), (e, f) = (_halves(x) for x in (var1, var2, cov))
    return (a * c - e * e) + ((a * d + b * c) - 2 * e * f) + (b * d - f * f)


def _halves(x: Array) -> tuple[Array, Array]:
    """Split x into the sum of its leading binary digits, half of them, and the rest."""
    unsigned = jnp.uint64 if x.dtype == jnp.float64 else jnp.uint32
    bits = (jnp.finfo(x.dtype).nmant + 2) // 2
    raw = jax.lax.bitcast_convert_type(x, unsigned)
    high = jax.lax.bitcast_convert_type((raw >> bits) << bits, x.dtype)
    return high, x - high


@jax.custom_jvp
def _angle(var1: Array, var2: Array, cov: Array, gap: Array) -> Array:
    return 2 * first_quadrant_angle(*_half_chords(var1, var2, cov, gap))


@_angle.defjvp
def _angle_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """∂θ = (−∂cov + cov ∂var1/(2 var1) + cov ∂var2/(2 var2)) / s."""
    var1, var2, cov, gap = primals
    dvar1, dvar2, dcov, _ = tangents
    s = _sine(var1, var2, cov, gap)
    inverse = jnp.where(s > 0, 1 / jnp.where(s > 0, s, 1.0), 0.0)
    moving = -dcov + 0.5 * cov * (dvar1 * _reciprocal(var1) + dvar2 * _reciprocal(var2))
    return _angle(var1, var2, cov, gap), moving * inverse


@jax.custom_jvp
def _sine(var1: Array, var2: Array, cov: Array, gap: Array) -> Array:
    sin_half, cos_half = _half_chords(var1, var2, cov, gap)
    return 0.5 * sin_half * cos_half


@_sine.defjvp
def _sine_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """∂s = (var2 ∂var1 + var1 ∂var2 − 2 cov ∂cov) / (2 s)."""
    var1, var2, cov, gap = primals
    dvar1, dvar2, dcov, _ = tangents
    s = _sine(var1, var2, cov, gap)
    inverse = jnp.where(s > 0, 0.5 / jnp.where(s > 0, s, 1.0), 0.0)
    return s, (var2 * dvar1 + var1 * dvar2 - 2 * cov * dcov) * inverse


@jax.custom_jvp
def _arc(var1: Array, var2: Array, cov: Array, gap: Array) -> Array:
    theta = _angle(var1, var2, cov, gap)
    scale = _safe_sqrt(var1) * _safe_sqrt(var2)
    t2 = theta**2
    # sin θ − θ cos θ = θ³/3 · (1 − θ²/10 + θ⁴/280 − θ⁶/15120 + …): its terms cancel to no digit at small θ.
    series = theta * t2 / 3 * (1 - t2 / 10 * (1 - t2 / 28 * (1 - t2 / 54 * (1 - t2 / 88))))
    return jnp.where(theta < 0.25, scale * series, _sine(var1, var2, cov, gap) - theta * cov)


@_arc.defjvp
def _arc_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """∂arc = −θ ∂cov + s/(2 var1) ∂var1 + s/(2 var2) ∂var2."""
    var1, var2, cov, gap = primals
    dvar1, dvar2, dcov, _ = tangents
    theta = _angle(var1, var2, cov, gap)
    s = 0.5 * _sine(var1, var2, cov, gap)
    moving = -theta * dcov + s * (dvar1 * _reciprocal(var1) + dvar2 * _reciprocal(var2))
    return _arc(var1, var2, cov, gap), moving


def _reciprocal(x: Array) -> Array:
    """1/x, and 0 at 0."""
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1.0), 0.0)
