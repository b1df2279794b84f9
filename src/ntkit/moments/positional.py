"""Random fields of positions: what a positional encoding adds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import grid
from ntkit.moments.block import Block
from ntkit.moments.facts import Facts, sum_of

if TYPE_CHECKING:
    from ntkit.moments.moments import Moments


def add_field(m: "Moments", covariance: Callable[..., Array], rate: Any, who: str) -> "Moments":
    """Plus one random field for all examples, Gaussian and the same in law in every channel.

    K[p, p'] ← K + R[p, p'], T ← T + rate·R[p, p'], and the gap grows by R[p, p] + R[p', p'] − 2 R[p, p'], which is 0 at p = p'.

    Args:
        m: The moments.
        covariance: Gives R, (P, P) over all positions, of their extents and a dtype.
        rate: Of the field's weights.
        who: The layer's name, for messages.
    """
    r = grid.from_matrix(covariance(m.shape, m.dtype), 0, m.shape)
    variances = grid.diagonal(r, 0)[None]

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        more, own = (r, variances) if block.paired else (variances[0], variances)
        apart = jnp.zeros_like(more)
        if block.paired:
            apart = grid.along(own, 0, 1, True)[0] + grid.along(own, 1, 1, True)[0] - 2 * more
        ntk = None if block.ntk is None else block.ntk + rate * more
        return block.replace(block.cov + more, jax.lax.stop_gradient(block.gap + apart), ntk)

    field = Facts.of_data(1).after_weights(m.facts.channels)
    return m.blocks(on, facts=sum_of([m.facts, field], who))
