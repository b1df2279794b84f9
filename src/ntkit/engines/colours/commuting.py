"""Weights without biases commute with sums of nodes: Aggregate >> Dense has the kernels of Dense >> Aggregate.

Behind a sum they are the first step of what follows it, and cost nothing beside a function; before it they would be a step of
their own over all pairs of nodes.
"""

import dataclasses

from ntkit.tape import Affine, Instruction, Readout, Spread


def weights_behind_sums(tape: list[Instruction]) -> list[Instruction]:
    """The same network, with weights behind the sums that read them where all that reads them are sums."""
    found: list[Instruction] = []
    number: list[int] = []  # of each instruction of the tape, the one that gives its outputs
    waiting: dict[int, Affine] = {}  # weights that are left out so far, by their numbers
    readers: list[list[Instruction]] = [[] for _ in tape]
    for step in tape:
        for source in step.inputs:
            readers[source].append(step)
    for i, step in enumerate(tape):
        moved = dataclasses.replace(step, inputs=tuple(number[source] for source in step.inputs))
        if _commutes(step) and readers[i] and all(isinstance(r, Spread | Readout) for r in readers[i]):
            waiting[i] = step  # type: ignore[assignment]
            number.append(moved.inputs[0])
            continue
        found.append(moved)
        behind = waiting.get(step.inputs[0]) if isinstance(step, Spread | Readout) else None
        if behind is not None:
            found.append(dataclasses.replace(behind, inputs=(len(found) - 1,), shape=step.shape))
        number.append(len(found) - 1)
    return found


def _commutes(step: Instruction) -> bool:
    return isinstance(step, Affine) and step.shift == 0 and step.bias_rate == 0
