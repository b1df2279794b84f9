"""`input_moments`, the second moments of the data themselves."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.batches.padded import Padded
from ntkit.moments import grid
from ntkit.moments.block import Block
from ntkit.moments.facts import Facts
from ntkit.moments.moments import Moments
from ntkit.moments.places import Places
from ntkit.moments.plan import Extent, Need

FEW_CHANNELS = 16
_NEAR = 1e-3


def input_moments(
    x1: Array | Padded,
    x2: Array | Padded | None,
    *,
    begin: Need,
    wanted: Need,
    same: Array | None = None,
    tangent: bool = True,
    known: tuple[Array, Array, Array, Array] | None = None,
) -> Moments:
    """Moments of two batches of examples, (n, *positions, channels), or of different sizes.

    Args:
        x1: The rows.
        x2: The columns; None for every example of the rows with itself alone.
        begin: What the first layer needs.
        wanted: What is wanted of the last.
        same: (n1, n2), whether row i and column j are one example of one batch.
        tangent: Whether a tangent kernel is asked for; the data's own is 0.
        known: What `products` says of all pairs of rows, where it has been asked.
    """
    (x1, places1), (x2, places2) = _laid_out(x1), _laid_out(x2)

    def own(x: Array | None) -> Block | None:
        return None if x is None else _block(x, x, 1, begin.own == Extent.PAIRS, tangent and x2 is None)

    if known is None:
        cross = None if x2 is None else _block(x1, x2, 2, begin.cross == Extent.PAIRS, tangent)
        own1, own2 = own(x1), own(x2)
    else:
        cov, gap, q1, q2 = known
        cross = Block(cov, gap, jnp.zeros_like(cov) if tangent else None, 2, True)
        own1, own2 = (Block(q, jnp.zeros_like(q), None, 1, True) for q in (q1, q2))
    known_own = begin.own != Extent.NONE
    return Moments(
        cross=cross,
        own1=own1 if known_own else None,
        own2=own2 if known_own else None,
        same=same,
        places1=places1,
        places2=places2,
        shape=x1.shape[1:-1],
        facts=Facts.of_data(x1.shape[-1]),
        wanted=wanted,
    )


def _laid_out(x: Array | Padded | None) -> tuple[Array, Places | None]:
    """The values of a batch, and its places where examples differ in size."""
    return (x.masked(), Places(x.mask, x.pattern)) if isinstance(x, Padded) else (x, None)  # type: ignore[return-value]


def _block(x1: Array, x2: Array, lead: int, paired: bool, tangent: bool) -> Block:
    q1, q2 = (grid.along(_mean(x * x), side, lead, paired) for side, x in enumerate((x1, x2)))
    a, b = (grid.along(x, side, lead, paired, trailing=1) for side, x in enumerate((x1, x2)))
    gap = _mean((a - b) ** 2)
    cov = _refined(_mean(a * b), gap, _mean((a + b) ** 2), q1 + q2)
    return Block(cov, jax.lax.stop_gradient(gap), jnp.zeros_like(cov) if tangent else None, lead, paired)


def _mean(x: Array) -> Array:
    """Mean over channels; a few are added one by one, which XLA fuses with what follows where a reduction is not."""
    channels = x.shape[-1]
    if channels > FEW_CHANNELS:
        return jnp.mean(x, axis=-1)
    return grid.sum_of_list([x[..., c] for c in range(channels)]) / channels


def _refined(dot: Array, gap: Array, mirrored: Array, total: Array) -> Array:
    """The covariance, exact to the last digit where two rows are equal or opposite, so that their angle is 0 or π."""
    return jnp.where(
        mirrored < _NEAR * total,
        (mirrored - total) / 2,
        jnp.where(gap < _NEAR * total, (total - gap) / 2, dot),
    )
