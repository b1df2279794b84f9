"""E[(f(u) − f(v))²] from moments of f and f', accurate where it is small."""

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import BivariateNormal


def difference_of_moments(
    pair: BivariateNormal, dual: Array, own1: tuple[Array, Array], own2: tuple[Array, Array], jitter: float
) -> tuple[Array, Array, Array]:
    """E[(f(u) − f(v))²] from its moments where it is large, by the mean value theorem where it is small.

    Args:
        pair: The joint law of u and v.
        dual: E[f(u) f(v)].
        own1: E[f(u)²] and E[f'(u)²].
        own2: E[f(v)²] and E[f'(v)²].
        jitter: Relative error of `dual`, beside rounding.

    Returns:
        The value for small gaps, that for large ones, and where the first is the better one.
    """
    (second1, slope1), (second2, slope2) = own1, own2
    # f(u) − f(v) ≈ f'(m)(u − v), m = (u + v)/2 of variance M. With S(q) = E[f'(√q z)²] and κ = E[m (u − v)] =
    # (q − q')/2, E[f'(m)²(u − v)²] = gap·S(M) + 2 κ² S'(M), and S(M) ≈ (S(q) + S(q'))/2,
    # 2 κ S'(M) ≈ S(q) − S(q'): all up to a relative error of the order of the gap.
    near = pair.gap * (slope1 + slope2) / 2 + (pair.var1 - pair.var2) / 2 * (slope1 - slope2)
    far = second1 + second2 - 2 * dual
    # The far form loses precision·second/(gap·slope) of relative accuracy, the near one about the gap.
    precision = max(jitter, float(jnp.finfo(pair.gap.dtype).eps))
    worth = (second1 + second2) / jnp.maximum(slope1 + slope2, jnp.finfo(pair.gap.dtype).tiny)
    small = pair.gap < jnp.minimum(0.01, jnp.sqrt(precision * worth))
    return jnp.maximum(0.0, near), jnp.maximum(0.0, far), small
