"""Blocks of outputs, and the colours of all fields that they need: what fits into the cache, and into memory."""

import dataclasses

import numpy as np
from numba import njit

from ntkit.engines.colours.maps import Map
from ntkit.engines.colours.plan import Plan
from ntkit.errors import InputError

# A cut whose blocks hold so many times the colours there are is too fine: what blocks share is computed several times.
_REPEATED = 1.2
# Matrices that a pass holds at once, of the size of the largest: what is read, what waits for another reader, and the outputs,
# each for the gap and for the tangent kernel; and in double precision.
_BYTES = 8 * 6


@dataclasses.dataclass(frozen=True)
class Cut:
    """Some outputs, and all that they are made of.

    Attributes:
        colours: Of every field, the numbers of the colours that are needed, sorted.
        maps: Of every field, its maps between these alone.
        outputs: Of every term of the plan, which of its field's colours each output has.
    """

    colours: tuple[np.ndarray, ...]
    maps: tuple[tuple[Map, ...], ...]
    outputs: tuple[np.ndarray, ...]

    @property
    def size(self) -> int:
        """The colours of the largest field."""
        return max(len(c) for c in self.colours)


def cut(plan: Plan, outputs: np.ndarray, offsets: np.ndarray, most: int, room: int) -> list[Cut]:
    """Outputs (sorted colours) in blocks.

    Args:
        plan: The network over all batches.
        outputs: Which colours of the outputs.
        offsets: Where the nodes of each graph of all batches begin.
        most: Colours of a block, unless one graph alone has more, or blocks would share too many.
        room: Colours of a block that fit into memory.

    Raises:
        InputError: One output alone needs more than fit into memory.
    """
    if plan.fields[plan.terms[0].field].vectors:
        graphs = plan.outputs.first[outputs]
        parts = _of_graphs(plan, graphs, offsets, most, room)
        cuts = [closure(plan, outputs[part]) for part in parts]
    else:
        cuts = _of_nodes(plan, outputs, room)
    largest = max(c.size for c in cuts)
    if largest > room:
        needed = _BYTES * largest**2 / 2**20
        raise InputError(
            f"one graph has {largest} nodes that the network can tell apart, whose pairs take about {needed:.0f} MiB on each "
            "thread; give more memory, or fewer threads"
        )
    return cuts


def room_for(memory: int, threads: int) -> int:
    """How many colours a block may have."""
    return int((memory / (threads * _BYTES)) ** 0.5)


def _of_graphs(plan: Plan, graphs: np.ndarray, offsets: np.ndarray, most: int, room: int) -> list[slice]:
    """Graphs in their order, as many together as have no more than `most` colours, or somewhat more where that saves work."""
    colours = plan.nodes.colours
    last = np.full(plan.nodes.count, -1, np.int64)
    blocks = np.empty(len(graphs), np.int64)
    total = _assign(offsets, colours, graphs, plan.nodes.count + 1, last, blocks)
    most = min(most, room)
    while True:
        last[:] = -1
        held = _assign(offsets, colours, graphs, most, last, blocks)
        if held <= _REPEATED * total or most >= room:
            break
        most = min(2 * most, room)
    begins = np.flatnonzero(np.diff(blocks, prepend=-1))
    return [slice(a, b) for a, b in zip(begins, [*begins[1:], len(graphs)], strict=True)]


def _of_nodes(plan: Plan, outputs: np.ndarray, room: int) -> list[Cut]:
    """Neighbours share what they need, so the fewer blocks the better."""
    cuts = [closure(plan, outputs)]
    pieces = 1
    while max(c.size for c in cuts) > room and pieces < len(outputs):
        pieces *= 2
        cuts = [closure(plan, part) for part in np.array_split(outputs, min(pieces, len(outputs)))]
    return cuts


def closure(plan: Plan, outputs: np.ndarray) -> Cut:
    """All that some outputs need."""
    needed = [np.zeros(field.count, np.bool_) for field in plan.fields]
    for term in plan.terms:
        needed[term.field][term.colours[outputs]] = True
    colours: list[np.ndarray] = [outputs] * len(needed)
    maps: list[tuple[Map, ...]] = [()] * len(needed)
    for k in reversed(range(len(needed))):
        colours[k] = np.flatnonzero(needed[k])
        maps[k] = tuple(m.at(colours[k]) for _, m in plan.fields[k].sources)
        for (source, _), m in zip(plan.fields[k].sources, maps[k], strict=True):
            needed[source][m.columns] = True
    places = [np.cumsum(mask) - 1 for mask in needed]
    for k, field in enumerate(plan.fields):
        maps[k] = tuple(
            Map(m.begins, places[source][m.columns], m.weights, len(colours[source]))
            for (source, _), m in zip(field.sources, maps[k], strict=True)
        )
    ends = tuple(places[term.field][term.colours[outputs]] for term in plan.terms)
    return Cut(tuple(colours), tuple(maps), ends)


@njit(cache=True, nogil=True)
def _assign(offsets, colours, graphs, most, last, blocks):
    """Number the blocks of graphs; how many colours all blocks hold together. `last` is the block that has a colour."""
    block, held, total = 0, 0, 0
    for g in range(len(graphs)):
        a, b = offsets[graphs[g]], offsets[graphs[g] + 1]
        more = 0
        for i in range(a, b):
            if last[colours[i]] != block:
                last[colours[i]] = block
                more += 1
        if held > 0 and held + more > most:
            total += held
            block += 1
            more = 0
            for i in range(a, b):
                if last[colours[i]] != block:
                    last[colours[i]] = block
                    more += 1
            held = 0
        held += more
        blocks[g] = block
    return total + held
