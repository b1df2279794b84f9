"""Linear maps of positions: windows, means, neighbours; what each makes of covariance, gap and tangent kernel.

With A and A' the maps of the two examples, cov ← A cov A'ᵀ, and the tangent kernel likewise. The gap takes more care: with
ρ the row sums of A, q the variances before it and D the gap,

    gap ← A D A'ᵀ − ½(diag A D_own Aᵀ + diag A' D'_own A'ᵀ) + (ρ − ρ')(A q − A' q'),

in which variances are never subtracted from covariances.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import grid
from ntkit.moments.block import Block
from ntkit.moments.neighbours import Neighbours
from ntkit.moments.places import Places, check_graphs, check_one_size, check_positions
from ntkit.moments.plan import Extent

if TYPE_CHECKING:
    from ntkit.moments.moments import Moments

_stop = jax.lax.stop_gradient
_ROUNDING = 64  # of a gap's terms: what is smaller than so many roundings of them is 0

Map = Callable[[Array, int, int], Array]
Sides = tuple[Places, Places]


def slide(m: "Moments", windows: list[grid.Window], who: str) -> "Moments":
    """Mean over the taps of windows that move together over both positions: the patches of a convolution."""
    shape = tuple(w.output(n, who) for w, n in zip(windows, m.shape, strict=True))
    taps = math.prod(w.size for w in windows)

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        def mean(padded: Array) -> Array:
            return grid.slide(padded, windows, shape, block.lead, block.paired) / taps

        def padded(array: Array) -> Array:
            return grid.pad_positions(array, windows, block.lead, block.paired, who)

        gap = padded(block.gap)
        if rows is not None and columns is not None and block.paired and windows[0].reads_zeros:
            gap = gap + _gap_to_zeros(rows.variances(), columns.variances(), windows, block.lead, who)
        ntk = None if block.ntk is None else mean(padded(block.ntk))
        return block.replace(mean(padded(block.cov)), _stop(mean(gap)), ntk)

    moved = zeroed(m).blocks(on, shape=shape)
    return _behind(moved, windows, shape, who)


def mix(
    m: "Moments", op: Map, shape: tuple[int, ...], who: str, *, windows: list[grid.Window] | None = None
) -> "Moments":
    """A linear map of positions, the same for every example, dimension by dimension."""
    if windows is None:
        check_one_size(m.ragged, who)

    def linear(array: Array, lead: int, *, paired: bool = True) -> Array:
        return grid.map_axes(array, lead, op, paired=paired)

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        cov = linear(block.cov, block.lead)
        ntk = None if block.ntk is None else linear(block.ntk, block.lead)
        gap = jnp.zeros_like(cov)
        if rows is not None and columns is not None and rows.paired and columns.paired:
            gap = _mixed_gap(block, rows, columns, linear, one_output=math.prod(shape) == 1)
        return block.replace(cov, _stop(gap), ntk)

    mixed = _own_where_paired(zeroed(m).blocks(on, shape=shape), m)
    return mixed if windows is None else _behind(mixed, windows, shape, who)


def readout(m: "Moments", who: str, *, mean: bool) -> "Moments":
    """The sum over all positions, or their mean."""
    check_positions(m.shape, who)
    if not m.ragged:
        return _squeeze(mix(m, pooling(mean), (), who))

    def weights(_: Block, places: Any) -> Array:
        mask = places.mask[:, None, :].astype(m.dtype)
        return mask / jnp.sum(mask, axis=-1, keepdims=True) if mean else mask

    read = by_matrices(m, weights, (1,))
    return dataclasses.replace(_squeeze(read), places1=None, places2=None)


def by_pattern(m: "Moments", neighbours: Neighbours, who: str) -> "Moments":
    """A map of the nodes of each graph."""
    check_graphs(m.places1 is not None and m.places1.pattern is not None, who)

    def matrix(_: Block, places: Any) -> Array:
        return neighbours.matrix(places.pattern.astype(m.dtype))

    return by_matrices(m, matrix, m.shape)


def unshared(m: "Moments", who: str) -> "Moments":
    """Fresh weights were drawn anew for each position: outputs at p ≠ p' are independent."""
    check_one_size(m.ragged, who)

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        cut = block.diagonal()
        if (m.wanted.cross if block.lead == 2 else m.wanted.own) != Extent.PAIRS:
            return cut
        pairs = cut.map(lambda a: grid.on_diagonal(a, block.lead))
        gap = pairs.gap
        if rows is not None and columns is not None:
            both = rows.variances(), columns.variances()
            apart = [grid.along(q, side, block.lead, True) for side, q in enumerate(both)]
            gap = jnp.where(grid.same_position(m.shape), gap, apart[0] + apart[1])
        return Block(pairs.cov, _stop(gap), pairs.ntk, block.lead, True)

    return m.blocks(on)


