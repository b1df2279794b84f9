"""`Tape`, the infinite reading of a network as a list of instructions, for engines that do not run JAX.

A layer says what it does to second moments by asking `Moments` for maps: `affine`, `slide`, `activate`, `add` … A tape
answers to the same names and writes down what it is asked. So a layer has its instructions without a line of its own,
and the facts that decide whether second moments suffice are checked by the same code.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.moments.facts import Facts, concat_of, sum_of
from ntkit.moments.grid import Window
from ntkit.moments.neighbours import Neighbours
from ntkit.moments.places import check_graphs, check_one_size, check_order, check_positions
from ntkit.moments.plan import Need
from ntkit.moments.position_maps import pooling


class NotOnTape(Exception):
    """A layer does something that no instruction says; the message names it."""


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One step from fields to a field: moments over pairs of positions of a grid.

    Attributes:
        inputs: The numbers of the instructions whose fields are read.
        shape: Extents of the grid after it, () for vectors, (None,) for the nodes of graphs.
    """

    inputs: tuple[int, ...]
    shape: tuple[Any, ...]


class Data(Instruction):
    """The second moments of the data."""


@dataclasses.dataclass(frozen=True)
class Slide(Instruction):
    """The mean over the taps of windows that move together over both positions."""

    windows: tuple[Window, ...]


@dataclasses.dataclass(frozen=True)
class Affine(Instruction):
    """K ← scale·K + shift and T ← scale·T + weight_rate·K + bias_rate, the old K on the right."""

    scale: float
    shift: float
    weight_rate: float
    bias_rate: float


@dataclasses.dataclass(frozen=True)
class Activate(Instruction):
    """K ← dual and T ← T·slope of an activation."""

    activation: Any


@dataclasses.dataclass(frozen=True)
class Inflate(Instruction):
    """Variances ← (1 + extra)·variances, and with them what an example has with itself."""

    extra: float


class Add(Instruction):
    """The sum of fields."""


@dataclasses.dataclass(frozen=True)
class Average(Instruction):
    """The average of fields, weighted: channels side by side."""

    weights: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Mix(Instruction):
    """K ← A K A', one matrix a dimension; the grid vanishes where `shape` is ()."""

    matrices: tuple[np.ndarray, ...]


class Flatten(Instruction):
    """The mean over positions that are equal."""


@dataclasses.dataclass(frozen=True)
class Spread(Instruction):
    """K ← M K M', M a map of the nodes of each graph."""

    neighbours: Neighbours


@dataclasses.dataclass(frozen=True)
class Readout(Instruction):
    """The sum over all positions of examples of different sizes, or their mean."""

    mean: bool


