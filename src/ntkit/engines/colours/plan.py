"""A network over some batches as fields of colours: what is summed into each, and the functions that follow."""

import dataclasses
import functools
from typing import Any

import numpy as np

from ntkit.activations.relu import HalfLines
from ntkit.batches import Graphs
from ntkit.engines.colours.chains import Polynomials, polynomials_of
from ntkit.engines.colours.commuting import weights_behind_sums
from ntkit.engines.colours.maps import Map, aggregation, readout, selection
from ntkit.engines.colours.refinement import Partition, of_all, of_sums, of_values
from ntkit.engines.colours.strips import LANES
from ntkit.engines.fused import code
from ntkit.engines.fused.assemble import assemble
from ntkit.engines.fused.program import Program, Stage
from ntkit.tape import Activate, Add, Affine, Average, Data, Instruction, NotOnTape, Readout, Spread

Source = tuple[int, Map]


@dataclasses.dataclass(frozen=True)
class Field:
    """Moments between colours that are kept: a sum of fields, each through a map, and the functions behind it.

    Attributes:
        count: How many colours it has.
        sources: The numbers of the fields that are summed, and the maps from their colours; none for the data.
        chain: Weights and activations behind the sum, on a tape of their own that begins with `Data`.
        stage: The same as code.
        homogeneous: Whether outputs grow with inputs in proportion, so that the moments can be those of unit vectors.
        acute: Whether no correlation is negative.
        vectors: Whether its units are graphs.
    """

    count: int
    sources: tuple[Source, ...]
    chain: tuple[Instruction, ...]
    stage: Stage
    homogeneous: bool
    acute: bool
    vectors: bool

    @functools.cached_property
    def functions(self) -> tuple[np.ndarray, np.ndarray]:
        """Code and numbers of the functions alone, which read the fields of colours that lie in strips."""
        steps = len(self.chain) - 1  # none where the chain is empty
        table = self.stage.code[:steps].copy()
        table[:, [*range(code.ONE, code.ONE + 3), code.TERMS + 1]] *= LANES
        return table, self.stage.numbers[:steps]

    def polynomials(self, dtype: str) -> Polynomials | None:
        """In place of the functions, unless a colour holds 0 alone; None where there are none."""
        return polynomials_of(*self.functions, dtype) if self.acute else None


@dataclasses.dataclass(frozen=True)
class Term:
    """What a field adds to the kernels of the outputs.

    Attributes:
        field: Its number.
        colours: Which of its colours each output has.
        weight: By which its kernels are multiplied.
    """

    field: int
    colours: np.ndarray
    weight: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """A network over batches that lie one behind the other.

    Attributes:
        values: What each colour of the data holds.
        fields: In the order in which they are computed.
        terms: The fields whose kernels add up to that of the outputs.
        outputs: Which colour each output (a graph, or a node) has.
        nodes: Of the field of nodes with the most colours, which one each node has.
        functions: Of all fields, as compiled code names them.
    """

    values: np.ndarray
    fields: tuple[Field, ...]
    terms: tuple[Term, ...]
    outputs: Partition
    nodes: Partition
    functions: str


def plan_of(tape: list[Instruction], graphs: list[Graphs]) -> Plan:
    """The plan of a tape over some batches.

    Raises:
        NotOnTape: It has an instruction that is beyond this engine.
    """
    values = np.concatenate([g.values for g in graphs]).astype(np.float64)
    tape = weights_behind_sums(tape)
    planner = _Planner(tape, graphs, values)
    ends = planner.absorb_sums(len(tape) - 1)
    for i in range(len(tape)):
        planner.visit(i)
    fields, partitions = planner.fields, planner.partitions
    numbers = [planner.field_of[i] for i, _ in ends]
    outputs, colours = of_all([partitions[n] for n in numbers])
    terms = tuple(Term(n, c, w) for n, c, (_, w) in zip(numbers, colours, ends, strict=True))
    nodes = max((p for p, f in zip(partitions, fields, strict=True) if not f.vectors), key=lambda p: p.count)
    first = values[partitions[0].first]
    functions = Program((), tuple(f.stage for f in fields), ()).functions
    return Plan(first, tuple(fields), terms, outputs, nodes, functions)