def flatten(m: "Moments", who: str) -> "Moments":
    """Positions become channels: the mean over the diagonal."""
    check_one_size(m.ragged, who)

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        cut = block.diagonal()
        mean = cut.map(lambda a: jnp.mean(a, axis=tuple(range(block.lead, a.ndim))))
        return Block(mean.cov, mean.gap, mean.ntk, block.lead, True)

    return m.blocks(on, shape=(), facts=m.facts.after_flatten(math.prod(m.shape)))


def select(m: "Moments", indices: list[Array], shape: tuple[int, ...], kept: list[int]) -> "Moments":
    """Read chosen positions: indices[d] along dimension d, of which only the dimensions `kept` stay."""

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        def read(array: Array) -> Array:
            array = grid.map_axes(
                array,
                block.lead,
                lambda a, axis, d: jnp.take(a, indices[d], axis=axis),
                paired=block.paired,
            )
            each = 2 if block.paired else 1
            gone = [
                block.lead + each * d + k for d in range(len(indices)) if d not in kept for k in range(each)
            ]
            return jnp.squeeze(array, tuple(gone))

        return block.map(read)

    return m.blocks(on, shape=shape)


def pooling(mean: bool) -> Map:
    """The mean or the sum along an axis, which stays."""
    if mean:
        return lambda a, axis, _: jnp.mean(a, axis=axis, keepdims=True)
    return lambda a, axis, _: jnp.sum(a, axis=axis, keepdims=True)


def zeroed(m: "Moments") -> "Moments":
    """The same moments, of zeros at the positions that an example does not have."""
    if not m.ragged:
        return m

    def on(block: Block, rows: Block | None, columns: Block | None, sides: Sides) -> Block:
        a, b = (grid.along(p.mask, side, block.lead, block.paired) > 0 for side, p in enumerate(sides))
        alone: Array = jnp.zeros((), block.cov.dtype)
        if rows is not None and columns is not None:
            pair = block.pair(rows.variances(), columns.variances())
            alone = jnp.where(a, pair.var1, 0.0) + jnp.where(b, pair.var2, 0.0)
        ntk = None if block.ntk is None else jnp.where(a & b, block.ntk, 0.0)
        return block.replace(jnp.where(a & b, block.cov, 0.0), _stop(jnp.where(a & b, block.gap, alone)), ntk)

    return m.placed_blocks(on)


def read_last(m: "Moments", who: str) -> "Moments":
    """The last position of each example."""
    check_positions(m.shape, who, 1)

    def unit(_: Block, places: Places | None) -> Array:
        if places is None:
            return jnp.eye(m.shape[0], dtype=m.dtype)[None, -1:]
        mask = places.mask.astype(m.dtype)
        beyond = jnp.concatenate([mask[:, 1:], jnp.zeros_like(mask[:, :1])], axis=1)
        return (mask - beyond)[:, None, :]

    return dataclasses.replace(_squeeze(by_matrices(m, unit, (1,))), places1=None, places2=None)


def _behind(m: "Moments", windows: list[grid.Window], shape: tuple[int, ...], who: str) -> "Moments":
    """The moments with the places that are left behind windows."""
    if m.places1 is None:
        return m
    places = [p and p.behind(windows[0], shape[0], who) for p in (m.places1, m.places2)]
    return dataclasses.replace(m, places1=places[0], places2=places[1])


def _own_where_paired(mixed: "Moments", before: "Moments") -> "Moments":
    """What examples have with themselves is known behind a map where all of their pairs of positions were."""
    return dataclasses.replace(
        mixed,
        own1=mixed.own1 if before.own1 is not None and before.own1.paired else None,
        own2=mixed.own2 if before.own2 is not None and before.own2.paired else None,
    )


def _squeeze(m: "Moments") -> "Moments":
    """Remove all position axes, each of extent 1."""

    def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
        squeezed = block.map(lambda a: a.reshape(a.shape[: block.lead]))
        return Block(squeezed.cov, squeezed.gap, squeezed.ntk, block.lead, True)

    return m.blocks(on, shape=())


# Maps that differ by example ------------------------------------------------------------------------------------------


