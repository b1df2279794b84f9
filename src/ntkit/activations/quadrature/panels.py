"""Composite Gauss–Legendre rules for integrals over normal variables, graded in the units of the integrand.

Gauss–Hermite nodes cannot follow a function whose features are much narrower than the normal density: tanh at
variance 10⁴ changes sign within 1 % of a standard deviation. So panels are laid around the features: one unit wide
next to each break point, growing geometrically from there until they meet panels of one standard deviation.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Function = Callable[..., Array]


class Resolution(NamedTuple):
    """How finely nested integrals are taken: nodes a panel, and graded panels on each side of a break."""

    outer_nodes: int
    layer_panels: int
    outer_panels: int
    inner_nodes: int
    inner_panels: int


REACH = 8.5
WIDE = 1.9
NORMAL = Resolution(outer_nodes=12, layer_panels=8, outer_panels=6, inner_nodes=10, inner_panels=3)
FINE = Resolution(outer_nodes=16, layer_panels=10, outer_panels=8, inner_nodes=16, inner_panels=4)


def legendre(count: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Nodes and weights of Gauss–Legendre on [−1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return jnp.asarray(nodes, dtype), jnp.asarray(weights, dtype)


def density(z: Array) -> Array:
    """The standard normal density."""
    return jnp.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)


def inverse(x: Array) -> Array:
    """1/x for x ≥ 0, and a huge finite number at 0."""
    return 1 / jnp.maximum(x, jnp.finfo(x.dtype).tiny ** 0.5)


def deviation(var: Array) -> Array:
    """√var; at variance 0 not quite 0, so that a break at 0 counts with the mean of its two sides."""
    return jnp.maximum(jnp.sqrt(var), 1e8 * jnp.finfo(var.dtype).tiny)


def graded(centre: Array, start: Array, stop: Array | float, count: int) -> Float[Array, "edges ..."]:
    """The edges centre ± start·ratioʲ for j < count, the ratio reaching `stop` at j = count; in order along axis 0."""
    centre, start = jnp.broadcast_arrays(centre, start)
    powers = jnp.arange(count, dtype=centre.dtype).reshape(-1, *(1,) * centre.ndim)
    offsets = start * jnp.maximum(1.0, stop / start) ** (powers / count)
    return jnp.concatenate([centre - offsets[::-1], centre + offsets])


def uniform_edges(low: float, high: float, count: int, like: Array) -> Float[Array, "edges ..."]:
    """`count` + 1 equally spaced edges for every element of `like`."""
    edges = jnp.linspace(low, high, count + 1, dtype=like.dtype)
    return jnp.broadcast_to(edges.reshape(-1, *(1,) * like.ndim), (count + 1, *like.shape))


def merged(*groups: Float[Array, "_ ..."]) -> Float[Array, "all ..."]:
    """All edges in order along axis 0, cut off at the ends of the first group."""
    return jnp.sort(jnp.clip(jnp.concatenate(groups), groups[0][0], groups[0][-1]), axis=0)


def nodes_of(edges: Float[Array, "edges ..."], count: int) -> tuple[Array, Array]:
    """Nodes and weights of the composite rule on the panels between edges, along axis 0, density not included."""
    x, w = legendre(count, edges.dtype)
    tail = (1,) * (edges.ndim - 1)
    half, middle = (edges[1:] - edges[:-1]) / 2, (edges[1:] + edges[:-1]) / 2
    nodes = middle[:, None] + half[:, None] * x.reshape(1, count, *tail)
    weights = half[:, None] * w.reshape(1, count, *tail)
    return nodes.reshape(-1, *edges.shape[1:]), weights.reshape(-1, *edges.shape[1:])


def line(std: Float[Array, "..."], breaks: tuple[float, ...], radius: int, count: int) -> tuple[Array, Array]:
    """Nodes z and weights (density included) of E[f(std·z)], z standard normal, f with the given break points."""
    std_inverse = inverse(std)
    edges = uniform_edges(-radius, radius, 2 * radius, std)
    for b in breaks:
        centre = b * std_inverse
        edges = merged(edges, centre[None], graded(centre, std_inverse, 0.5, 6))
    nodes, weights = nodes_of(edges, count)
    return nodes, weights * density(nodes)


def smoothed(
    fn: Function, mean: Array, std: Array, breaks: tuple[float, ...], rule: Resolution = NORMAL
) -> Array:
    """E[fn(mean + std·w)], w standard normal: one node at a time, so that memory stays that of `mean`.

    Panels are counted from the break that is nearest to 0: graded next to it, then WIDE wide. The other breaks cut
    the panels that they fall into.
    """
    mean, std = jnp.broadcast_arrays(mean, std)
    std_inverse = inverse(std)
    nearest, *others = sorted(breaks, key=abs) or [0.0]
    centre = jnp.clip((nearest - mean) * std_inverse, -2 * REACH, 2 * REACH)
    start = jnp.minimum(1.0, std_inverse)
    # The first edge at or below −REACH; edges are numbered from the centre, −1 being the one before it.
    first = -_number(REACH + centre, start, rule.inner_panels)
    nodes, weights = legendre(rule.inner_nodes, mean.dtype)

    def edge(number: Array) -> Array:
        return jnp.clip(centre + _offset(number, start, rule.inner_panels), -REACH, REACH)

    def on_panel(i: Array, total: Array) -> Array:
        low, high = edge(first + i), edge(first + i + 1)
        cuts = [jnp.clip((b - mean) * std_inverse, low, high) for b in others]
        ends = jnp.sort(jnp.stack([low, *cuts, high]), axis=0) if cuts else jnp.stack([low, high])

        def on_node(k: Array, total: Array) -> Array:
            for a, b in itertools.pairwise(ends):
                w = (a + b) / 2 + (b - a) / 2 * nodes[k]
                total = total + weights[k] * (b - a) / 2 * density(w) * fn(mean + std * w)
            return total

        return jax.lax.fori_loop(0, rule.inner_nodes, on_node, total)

    count = 2 * rule.inner_panels + math.ceil(2 * REACH / WIDE) + 2
    return jax.lax.fori_loop(0, count, on_panel, jnp.zeros_like(mean))


def _offset(number: Array, start: Array, graded_panels: int) -> Array:
    """Position of the numbered edge: 0, ±start·start^(−j/n) for j < n, ±1, then in steps of WIDE."""
    size = jnp.abs(number)
    near = start ** (1 - (size - 1) / graded_panels)
    offset = jnp.where(
        size <= graded_panels, jnp.where(size == 0, 0.0, near), 1 + WIDE * (size - graded_panels - 1)
    )
    return jnp.sign(number) * offset


def _number(position: Array, start: Array, graded_panels: int) -> Array:
    """The number of the first edge at or above a position (below 0: mirrored)."""
    size = jnp.abs(position)
    wide = graded_panels + 1 + (size - 1) / WIDE
    near = 1 + graded_panels * (1 - jnp.log(jnp.maximum(size, start)) / jnp.minimum(jnp.log(start), -1e-3))
    real = jnp.sign(position) * jnp.where(size >= 1, wide, jnp.where(size > start, near, size / start))
    return jnp.ceil(real)
