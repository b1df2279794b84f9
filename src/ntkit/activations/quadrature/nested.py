"""E[f(u) g(v)] by nested panels: right at every variance and correlation, at some 10⁵ evaluations a pair."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.activations.quadrature.ladder import Ladder
from ntkit.activations.quadrature.panels import (
    Resolution,
    density,
    deviation,
    graded,
    inverse,
    merged,
    nodes_of,
    smoothed,
    uniform_edges,
)
from ntkit.activations.separation import determinant
from ntkit.moments import BivariateNormal


def conditioned(
    first: Ladder, second: Ladder, parameters: tuple[Array, ...], pair: BivariateNormal, rule: Resolution
) -> Float[Array, "pairs"]:
    """E[f(u) g(v)], the outer integral over the variable x of larger variance, the inner over the other given x."""
    outer = _outer(first.breaks, pair, rule)
    x, mean, spread = outer.x, outer.mean, outer.spread
    product = first.fn(x, *parameters) * second.mean(mean, spread, parameters, rule)
    if first is not second:
        other = second.fn(x, *parameters) * first.mean(mean, spread, parameters, rule)
        product = jnp.where(pair.var2 > pair.var1, other, product)
    return jnp.sum(outer.weights * product, axis=0)


def squared_difference(
    ladder: Ladder, parameters: tuple[Array, ...], pair: BivariateNormal, rule: Resolution
) -> Float[Array, "pairs"]:
    """E[(f(u) − f(v))²], with relative accuracy where it is small."""
    outer = _outer(ladder.breaks, pair, rule)
    here = ladder.fn(outer.x, *parameters)
    difference = smoothed(
        lambda y: (ladder.fn(y, *parameters) - here) ** 2, outer.mean, outer.spread, ladder.breaks, rule
    )
    return jnp.sum(outer.weights * difference, axis=0)


class _Outer(NamedTuple):
    """Nodes x of the outer variable, weights, and mean and deviation of the inner one given x."""

    x: Array
    weights: Array
    mean: Array
    spread: Array


def _outer(breaks: tuple[float, ...], pair: BivariateNormal, rule: Resolution) -> _Outer:
    """The inner variable is normal with mean κ x, |κ| ≤ 1, and variance τ² = det/var(x).

    So in x nothing is narrower than the functions' own features, but for the layer of width τ/|κ| into which smoothing
    turns a break.
    """
    std = deviation(jnp.maximum(pair.var1, pair.var2))
    std_inverse = inverse(std)
    kappa = pair.cov * std_inverse**2
    tau = jnp.sqrt(determinant(pair)) * std_inverse
    finest = 1e-6 if kappa.dtype == jnp.float64 else 1e-4
    unit = jnp.minimum(0.5, std_inverse)
    layer = jnp.clip(tau * inverse(jnp.abs(kappa)) * std_inverse, finest, unit)
    edges = [uniform_edges(-9.0, 9.0, 18, std)]
    for b in breaks:
        centre = b * std_inverse
        smooth_centre = centre / jnp.where(kappa == 0, 1.0, kappa)
        edges += [centre[None], graded(centre, unit, 0.5, rule.outer_panels)]
        edges += [smooth_centre[None], graded(smooth_centre, layer, unit, rule.layer_panels)]
    z, weights = nodes_of(merged(*edges), rule.outer_nodes)
    return _Outer(std * z, weights * density(z), kappa * std * z, jnp.broadcast_to(tau, z.shape))