def by_matrices(
    m: "Moments", matrix: Callable[[Block, Places | None], Array], shape: tuple[int, ...]
) -> "Moments":
    """A linear map of all positions: of each example, matrix(what it has with itself, its places), (n, positions, P)."""

    def on(block: Block, rows: Block | None, columns: Block | None, sides: Sides) -> Block:
        a, b = matrix(rows, sides[0]), matrix(columns, sides[1])  # type: ignore[arg-type]

        def linear(array: Array) -> Array:
            left, right = (a, b) if block.lead == 1 else (a[:, None], b[None])
            return left @ grid.as_matrix(array, block.lead) @ jnp.swapaxes(right, -1, -2)

        cov, gap = linear(block.cov), jnp.zeros((), block.cov.dtype)
        if rows is not None and columns is not None and rows.paired and columns.paired:
            gap = _gap_of_matrices(linear(block.gap), block.lead, (a, rows), (b, columns))
        ntk = None if block.ntk is None else linear(block.ntk)
        parts = [
            None if k is None else grid.from_matrix(k, block.lead, shape)
            for k in (cov, _stop(jnp.broadcast_to(gap, cov.shape)), ntk)
        ]
        return block.replace(*parts)  # type: ignore[arg-type]

    return _own_where_paired(m.placed_blocks(on, shape=shape), m)


def _gap_of_matrices(joint: Array, lead: int, *sides: tuple[Array, Block]) -> Array:
    """The gap behind maps that differ by example, given A D A'ᵀ; differences that are rounding alone become 0."""
    spread, sums, means = [], [], []
    for side, (a, own) in enumerate(sides):
        inner = 0.5 * jnp.sum((a @ grid.as_matrix(own.gap, 1)) * a, axis=-1)
        spread.append(grid.along(inner, side, lead, True))
        sums.append(grid.along(jnp.sum(a, axis=-1), side, lead, True))
        q = grid.diagonal(grid.as_matrix(own.cov, 1), 1)
        means.append(grid.along(jnp.einsum("npi,ni->np", a, q), side, lead, True))
    apart = spread[0] + spread[1]
    uneven = (sums[0] - sums[1]) * (means[0] - means[1])
    gap = joint - apart + uneven
    smallest = _ROUNDING * jnp.finfo(gap.dtype).eps * (joint + apart + jnp.abs(uneven))
    return jnp.where(gap > smallest, gap, 0.0)


# Maps that are the same for every example -----------------------------------------------------------------------------


def _mixed_gap(
    block: Block, rows: Block, columns: Block, linear: Callable[..., Array], *, one_output: bool
) -> Array:
    """The gap after a linear map A of positions, see above with A = A'.

    Where A has one output, own gaps are taken away before the sum, so that the gap of equal examples is 0 in whatever
    order it is summed.
    """
    if one_output:
        halves = [
            0.5 * (own.gap if block.lead == 1 else jnp.expand_dims(own.gap, 1 - side))
            for side, own in enumerate((rows, columns))
        ]
        return jnp.maximum(linear(block.gap - (halves[0] + halves[1]), block.lead), 0.0)
    spread = [
        grid.along(0.5 * grid.diagonal(linear(own.gap, 1), 1), side, block.lead, True)
        for side, own in enumerate((rows, columns))
    ]
    gap = linear(block.gap, block.lead) - (spread[0] + spread[1])
    q1, q2 = rows.variances(), columns.variances()
    row_sums = linear(jnp.ones((1, *q1.shape[1:]), q1.dtype), 1, paired=False)
    sums = [grid.along(row_sums, side, block.lead, True) for side in (0, 1)]
    means = [
        grid.along(linear(q, 1, paired=False), side, block.lead, True) for side, q in enumerate((q1, q2))
    ]
    return jnp.maximum(gap - (sums[1] - sums[0]) * (means[0] - means[1]), 0.0)


def _gap_to_zeros(q1: Array, q2: Array, windows: list[grid.Window], lead: int, who: str) -> Array:
    """The gap between a position inside and a padded zero: the variance of the one inside."""
    inside = grid.pad_positions(jnp.ones((1, *q1.shape[1:]), q1.dtype), windows, 1, False, who)
    parts = []
    for side, q in enumerate((q1, q2)):
        variances = grid.along(grid.pad_positions(q, windows, 1, False, who), side, lead, True)
        parts.append(variances * (1 - grid.along(inside, 1 - side, lead, True)))
    return parts[0] + parts[1]
