"""`Moments`, what an infinitely wide layer knows of two batches; layers write formulas, this class knows the layout."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ntkit.moments import attention_maps, combine, grid, position_maps, positional, recurrence
from ntkit.moments.block import Block
from ntkit.moments.elementwise import Elementwise, activated
from ntkit.moments.facts import Facts
from ntkit.moments.neighbours import Neighbours
from ntkit.moments.places import Places, check_one_size, check_order, check_positions
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
        places1: Where examples differ in size, which positions those of the rows have.
        places2: The same of the columns; None too where there are no columns.
        shape: Extents of the grid of positions, () for vectors.
        facts: What is known of the channels' distribution.
        wanted: What will be needed of the outputs of the layer that gets these moments.
    """

    cross: Block | None
    own1: Block | None
    own2: Block | None
    same: Bool[Array, "n1 n2"] | None
    places1: Places | None
    places2: Places | None
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

    def blocks(self, f: Callable[..., Block], **changes) -> "Moments":
        """Apply f(block, rows with themselves, columns with themselves) to every block."""
        cross = None if self.cross is None else f(self.cross, self.own1, self.own2)
        own1 = None if self.own1 is None else f(self.own1, self.own1, self.own1)
        own2 = None if self.own2 is None else f(self.own2, self.own2, self.own2)
        return dataclasses.replace(self, cross=cross, own1=own1, own2=own2, **changes)

    def placed_blocks(self, f: Callable[..., Block], **changes) -> "Moments":
        """Apply f(block, rows with themselves, columns with themselves, (places of rows, of columns)) to every block."""
        rows, columns = self.places1, self.places2
        cross = None if self.cross is None else f(self.cross, self.own1, self.own2, (rows, columns))
        own1 = None if self.own1 is None else f(self.own1, self.own1, self.own1, (rows, rows))
        own2 = None if self.own2 is None else f(self.own2, self.own2, self.own2, (columns, columns))
        return dataclasses.replace(self, cross=cross, own1=own1, own2=own2, **changes)

    @property
    def ragged(self) -> bool:
        """Whether examples differ in size."""
        return self.places1 is not None

    @property
    def dtype(self) -> Any:
        """The precision of all arrays."""
        block = self.cross if self.cross is not None else self.own1
        assert block is not None
        return block.cov.dtype

    # Facts ----------------------------------------------------------------------------------------------------------

    def require_gaussian(self, who: str) -> None:
        """Raise `NoClosedFormError` unless the channels are identically distributed Gaussian variables."""
        self.facts.require_gaussian(who)

    def require_centred(self, who: str) -> None:
        """Raise `NoClosedFormError` unless the mean over channels is zero."""
        self.facts.require_centred(who)

    def require_concentrated(self, who: str) -> None:
        """Raise `NoClosedFormError` unless means over channels equal their expectations."""
        self.facts.require_concentrated(who)

    def require_one_size(self, who: str) -> None:
        """Raise `InputError` where examples differ in size."""
        check_one_size(self.ragged, who)

    def require_order(self, who: str) -> None:
        """Raise `InputError` where examples are graphs."""
        check_order(self.places1 is None or self.places1.pattern is None, who)

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
            return block.replace(*activated(activation, pair, block.ntk))

        return self.blocks(on, facts=self.facts.after_activation(activation.odd))

    def affine(
        self, scale: Number, shift: Number, *, weight_rate: Number, bias_rate: Number, channels: int
    ) -> "Moments":
        """Fresh weights: cov ← scale·cov + shift, ntk ← scale·ntk + weight_rate·cov + bias_rate, the old cov on the right."""

        def on(block: Block, rows: Block | None, columns: Block | None) -> Block:
            ntk = None if block.ntk is None else scale * block.ntk + (weight_rate * block.cov + bias_rate)
            return block.replace(scale * block.cov + shift, _stop(scale * block.gap), ntk)

        return self.blocks(on, facts=self.facts.after_weights(channels))

    def rescale(self, factor: Callable[[Array], Array], *, over_positions: bool) -> "Moments":
        """Divide out a scale: channel h(x, p) ← a·h with a = factor(variance), of each position or their mean."""

        def scale(own: Block, places: Places | None) -> Array:
            q = own.variances()
            return factor(_mean_over_positions(q, places) if over_positions else q)

        def on(block: Block, rows: Block, columns: Block, sides: tuple) -> Block:
            pair = block.pair(rows.variances(), columns.variances())
            a1, a2 = (
                grid.along(scale(own, places), side, block.lead, block.paired)
                for side, (own, places) in enumerate(zip((rows, columns), sides, strict=True))
            )
            # E[(a u − a' v)²] with the cancellation of equal scales done by hand.
            gap = a1 * a2 * block.gap + (a1 - a2) * (a1 * pair.var1 - a2 * pair.var2)
            ntk = None if block.ntk is None else a1 * a2 * block.ntk
            return block.replace(a1 * a2 * block.cov, _stop(jnp.maximum(gap, 0.0)), ntk)

        return self.placed_blocks(on)

    def inflate_variances(self, extra: Number) -> "Moments":
        """Independent noise of relative variance `extra` at every example, position and channel (dropout)."""

        def on(block: Block, rows: Block, columns: Block) -> Block:
            pair = block.pair(rows.variances(), columns.variances())
            same = self._same(block)
            factor = jnp.where(same, 1.0 + extra, 1.0)
            gap = jnp.where(same, (1.0 + extra) * block.gap, block.gap + extra * (pair.var1 + pair.var2))
            ntk = None if block.ntk is None else factor * block.ntk
            return block.replace(factor * block.cov, _stop(gap), ntk)

        return self.blocks(on, facts=self.facts.after_mask())

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
        return position_maps.slide(self, windows, who)

    def unshared(self, who: str) -> "Moments":
        """Fresh weights were drawn anew for each position: outputs at p ≠ p' are independent."""
        return position_maps.unshared(self, who)

    def mix(
        self,
        op: Callable[[Array, int, int], Array],
        shape: tuple[int, ...],
        who: str,
        *,
        windows: list[grid.Window] | None = None,
    ) -> "Moments":
        """A linear map A of positions, dimension by dimension: cov ← A cov A'.

        Args:
            op: op(array, axis, dimension) applies the map of one dimension along one axis; axes keep their number.
            shape: Extents of the grid after it.
            who: The layer's name, for messages.
            windows: The windows that the map moves over positions, if it does; other maps need examples of one size.
        """
        return position_maps.mix(self, op, shape, who, windows=windows)

    def readout(self, who: str, *, mean: bool) -> "Moments":
        """The sum over all positions, or their mean."""
        return position_maps.readout(self, who, mean=mean)

    def by_pattern(self, neighbours: Neighbours, who: str) -> "Moments":
        """A map of the nodes of graphs: cov ← M cov M'ᵀ, M that of each graph."""
        return position_maps.by_pattern(self, neighbours, who)

    def read_last(self, who: str) -> "Moments":
        """The last position of each example alone."""
        return position_maps.read_last(self, who)

    def attend(self, weights: Callable[[Array, Array], Array]) -> "Moments":
        """Positions averaged by weights(K(x, x), mask of keys) of each example."""
        return attention_maps.attend(self, weights)

    def attend_at_random(self, query_rate: Number, other_rate: Number) -> "Moments":
        """Positions averaged by random logits, of independent queries and keys."""
        return attention_maps.attend_at_random(self, query_rate, other_rate)

    def recur(self, cell: "recurrence.Cell") -> "Moments":
        """A recurrent layer, along the positions."""
        return recurrence.recur(self, cell)

    def add_field(self, covariance: Callable[..., Array], rate: Number, who: str) -> "Moments":
        """Plus a random field of positions: K[p, p'] ← K + R, T ← T + rate·R, R = covariance(extents, dtype)."""
        return positional.add_field(self, covariance, rate, who)

    def select(self, indices: list[Array], shape: tuple[int, ...], kept: list[int]) -> "Moments":
        """Read chosen positions: indices[d] along dimension d, of which only the dimensions `kept` stay."""
        return position_maps.select(self, indices, shape, kept)

    def flatten(self, who: str) -> "Moments":
        """Positions become channels: the mean over the diagonal."""
        return position_maps.flatten(self, who)

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


def _alike(a: Moments, b: Moments) -> bool:
    """Whether a loop can carry both: equal layouts, shapes and facts, tokens apart."""

    def shapes(m: Moments) -> list:
        return [(x.shape, x.dtype) for x in jax.tree.leaves(m)]

    plain = [m.with_sources(()) for m in (a, b)]
    return shapes(a) == shapes(b) and bool(jax.tree.structure(plain[0]) == jax.tree.structure(plain[1]))  # type: ignore[operator]


def _mean_over_positions(q: Array, places: Places | None) -> Array:
    """(n, *positions), the mean of each example at each of its positions."""
    axes = tuple(range(1, q.ndim))
    weights = jnp.ones((1, *q.shape[1:]), q.dtype) if places is None else places.mask.astype(q.dtype)
    mean = jnp.sum(weights * q, axis=axes, keepdims=True) / jnp.sum(weights, axis=axes, keepdims=True)
    return jnp.broadcast_to(mean, q.shape)
