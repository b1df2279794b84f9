"""How values made of parameters alone follow from them: as one parameter, laid out anew and scaled, or otherwise."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkit.finite.empirical.program import Kind, Program, Step

_LAYOUT = {"reshape", "transpose", "squeeze", "expand_dims", "rev", "copy", "copy_p", "convert_element_type"}


@dataclasses.dataclass(frozen=True)
class View:
    """A parameter in another layout, times constants.

    Inner products of Jacobians in it are those of Jacobians in the parameter, times the constants squared.

    Attributes:
        parameter: Which one.
        history: The layout's steps, as texts: equal ones lay out alike.
        factors: Numbers of the constants, and whether they divide.
        negative: Whether the sign has changed.
    """

    parameter: int
    history: tuple[str, ...] = ()
    factors: tuple[tuple[int, bool], ...] = ()
    negative: bool = False

    def scale(self, values: dict[int, Any]) -> Any:
        """The product of its constants."""
        total: Any = -1.0 if self.negative else 1.0
        for number, divides in self.factors:
            factor = jnp.ravel(values[number])[0]
            total = total / factor if divides else total * factor
        return total


class Views:
    """Of all values of a program that depend on parameters alone.

    Attributes:
        views: By number, of those that are one parameter laid out anew.
        sources: By number, the parameters that a value depends on.
    """

    def __init__(self, program: Program):
        self.program = program
        self.views: dict[int, View] = {n: View(k) for k, n in enumerate(program.parameters)}
        self.sources: dict[int, frozenset[int]] = {
            n: frozenset([k]) for k, n in enumerate(program.parameters)
        }
        self._uniform = {n for n, value in program.constants.items() if np.size(value) == 1}
        for step in program.steps:
            if step.kind is Kind.PARAMETERS:
                self._follow(step)
            elif step.kind is Kind.CONSTANT and self._keeps_uniform(step):
                self._uniform.update(step.outputs)

    def _keeps_uniform(self, step: Step) -> bool:
        return step.name in _LAYOUT | {"broadcast_in_dim"} and step.inputs[0] in self._uniform

    def _follow(self, step: Step) -> None:
        sources = frozenset().union(*(self.sources.get(i, frozenset()) for i in step.inputs))
        self.sources.update(dict.fromkeys(step.outputs, sources))
        view = self._view(step)
        if view is not None:
            self.views[step.outputs[0]] = view

    def _view(self, step: Step) -> View | None:
        known = [i for i in step.inputs if i in self.views]
        if len(known) != 1 or len(step.outputs) != 1:
            return None
        view, others = self.views[known[0]], [i for i in step.inputs if i != known[0]]
        if (step.name in _LAYOUT and not others) or self._stretches_nothing(step):
            return dataclasses.replace(
                view, history=(*view.history, f"{step.name} {sorted(step.options.items())}")
            )
        if step.name == "neg":
            return dataclasses.replace(view, negative=not view.negative)
        scales = step.name == "mul" or (step.name == "div" and step.inputs[0] == known[0])
        if scales and others and others[0] in self._constants():
            return dataclasses.replace(view, factors=(*view.factors, (others[0], step.name == "div")))
        return None

    def _constants(self) -> set[int]:
        """Numbers of constants that are one number everywhere."""
        avals = self.program.avals
        single = {
            n for n, kind in enumerate(self.program.kinds) if kind is Kind.CONSTANT and avals[n].size == 1
        }
        return self._uniform | single

    def _stretches_nothing(self, step: Step) -> bool:
        avals = self.program.avals
        return step.name == "broadcast_in_dim" and avals[step.inputs[0]].size == avals[step.outputs[0]].size