class _Planner:
    """Collects fields, instruction after instruction."""

    def __init__(self, tape: list[Instruction], graphs: list[Graphs], values: np.ndarray):
        self.tape, self.graphs, self.values = tape, graphs, values
        self.fields: list[Field] = []
        self.partitions: list[Partition] = []
        self.field_of: dict[int, int] = {}  # of the instructions that end a field, its number
        self.maps: dict[Any, Map] = {}  # equal aggregations of nodes have one matrix
        self.absorbed: set[int] = set()
        self.readers: list[list[int]] = [[] for _ in tape]
        for i, step in enumerate(tape):
            for source in step.inputs:
                self.readers[source].append(i)

    def absorb_sums(self, i: int) -> list[tuple[int, float]]:
        """The instructions whose kernels add up to that of instruction i, each with a weight: no field is needed for sums."""
        step = self.tape[i]
        if not isinstance(step, Add | Average) or len(self.readers[i]) > 1:
            return [(i, 1.0)]
        self.absorbed.add(i)
        weights = step.weights if isinstance(step, Average) else (1.0,) * len(step.inputs)
        below = zip(step.inputs, weights, strict=True)
        return [(j, w * more) for source, w in below for j, more in self.absorb_sums(source)]

    def visit(self, i: int) -> None:
        """Begin a field with an instruction, unless it is part of one."""
        if i in self.absorbed:
            return
        step = self.tape[i]
        partition, sources = self._sources(step)
        follows = isinstance(step, Affine | Activate)
        # Weights behind the data are a field of their own, so that functions have one place in compiled code.
        chain = [] if isinstance(step, Data) else self._chain(i, [i] if follows else [])
        self.absorbed |= set(chain)
        steps = [self.tape[k] for k in chain]
        own: list[Instruction] = [Data((), ())]
        own += [dataclasses.replace(s, inputs=(k,), shape=()) for k, s in enumerate(steps)]
        stage = assemble(own, 0, len(own))
        homogeneous, vectors = _homogeneous(steps), not step.shape
        acute = homogeneous and self._acute(sources)
        field = Field(partition.count, sources, tuple(own), stage, homogeneous, acute, vectors)
        self.field_of[chain[-1] if chain else i] = len(self.fields)
        self.fields.append(field)
        self.partitions.append(partition)

    def _acute(self, sources: tuple[Source, ...]) -> bool:
        """Whether no correlation of a sum is negative; those behind half-lines are a power series without a minus."""
        if not sources:
            return bool((self.values >= 0).all())
        return all(self.fields[n].acute and (m.weights >= 0).all() for n, m in sources)

    def _chain(self, i: int, chain: list[int]) -> list[int]:
        """Weights and activations behind an instruction, as long as each has one reader alone."""
        while len(self.readers[i]) == 1 and isinstance(self.tape[self.readers[i][0]], Affine | Activate):
            i = self.readers[i][0]
            chain.append(i)
        return chain

    def _sources(self, step: Instruction) -> tuple[Partition, tuple[Source, ...]]:
        if isinstance(step, Data):
            return of_values(self.values), ()
        numbers = [self.field_of[source] for source in step.inputs]
        below = [self.partitions[n] for n in numbers]
        if isinstance(step, Spread | Readout):
            partition, m = of_sums(self._map(step), below[0])
            return partition, ((numbers[0], m),)
        if isinstance(step, Add | Affine | Activate):
            weights = (1.0,) * len(numbers)
        elif isinstance(step, Average):
            weights = tuple(weight**0.5 for weight in step.weights)
        else:
            raise NotOnTape(f"{type(step).__name__} over graphs")
        partition, colours = of_all(below)
        terms = zip(numbers, colours, weights, below, strict=True)
        return partition, tuple((n, selection(c, w, p.count)) for n, c, w, p in terms)

    def _map(self, step: Spread | Readout) -> Map:
        if isinstance(step, Spread):
            n = step.neighbours
            key: tuple = n.normalisation, float(n.self_loops), n.steps, float(n.teleport)
        else:
            key = (step.mean,)
        if key not in self.maps:
            made = (
                readout(self.graphs, mean=step.mean)
                if isinstance(step, Readout)
                else aggregation(step.neighbours, self.graphs)
            )
            self.maps[key] = made
        return self.maps[key]


def _homogeneous(steps: list[Instruction]) -> bool:
    """Whether outputs are proportional to inputs: no biases, and slopes on either side of 0."""
    for step in steps:
        if isinstance(step, Activate) and not isinstance(step.activation, HalfLines):
            return False
        if isinstance(step, Affine) and (step.shift != 0 or step.bias_rate != 0 or step.scale == 0):
            return False
    return True