@dataclasses.dataclass(frozen=True)
class Tape:
    """A field on its way through the layers, and the instructions that led to it; it stands in for `Moments`."""

    instructions: list[Instruction]
    number: int
    facts: Facts
    wanted: Need

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the grid of positions."""
        return self.instructions[self.number].shape

    def _then(self, instruction: Instruction, facts: Facts | None = None) -> "Tape":
        self.instructions.append(instruction)
        number = len(self.instructions) - 1
        return dataclasses.replace(self, number=number, facts=self.facts if facts is None else facts)

    # What `Moments` answers to, layouts apart: a tape has no arrays to lay out --------------------------------------

    def wanting(self, need: Need) -> "Tape":
        """The same field."""
        return dataclasses.replace(self, wanted=need)

    def keep(self, need: Need) -> "Tape":
        """The same field."""
        return self

    def settled(self) -> "Tape":
        """The same field."""
        return self

    def with_facts(self, facts: Facts) -> "Tape":
        """The same field of channels of which other facts are known."""
        return dataclasses.replace(self, facts=facts)

    def with_sources(self, sources: Iterable) -> "Tape":
        """The same field, the random weights below named by other tokens."""
        return self.with_facts(dataclasses.replace(self.facts, sources=frozenset(sources)))

    def require_gaussian(self, who: str) -> None:
        """As `Moments.require_gaussian`."""
        self.facts.require_gaussian(who)

    def require_centred(self, who: str) -> None:
        """As `Moments.require_centred`."""
        self.facts.require_centred(who)

    def require_positions(self, who: str, dimensions: int | None = None) -> int:
        """As `Moments.require_positions`."""
        check_positions(self.shape, who, dimensions)
        return len(self.shape)

    def activate(self, activation: Any) -> "Tape":
        """Elementwise nonlinearity."""
        step = Activate((self.number,), self.shape, activation)
        return self._then(step, self.facts.after_activation(activation.odd))

    def affine(self, scale: Any, shift: Any, *, weight_rate: Any, bias_rate: Any, channels: int) -> "Tape":
        """Fresh weights."""
        numbers = (float(scale), float(shift), float(weight_rate), float(bias_rate))
        return self._then(Affine((self.number,), self.shape, *numbers), self.facts.after_weights(channels))

    def inflate_variances(self, extra: Any) -> "Tape":
        """Dropout."""
        return self._then(Inflate((self.number,), self.shape, float(extra)), self.facts.after_mask())

    def require_concentrated(self, who: str) -> None:
        """As `Moments.require_concentrated`."""
        self.facts.require_concentrated(who)

    def require_one_size(self, who: str) -> None:
        """As `Moments.require_one_size`."""
        check_one_size(None in self.shape, who)

    def require_order(self, who: str) -> None:
        """As `Moments.require_order`: of the examples that differ in size only graphs have a tape."""
        check_order(None not in self.shape, who)

    def by_pattern(self, neighbours: Neighbours, who: str) -> "Tape":
        """A map of the nodes of graphs."""
        check_graphs(None in self.shape, who)
        return self._then(Spread((self.number,), self.shape, neighbours))

    def readout(self, who: str, *, mean: bool) -> "Tape":
        """The sum over all positions, or their mean."""
        check_positions(self.shape, who)
        if None in self.shape:
            return self._then(Readout((self.number,), (), mean))
        return self.mix(pooling(mean), (), who)

    def slide(self, windows: list[Window], who: str) -> "Tape":
        """The patches of a convolution."""
        if None in self.shape:
            raise NotOnTape(f"windows over examples of different sizes, as by {who}")
        shape = tuple(w.output(n, who) for w, n in zip(windows, self.shape, strict=True))
        return self._then(Slide((self.number,), shape, tuple(windows)))

    def mix(
        self,
        op: Callable[[Any, int, int], Any],
        shape: tuple[int, ...],
        who: str,
        *,
        windows: list[Window] | None = None,
    ) -> "Tape":
        """A linear map of positions: the columns of its matrices are what it makes of unit vectors."""
        if None in self.shape:
            raise NotOnTape(f"windows over examples of different sizes, as by {who}")
        with jax.enable_x64(True):
            matrices = tuple(np.asarray(op(np.eye(n), 0, d)) for d, n in enumerate(self.shape))
        return self._then(Mix((self.number,), shape, matrices))

    def flatten(self, who: str) -> "Tape":
        """Positions become channels."""
        check_one_size(None in self.shape, who)
        positions = int(np.prod(self.shape))
        return self._then(Flatten((self.number,), ()), self.facts.after_flatten(positions))

    def repeat(self, step: Callable[["Tape"], "Tape"], times: int) -> "Tape":
        """One step after another."""
        tape = self
        for _ in range(times):
            tape = step(tape)
        return tape

    def add(self, others: list["Tape"], who: str) -> "Tape":
        """The sum of independent branches."""
        branches = [self, *others]
        _check_equal([b.shape for b in branches], who)
        facts = sum_of([b.facts for b in branches], who)
        return self._then(Add(tuple(b.number for b in branches), self.shape), facts)

    def concatenate(self, others: list["Tape"], who: str) -> "Tape":
        """The channels of all branches side by side."""
        branches = [self, *others]
        _check_equal([b.shape for b in branches], who)
        facts = concat_of([b.facts for b in branches])
        weights = tuple(b.facts.channels / facts.channels for b in branches)
        return self._then(Average(tuple(b.number for b in branches), self.shape, weights), facts)

    def __getattr__(self, name: str) -> Any:
        """Of maps that no instruction says, a function that refuses."""
        if name not in _BEYOND:
            raise AttributeError(f"Tape has no attribute {name!r}")

        def refuse(*_: Any, **__: Any) -> None:
            raise NotOnTape(_BEYOND[name])

        return refuse


# Maps of `Moments` that no instruction says, and what asks for them.
_BEYOND = {
    "rescale": "a normalisation such as LayerNorm",
    "read_last": "the last of several positions, as by Last",
    "attend": "attention",
    "attend_at_random": "attention",
    "recur": "a recurrent layer",
    "add_field": "a positional encoding",
    "unshared": "weights that are not shared over positions, as by ConvLocal",
    "select": "chosen positions, as by Index",
    "multiply": "a product of branches, as by Product",
}


def _check_equal(shapes: list[tuple], who: str) -> None:
    if len(set(shapes)) > 1:
        raise InputError(f"{who}: the branches end with positions {shapes}")


def record(net: Layer, shape: tuple[int | None, ...]) -> list[Instruction]:
    """The instructions of a network for examples of this shape, the last one giving its outputs.

    Args:
        net: The network.
        shape: (*positions, channels) of one example.

    Raises:
        NotOnTape: A layer does something that no instruction says.
        NoClosedFormError: Second moments do not determine the network's kernel.
        InputError: The network does not take examples of this shape.
    """
    channels: Any = shape[-1]
    start: list[Instruction] = [Data((), tuple(shape[:-1]))]
    tape: Any = Tape(start, 0, Facts.of_data(channels), Need())
    end: Any = net.propagate(tape)
    return end.instructions
