"""Attention as maps of positions: by matrices that depend on each example's own covariance, or by random ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import grid
from ntkit.moments.block import Block
from ntkit.moments.places import Places
from ntkit.moments.position_maps import by_matrices, zeroed

if TYPE_CHECKING:
    from ntkit.moments.moments import Moments

_stop = jax.lax.stop_gradient


def attend(m: "Moments", weights: Callable[[Array, Array], Array]) -> "Moments":
    """Positions averaged by weights(K(x, x), mask of keys) of each example, (n, P, P) both: K ← G K G'ᵀ, T alike."""

    def of_own(own: Block, places: Places | None) -> Array:
        cov = grid.as_matrix(own.cov, 1)
        keys = jnp.ones((1, 1, cov.shape[-1]), bool) if places is None else places.mask[:, None, :] > 0
        return weights(cov, keys)

    return by_matrices(m, of_own, m.shape)


def attend_at_random(m: "Moments", query_rate: Any, other_rate: Any) -> "Moments":
    """Logits as attention weights, of independent random queries and keys: K[a, b] ← K[a, b] Σ_ij K[i, j]².

    Queries at (a, b), keys and values at (i, j) each bring one factor K. T is that of the product: every factor in turn
    replaced by its own tangent kernel T + rate·K, that of queries, of keys and of values having the rate of their weights.
    """

    def on(block: Block, rows: Block, columns: Block) -> Block:
        k, lead = grid.as_matrix(block.cov, block.lead), block.lead
        total = jnp.sum(k * k, axis=(-2, -1), keepdims=True)
        gap = _gap_at_random(block, rows, columns)
        ntk = None
        if block.ntk is not None:
            t = grid.as_matrix(block.ntk, lead)
            through_sum = 2 * jnp.sum(k * (t + other_rate * k), axis=(-2, -1), keepdims=True)
            ntk = (t + query_rate * k) * total + k * through_sum
        return as_block(block, k * total, _stop(gap), ntk, rows.variances().shape[1:])

    return zeroed(m).blocks(on)


def as_block(block: Block, cov: Array, gap: Array, ntk: Array | None, shape: tuple[int, ...]) -> Block:
    """A block from matrices (…, P, P') over a grid of this shape."""
    parts = [None if a is None else grid.from_matrix(a, block.lead, shape) for a in (cov, gap, ntk)]
    return Block(parts[0], parts[1], parts[2], block.lead, True)  # type: ignore[arg-type]


def _gap_at_random(block: Block, rows: Block, columns: Block) -> Array:
    """The gap of a product of K[a, b] and Σ K[i, j]², by differences throughout."""
    lead = block.lead
    k, gap = (grid.as_matrix(a, lead) for a in (block.cov, block.gap))
    q, squares, excess = [], [], []
    for side, own in enumerate((rows, columns)):
        mine, apart = (grid.as_matrix(a, 1) for a in (own.cov, own.gap))
        variances = grid.diagonal(mine, 1)
        q.append(grid.along(variances, side, lead, True))
        squares.append(_spread(jnp.sum(mine * mine, axis=(-2, -1)), side, lead))
        excess.append(apart if lead == 1 else jnp.expand_dims(apart, 1 - side))
    # What K(x, x) and K(x', x') at [i, j] are more than K(x, x') there.
    more = [
        0.5 * (gap - excess[0] + jnp.swapaxes(q[0], -1, -2) - q[1]),
        0.5 * (gap - excess[1] + jnp.swapaxes(q[1], -1, -2) - q[0]),
    ]
    of_sum = jnp.sum(more[0] ** 2 + more[1] ** 2 + 2 * k * (more[0] + more[1]), axis=(-2, -1), keepdims=True)
    even = 0.5 * (q[0] - q[1]) * (squares[0] - squares[1])
    return jnp.maximum(
        even + 0.5 * (gap * (squares[0] + squares[1]) + of_sum * (q[0] + q[1]) - gap * of_sum), 0.0
    )


def _spread(sums: Array, side: int, lead: int) -> Array:
    """(n,) of one side, to broadcast over (…, P, P')."""
    return sums[:, None, None] if lead == 1 else jnp.expand_dims(sums[:, None, None], 1 - side)
