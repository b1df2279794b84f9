"""`compile_network`: the program of a network for one shape of examples."""

import numpy as np

from ntkit.engines.fused.assemble import assemble
from ntkit.engines.fused.displacements import with_displacements
from ntkit.engines.fused.program import Program, pool_matrices
from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.tape import Affine, Average, Flatten, Mix, NotOnTape, record


class BeyondEngine(InputError):
    """A network, or the variances that its data lead to, which this engine does not run."""


def beyond_engine(what: NotOnTape) -> BeyondEngine:
    """The error that says so, and what to do."""
    return BeyondEngine(
        f"engine='fused' has no instruction for {what}; use engine='reference', which runs every network"
    )


def compile_network(net: Layer, shape: tuple[int, ...]) -> Program:
    """The program of a network for examples of this shape.

    Raises:
        NotOnTape: The network is beyond this engine; the message says why.
    """
    tape = record(net, shape)
    if any(isinstance(step, Average) for step in tape):
        raise NotOnTape("branches side by side, as by Concat")
    if len(shape) > 3:
        raise NotOnTape("grids of three dimensions")
    if tape[-1].shape:
        raise NotOnTape("a network that ends with positions")
    ends = [i for i, step in enumerate(tape) if isinstance(step, Mix | Flatten)]
    for e in ends:
        if any(min(step.inputs) < e for step in tape[e + 1 :]):
            raise NotOnTape("a pool inside of a branch")
    starts = [0, *ends]
    stops = [*ends, len(tape)]
    head: tuple[Affine, ...] = ()
    behind = tape[starts[-1] + 1 :]
    if ends and all(isinstance(step, Affine) for step in behind):
        head = tuple(step for step in behind if isinstance(step, Affine))
        starts, stops = starts[:-1], stops[:-1]
    stages = [assemble(tape, a, b) for a, b in zip(starts, stops, strict=True)]
    for stage in stages[:-1]:
        sums = [m.sum(axis=1) for m in pool_matrices(stage.end)] if isinstance(stage.end, Mix) else []
        if any(np.ptp(s) > 1e-9 * np.abs(s).max() for s in sums):
            raise NotOnTape("a pool whose windows differ in weight, as at a padded edge")
    return Program(tuple(tape), tuple(with_displacements(stages)), head)
