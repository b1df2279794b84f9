"""Recurrent layers: second moments of hidden states at all pairs of times, from those one step earlier.

With weights shared over time, the pair of times (t, t') depends on (t − 1, t' − 1) alone: a scan over t carries all t'.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import grid
from ntkit.moments.bivariate import BivariateNormal
from ntkit.moments.block import Block
from ntkit.moments.elementwise import Elementwise, activated
from ntkit.moments.places import check_positions

if TYPE_CHECKING:
    from ntkit.moments.moments import Moments


class Cell(NamedTuple):
    """h[t] = f(w h[t−1] + u x[t] + b): variances of the three terms' weights, what they add to T, and f."""

    activation: Elementwise
    hidden: Any
    input: Any
    bias: Any
    hidden_rate: Any
    input_rate: Any
    bias_rate: Any
    channels: int
    reverse: bool


class _Row(NamedTuple):
    """Of one time of the rows and all times of the columns: covariance, gap, tangent kernel of the hidden states."""

    cov: Array
    gap: Array
    ntk: Array | None


def recur(m: "Moments", cell: Cell) -> "Moments":
    """The hidden states at all times."""
    check_positions(m.shape, "RNN", 1)

    def on(block: Block, rows: Block, columns: Block, sides: tuple) -> Block:
        a, b = (reading_order(None if p is None else p.mask, m.shape[0], reverse=cell.reverse) for p in sides)
        q1, q2 = (
            _variances(cell, jnp.take_along_axis(own.variances(), turn, axis=1))
            for own, turn in ((rows, a), (columns, b))
        )
        turned = block.map(lambda k: _turned(k, block.lead, a, b))
        return _over_time(cell, turned, q1, q2).map(lambda k: _turned(k, block.lead, a, b))

    facts = m.facts.after_weights(cell.channels).after_activation(cell.activation.odd)
    return m.placed_blocks(on, facts=facts)


def reading_order(mask: Array | None, room: int, *, reverse: bool) -> Array:
    """(n or 1, P), in which order an example's positions are read; doing it twice changes nothing.

    Args:
        mask: (n, P), which positions each example has; None for all.
        room: P.
        reverse: Whether from the last one to the first.
    """
    times = jnp.arange(room)[None]
    if not reverse:
        return times
    if mask is None:
        return times[:, ::-1]
    length = jnp.sum(mask > 0, axis=1, keepdims=True)
    return jnp.where(times < length, length - 1 - times, times)


def _turned(k: Array, lead: int, a: Array, b: Array) -> Array:
    """Both positions of a block in the order in which they are read."""
    first, second = (grid.along(turn, side, lead, True) for side, turn in enumerate((a, b)))
    k = jnp.take_along_axis(k, jnp.broadcast_to(first, k.shape), axis=lead)
    return jnp.take_along_axis(k, jnp.broadcast_to(second, k.shape), axis=lead + 1)


def _variances(cell: Cell, x: Array) -> tuple[Array, Array]:
    """(n, P) each: variances before the function, and behind it."""

    def step(behind: Array, of_input: Array) -> tuple[Array, tuple[Array, Array]]:
        q = cell.hidden * behind + cell.input * of_input + cell.bias
        pair = BivariateNormal(q, q, q, jnp.zeros_like(q))
        after = jnp.broadcast_to(cell.activation.dual(pair), q.shape).astype(q.dtype)
        return after, (q, after)

    _, (before, behind) = jax.lax.scan(step, jnp.zeros_like(x[:, 0]), x.T)
    return before.T, behind.T


def _over_time(cell: Cell, block: Block, rows: tuple[Array, Array], columns: tuple[Array, Array]) -> Block:
    """The block of hidden states; `rows` and `columns` are their variances, before the function and behind it."""
    lead, room = block.lead, block.cov.shape[-1]
    # (P, examples…, P'), the rows' time first.
    x = _Row(*(None if k is None else jnp.moveaxis(k, lead, 0) for k in (block.cov, block.gap, block.ntk)))  # type: ignore[arg-type]
    before1, behind1 = (jnp.moveaxis(_side(q, 0, lead), -2, 0) for q in rows)
    before2, behind2 = (_side(q, 1, lead)[..., 0, :] for q in columns)
    earlier = jnp.concatenate([jnp.zeros_like(behind1[:1]), behind1[:-1]])

    def step(h: _Row, now: tuple) -> tuple[_Row, _Row]:
        of_x, q1, one_earlier = now
        # Hidden states before the first time are 0: what is between 0 and a state is the state's variance.
        cov = cell.hidden * _later(h.cov, 0.0) + cell.input * of_x.cov + cell.bias
        gap = cell.hidden * _later(h.gap, one_earlier) + cell.input * of_x.gap
        ntk = None
        if h.ntk is not None:
            through = cell.hidden * _later(h.ntk, 0.0) + cell.input * of_x.ntk
            own = cell.hidden_rate * _later(h.cov, 0.0) + cell.input_rate * of_x.cov + cell.bias_rate
            ntk = through + own
        pair = BivariateNormal(q1, before2, cov, gap)
        after = _Row(*activated(cell.activation, pair, ntk))
        return after, after

    def zero_state(k: Array | None) -> Array | None:
        return None if k is None else jnp.zeros_like(k[0])

    gap0 = jnp.broadcast_to(behind2, x.gap.shape[1:]).astype(x.gap.dtype)
    start = _Row(jnp.zeros_like(x.cov[0]), gap0, zero_state(x.ntk))
    _, states = jax.lax.scan(step, start, (x, before1, earlier), length=room)
    return block.replace(*(None if k is None else jnp.moveaxis(k, 0, lead) for k in states))  # type: ignore[arg-type]


def _side(q: Array, side: int, lead: int) -> Array:
    """(n, P) of one side, to broadcast over (…, P, P')."""
    return grid.along(q, side, lead, True)


def _later(row: Array, first: Any) -> Array:
    """What was at t' − 1, at t'; `first` at t' = 0."""
    start = jnp.broadcast_to(jnp.asarray(first, row.dtype), (*row.shape[:-1], 1))
    return jnp.concatenate([start, row[..., :-1]], axis=-1)
