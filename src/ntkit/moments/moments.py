"""`Moments`, what an infinitely wide layer knows of two batches; layers write formulas, this class knows the layout."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ntkit.errors import InputError
from ntkit.moments import combine, grid
from ntkit.moments.block import Block
from ntkit.moments.elementwise import Elementwise
from ntkit.moments.facts import Facts
from ntkit.moments.plan import Extent, Need

_stop = jax.lax.stop_gradient
Number = Any  # a hyperparameter: float, array or tracer


class Moments(eqx.Module):
    """Second moments of a layer's channels over a batch of rows and a batch of columns.

    Attributes:
        cross: Examples of the rows with examples of the columns; None when only examples with themselves are wanted.
        own1: Examples of the rows, each with itself; None where no layer asks for variances any more.
        own2: The same of the columns.
        same: Whether row i and column j are one and the same example (of one batch), for layers that draw per example.
        shape: Extents of the grid of positions, () for vectors.
        facts: What is known of the channels' distribution.
        wanted: What will be needed of the outputs of the layer that gets these moments.
    """

    cross: Block | None
    own1: Block | None
    own2: Block | None
    same: Bool[Array, "n1 n2"] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    facts: Facts = eqx.field(static=True)
    wanted: Need = eqx.field(static=True)

    # Layout ---------------------------------------------------------------------------------------------------------

    def wanting(self, need: Need) -> "Moments":
        """The same moments, for a layer of whose outputs `need` will be wanted."""
        return dataclasses.replace(self, wanted=need)

    def keep(self, need: Need) -> "Moments":
        """Drop what is not needed: pairs of positions where the diagonal is enough, whole blocks where nothing is."""

        def cut(block: Block | None, extent: Extent) -> Block | None:
            if block is None or extent == Extent.NONE:
                return None
            return block.diagonal() if extent == Extent.DIAGONAL else block

        return dataclasses.replace(
            self,
            cross=cut(self.cross, need.cross),
            own1=cut(self.own1, need.own),
            own2=cut(self.own2, need.own),
        )

    def settled(self) -> "Moments":
        """The same moments, to be computed once (see `grid.settled`)."""
        blocks = [None if b is None else b.map(grid.settled) for b in (self.cross, self.own1, self.own2)]
        return dataclasses.replace(self, cross=blocks[0], own1=blocks[1], own2=blocks[2])

    def with_facts(self, facts: Facts) -> "Moments":
        """The same moments of channels of which other facts are known."""
        return dataclasses.replace(self, facts=facts)

    def with_sources(self, sources: Iterable) -> "Moments":
        """The same moments, the random weights below named by other tokens."""
        return self.with_facts(dataclasses.replace(self.facts, sources=frozenset(sources)))

    def _blocks(self, f: Callable[..., Block], **changes) -> "Moments":
        """Apply f(block, rows with themselves, columns with themselves) to every block."""
        cross = None if self.cross is None else f(self.cross, self.own1, self.own2)
        own1 = None if self.own1 is None else f(self.own1, self.own1, self.own1)
        own2 = None if self.own2 is None else f(self.own2, self.own2, self.own2)
        return dataclasses.replace(self, cross=cross, own1=own1, own2=own2, **changes)

    # Facts ----------------------------------------------------------------------------------------------------------

    def require_gaussian(self, who: str) -> None:
        """Raise `NoClosedFormError` unless the channels are identically distributed Gaussian variables."""
        self.facts.require_gaussian(who)

    def require_centred(self, who: str) -> None:
        """Raise `NoClosedFormError` unless the mean over channels is zero."""
        self.facts.require_centred(who)

    def require_positions(self, who: str, dimensions: int | None = None) -> int:
        """The number of dimensions of the grid; raise `InputError` for vectors, or where it is not `dimensions`."""
        found = len(self.shape)
        check_positions(self.shape, who, dimensions)
        return found

    # Maps of channels -----------------------------------------------------------------------------------------------

    def activate(self, activation: Elementwise) -> "Moments":
        """Elementwise nonlinearity: cov ← dual, ntk ← ntk·slope."""

        def on(block: Block, rows: Block, columns: Block) -> Block:
            pair = block.pair(rows.variances(), columns.variances())
            ntk = None
            if block.ntk is not None:
                s = activation.dual_slope(pair)
                if activation.discontinuous:
                    # Infinite; where nothing below is trained, neither 0·∞ nor its gradient shall appear.
                    s = jnp.where(block.ntk == 0, 0.0, s)
                ntk = block.ntk * s
            cov, gap = activation.dual(pair), _stop(activation.gap(pair))
            return block.replace(_like(cov, block.cov), _like(gap, block.cov), ntk)

        return self._blocks(on, facts=self.facts.after_activation(activation.odd))

    def affine(
        self, scale: Number, shift: Number, *, weight_rate: Number, bias_rate: Number, channels: int
    ) -> "Moments":
        """Fresh weights: cov ← scale·cov + shift, ntk ← scale·ntk + weight_rate·cov + bias_rate, the old cov on the right."""

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            ntk = None if block.ntk is None else scale * block.ntk + (weight_rate * block.cov + bias_rate)
            return block.replace(scale * block.cov + shift, _stop(scale * block.gap), ntk)

        return self._blocks(on, facts=self.facts.after_weights(channels))

    def rescale(self, factor: Callable[[Array], Array]) -> "Moments":
        """Divide out a scale: channel h(x, p) ← a·h with a = factor(variances of the example)."""

        def on(block: Block, rows: Block, columns: Block) -> Block:
            pair = block.pair(rows.variances(), columns.variances())
            a1 = grid.along(factor(rows.variances()), 0, block.lead, block.paired)
            a2 = grid.along(factor(columns.variances()), 1, block.lead, block.paired)
            # E[(a u − a' v)²] with the cancellation of equal scales done by hand.
            gap = a1 * a2 * block.gap + (a1 - a2) * (a1 * pair.var1 - a2 * pair.var2)
            ntk = None if block.ntk is None else a1 * a2 * block.ntk
            return block.replace(a1 * a2 * block.cov, _stop(jnp.maximum(gap, 0.0)), ntk)

        return self._blocks(on)

    def inflate_variances(self, extra: Number) -> "Moments":
        """Independent noise of relative variance `extra` at every example, position and channel (dropout)."""

        def on(block: Block, rows: Block, columns: Block) -> Block:
            pair = block.pair(rows.variances(), columns.variances())
            same = self._same(block)
            factor = jnp.where(same, 1.0 + extra, 1.0)
            gap = jnp.where(same, (1.0 + extra) * block.gap, block.gap + extra * (pair.var1 + pair.var2))
            ntk = None if block.ntk is None else factor * block.ntk
            return block.replace(factor * block.cov, _stop(gap), ntk)

        return self._blocks(on, facts=self.facts.after_mask())

    def _same(self, block: Block) -> Array:
        """Whether an entry is about one example at one position."""
        mask = grid.same_position(self.shape) if block.paired else jnp.ones((1,) * len(self.shape), bool)
        if block.lead == 1:
            return jnp.asarray(mask)[None]
        if self.same is None:
            return jnp.zeros((1,) * block.cov.ndim, bool)
        return self.same.reshape(self.same.shape + (1,) * mask.ndim) & mask[None, None]

    # Maps of positions ----------------------------------------------------------------------------------------------

    def slide(self, windows: list[grid.Window], who: str) -> "Moments":
        """Mean over the taps of windows that move together over both positions: the patches of a convolution."""
        shape = tuple(w.output(n, who) for w, n in zip(windows, self.shape, strict=True))
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

        return self._blocks(on, shape=shape)

    def unshared(self) -> "Moments":
        """Fresh weights were drawn anew for each position: outputs at p ≠ p' are independent."""

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            cut = block.diagonal()
            if (self.wanted.cross if block.lead == 2 else self.wanted.own) != Extent.PAIRS:
                return cut
            pairs = cut.map(lambda a: grid.on_diagonal(a, block.lead))
            gap = pairs.gap
            if rows is not None and columns is not None:
                both = rows.variances(), columns.variances()
                apart = [grid.along(q, side, block.lead, True) for side, q in enumerate(both)]
                gap = jnp.where(grid.same_position(self.shape), gap, apart[0] + apart[1])
            return Block(pairs.cov, _stop(gap), pairs.ntk, block.lead, True)

        return self._blocks(on)

    def mix(
        self, op: Callable[[Array, int, int], Array], shape: tuple[int, ...], *, drop: bool = False
    ) -> "Moments":
        """A linear map A of positions, dimension by dimension: cov ← A cov A'.

        Args:
            op: op(array, axis, dimension) applies the map of one dimension along one axis; axes keep their number.
            shape: Extents of the grid after it.
            drop: Remove the axes of extent 1 that the map leaves.
        """

        def linear(array: Array, lead: int, *, paired: bool = True) -> Array:
            return grid.map_axes(array, lead, op, paired=paired)

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            cov = linear(block.cov, block.lead)
            ntk = None if block.ntk is None else linear(block.ntk, block.lead)
            gap = jnp.zeros_like(cov)
            if rows is not None and columns is not None and rows.paired and columns.paired:
                gap = _mixed_gap(block, rows, columns, linear, one_output=math.prod(shape) == 1)
            return block.replace(cov, _stop(gap), ntk)

        mixed = self._blocks(on, shape=shape)
        mixed = dataclasses.replace(
            mixed,
            own1=mixed.own1 if self.own1 is not None and self.own1.paired else None,
            own2=mixed.own2 if self.own2 is not None and self.own2.paired else None,
        )
        return mixed._squeeze() if drop else mixed

    def _squeeze(self) -> "Moments":
        """Remove all position axes, each of extent 1."""

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            squeezed = block.map(lambda a: a.reshape(a.shape[: block.lead]))
            return Block(squeezed.cov, squeezed.gap, squeezed.ntk, block.lead, True)

        return self._blocks(on, shape=())

    def select(self, indices: list[Array], shape: tuple[int, ...], kept: list[int]) -> "Moments":
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
                    block.lead + each * d + k
                    for d in range(len(indices))
                    if d not in kept
                    for k in range(each)
                ]
                return jnp.squeeze(array, tuple(gone))

            return block.map(read)

        return self._blocks(on, shape=shape)

    # Maps of layers -------------------------------------------------------------------------------------------------

    def repeat(self, step: Callable[["Moments"], "Moments"], times: int) -> "Moments":
        """One step many times, as a loop once the moments have found their form."""
        first = step(self)
        if times == 1:
            return first
        second = step(first)
        if not _alike(first, second):
            for _ in range(times - 2):
                second = step(second)
            return second
        start, static = eqx.partition(second, eqx.is_array)

        def body(arrays: Moments, _: None) -> tuple[Moments, None]:
            # Tokens of random weights are new every time; inside the loop nothing compares them with one another.
            out = step(eqx.combine(arrays, static)).with_facts(second.facts)
            return eqx.filter(out, eqx.is_array), None

        end, _ = jax.lax.scan(body, start, None, length=times - 2)
        return eqx.combine(end, static)

    def add(self, others: list["Moments"], who: str) -> "Moments":
        """The sum with independent branches."""
        return combine.add([self, *others], who)

    def multiply(self, others: list["Moments"], who: str) -> "Moments":
        """The elementwise product with independent branches."""
        return combine.multiply([self, *others], who)

    def concatenate(self, others: list["Moments"], who: str) -> "Moments":
        """The channels of all branches side by side."""
        return combine.concatenate([self, *others], who)

    def flatten(self) -> "Moments":
        """Positions become channels: the mean over the diagonal."""

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            cut = block.diagonal()
            mean = cut.map(lambda a: jnp.mean(a, axis=tuple(range(block.lead, a.ndim))))
            return Block(mean.cov, mean.gap, mean.ntk, block.lead, True)

        return self._blocks(on, shape=(), facts=self.facts.after_flatten(math.prod(self.shape)))


