"""How far apart two normal variables are, each quantity to full relative accuracy where it is small.

Where u and v nearly coincide, differences of their rounded moments keep no digit. `BivariateNormal.gap` keeps them;
the functions here take their value from it and their derivatives from the moments.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import BivariateNormal


def with_derivative(value: Array, direct: Array) -> Array:
    """`value`, with the derivatives of `direct`, an expression that equals it but for rounding."""
    return jax.lax.stop_gradient(value) + (direct - jax.lax.stop_gradient(direct))


def mirrored(pair: BivariateNormal) -> BivariateNormal:
    """(u, −v)."""
    return BivariateNormal(
        pair.var1, pair.var2, -pair.cov, jnp.maximum(0.0, pair.var1 + pair.var2 + 2 * pair.cov)
    )


def squared_distance(pair: BivariateNormal) -> Array:
    """E[(u − v)²], the gap, with its derivatives."""
    return with_derivative(pair.gap, pair.var1 + pair.var2 - 2 * pair.cov)


def determinant(pair: BivariateNormal) -> Array:
    """var1·var2 − cov² ≥ 0, with its derivatives (`BivariateNormal.sine` has none where it is 0)."""
    return with_derivative(pair.sine**2, pair.var1 * pair.var2 - pair.cov**2)


def deviations(pair: BivariateNormal) -> tuple[Array, Array, Array]:
    """√var1, √var2 and √var1 − √var2; not to be differentiated where a variance is 0."""
    s1, s2 = jnp.sqrt(pair.var1), jnp.sqrt(pair.var2)
    total = s1 + s2
    return s1, s2, (pair.var1 - pair.var2) / jnp.where(total > 0, total, 1.0)


def shortfall(pair: BivariateNormal) -> Array:
    """√(var1·var2) − cov ≥ 0: what the covariance lacks to perfect correlation (a value without derivatives)."""
    s1, s2, difference = deviations(pair)
    # 2 (√(qq') − r) = E[(u − v)²] − (√q − √q')²
    near = (pair.gap - difference**2) / 2
    return jax.lax.stop_gradient(jnp.maximum(0.0, jnp.where(pair.gap < s1 * s2, near, s1 * s2 - pair.cov)))
