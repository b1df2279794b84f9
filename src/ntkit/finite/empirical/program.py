"""A function of parameters and inputs as a flat list of steps, each told by what it depends on."""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np

# Calls whose body is the same computation: their steps stand in the list as if written there.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
UNROLLED = 64  # steps of a scan that are written out; of longer ones parameters are perturbed as a whole


class Kind(enum.IntEnum):
    """What a value depends on."""

    CONSTANT = 0
    PARAMETERS = 1  # on parameters, not on inputs
    INPUTS = 2  # on inputs, maybe on parameters too


@dataclasses.dataclass(frozen=True)
class Step:
    """An operation on numbered values.

    Attributes:
        name: Of JAX's primitive.
        options: Its options.
        inputs: Numbers of what it takes.
        outputs: Numbers of what it gives.
        kind: What its outputs depend on.
        body: The operation, as a function of those inputs that `given` names.
        given: Numbers of inputs, each once, without those that are written into the operation.
    """

    name: str
    options: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kind: Kind
    body: Any
    given: tuple[int, ...]

    def run(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Its outputs by their numbers."""
        out = jex.jaxpr_as_fun(self.body)(*(values[i] for i in self.given))
        return dict(zip(self.outputs, out, strict=True))


@dataclasses.dataclass
class Program:
    """The steps of f(parameters, inputs).

    Attributes:
        steps: In an order in which they can run.
        avals: Shape and dtype of every numbered value.
        kinds: What each depends on.
        constants: Values known beforehand, by number.
        parameters: Numbers of the parameters.
        frozen: Numbers of parameters that are not trained: constants whose values come later.
        inputs: Numbers of the inputs.
        outputs: Numbers of the outputs.
    """

    steps: list[Step]
    avals: list[Any]
    kinds: list[Kind]
    constants: dict[int, Any]
    parameters: list[int]
    frozen: list[int]
    inputs: list[int]
    outputs: list[int]

    def maker(self, number: int) -> Step | None:
        """The step that gives a value, if one does."""
        return next((step for step in self.steps if number in step.outputs), None)


def trace(f: Callable, parameters: list[Any], frozen: list[Any], inputs: list[Any]) -> Program:
    """The program of f(parameters, frozen, inputs) → output, for lists of arrays of these shapes."""
    closed = jax.make_jaxpr(f)(parameters, frozen, inputs)
    program = Program([], [], [], {}, [], [], [], [])
    variables = iter(closed.jaxpr.invars)
    places = (program.parameters, parameters), (program.frozen, frozen), (program.inputs, inputs)
    for (numbers, arrays), kind in zip(places, (Kind.PARAMETERS, Kind.CONSTANT, Kind.INPUTS), strict=True):
        numbers += [_new(program, next(variables).aval, kind) for _ in arrays]
    arguments = [*program.parameters, *program.frozen, *program.inputs]
    program.outputs = _inline(program, closed.jaxpr, closed.consts, arguments)
    _spread_late(program)
    return program


def _spread_late(program: Program) -> None:
    """Count broadcasts of parameters among the steps on inputs, where only such take them: what is perturbed is then small."""
    takers: dict[int, set[Kind]] = {}
    for step in program.steps:
        for i in step.inputs:
            takers.setdefault(i, set()).add(step.kind)
    for k, step in enumerate(program.steps):
        grows = (
            program.avals[step.outputs[0]].size > program.avals[step.inputs[0]].size if step.inputs else False
        )
        late = step.name == "broadcast_in_dim" and grows and takers.get(step.outputs[0]) == {Kind.INPUTS}
        if step.kind is Kind.PARAMETERS and late:
            program.steps[k] = dataclasses.replace(step, kind=Kind.INPUTS)
            program.kinds[step.outputs[0]] = Kind.INPUTS


def _new(program: Program, aval: Any, kind: Kind) -> int:
    program.avals.append(aval)
    program.kinds.append(kind)
    return len(program.avals) - 1


def _constant(program: Program, value: Any) -> int:
    aval = jax.ShapeDtypeStruct(np.shape(value), jax.dtypes.result_type(value))
    number = _new(program, aval, Kind.CONSTANT)
    program.constants[number] = value
    return number


def _inline(program: Program, jaxpr: Any, consts: Any, arguments: list[int]) -> list[int]:
    """Write the steps of a jaxpr whose arguments have these numbers; the numbers of its outputs."""
    known = dict(zip(jaxpr.invars, arguments, strict=True))
    for var, value in zip(jaxpr.constvars, consts, strict=True):
        known[var] = _constant(program, value)

    def number(atom: Any) -> int:
        return _constant(program, atom.val) if isinstance(atom, jex.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        given = [number(a) for a in eqn.invars]
        found = _body(program, eqn, given)
        if found is None:
            kind = max((program.kinds[g] for g in given), default=Kind.CONSTANT)
            found = [_new(program, v.aval, kind) for v in eqn.outvars]
            program.steps.append(_step(jaxpr, eqn, given, found, kind))
        known.update(zip(eqn.outvars, found, strict=True))
    return [number(v) for v in jaxpr.outvars]


def _step(jaxpr: Any, eqn: Any, given: list[int], found: list[int], kind: Kind) -> Step:
    variables = {v: g for v, g in zip(eqn.invars, given, strict=True) if not isinstance(v, jex.Literal)}
    names = jaxpr.debug_info.with_unknown_names()
    body = jaxpr.replace(
        constvars=[],
        invars=list(variables),
        outvars=list(eqn.outvars),
        eqns=[eqn],
        effects=eqn.effects,
        debug_info=names,
    )
    closed = jex.ClosedJaxpr(body, [])
    return Step(
        eqn.primitive.name, eqn.params, tuple(given), tuple(found), kind, closed, tuple(variables.values())
    )


def _body(program: Program, eqn: Any, given: list[int]) -> list[int] | None:
    """The outputs of a call or a short scan, written out; None for every other operation."""
    name, options = eqn.primitive.name, eqn.params
    if name in _CALLS:
        body = options.get("jaxpr", options.get("call_jaxpr"))
        if isinstance(body, jex.ClosedJaxpr):
            return _inline(program, body.jaxpr, body.consts, given)
        return _inline(program, body, (), given)
    kinds = {program.kinds[g] for g in given}
    if name == "scan" and {Kind.PARAMETERS, Kind.INPUTS} <= kinds and options["length"] <= UNROLLED:
        return _unrolled(program, eqn, given)
    return None


def _unrolled(program: Program, eqn: Any, given: list[int]) -> list[int]:
    """A scan, step by step."""
    options = eqn.params
    body, fixed, carried = options["jaxpr"], options["num_consts"], options["num_carry"]
    constants, state, over = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]
    rows: list[list[int]] = []
    order = range(options["length"])
    for i in reversed(order) if options["reverse"] else order:
        parts = [_apply(program, lambda a, i=i: a[i], [x])[0] for x in over]
        found = _inline(program, body.jaxpr, body.consts, [*constants, *state, *parts])
        state, row = found[:carried], found[carried:]
        rows.append(row)
    if options["reverse"]:
        rows.reverse()
    stacked = []
    for column in zip(*rows, strict=True):
        stacked += _apply(program, lambda *parts: jax.numpy.stack(parts), list(column))
    return [*state, *stacked]


def _apply(program: Program, f: Callable, given: list[int]) -> list[int]:
    """Write the steps of a function of numbered values."""
    closed = jax.make_jaxpr(f)(
        *(jax.ShapeDtypeStruct(program.avals[g].shape, program.avals[g].dtype) for g in given)
    )
    return _inline(program, closed.jaxpr, closed.consts, given)


def evaluate(steps: Iterable[Step], known: dict[int, Any]) -> dict[int, Any]:
    """Run steps on the values that are known; those and what they give."""
    values = dict(known)
    for step in steps:
        values.update(step.run(values))
    return values