def _alike(a: Moments, b: Moments) -> bool:
    """Whether a loop can carry both: equal layouts, shapes and facts, tokens apart."""

    def shapes(m: Moments) -> list:
        return [(x.shape, x.dtype) for x in jax.tree.leaves(m)]

    plain = [m.with_sources(()) for m in (a, b)]
    return shapes(a) == shapes(b) and bool(jax.tree.structure(plain[0]) == jax.tree.structure(plain[1]))  # type: ignore[operator]


def check_positions(shape: tuple[int, ...], who: str, dimensions: int | None = None) -> None:
    """Raise `InputError` unless examples have a grid of positions (of the given number of dimensions)."""
    if not shape or (dimensions is not None and len(shape) != dimensions):
        expected = "(length, channels), (height, width, channels) or (depth, height, width, channels)"
        asked = f"{dimensions} dimensions of positions" if dimensions else "positions"
        raise InputError(f"{who}: needs inputs with {asked}, shaped {expected}; found positions {shape}")


def _mixed_gap(
    block: Block, rows: Block, columns: Block, linear: Callable[..., Array], *, one_output: bool
) -> Array:
    """The gap after a linear map A of positions.

    A gap A' = ρ'·(A q) + ρ·(A q')' − 2 A cov A', ρ the row sums of A: taking half of the two own gaps away leaves
    E[(A h − A' h')²] + (ρ' − ρ)(A q − A q'), without ever subtracting variances from covariances. Where A has one
    output, they are taken away before the sum, so that the gap of equal examples is 0 in whatever order it is summed.
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


def _like(array: Array, reference: Array) -> Array:
    return jnp.broadcast_to(array, reference.shape).astype(reference.dtype)
