"""A flow on a loss followed through time, by the methods that take the fewest products for it."""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float64

from ntkit.errors import NumericalError
from ntkit.losses import HINGE
from ntkit.predict.chebyshev import Chebyshev
from ntkit.predict.flow_problem import Problem
from ntkit.predict.products import product
from ntkit.predict.stops import Stop
from ntkit.solve.rounding import eigenvalue_noise

STEPS = 200_000
PRODUCTS = 20  # of the power method, for the largest rate
SINGLE = 2.0**-24


class Path(NamedTuple):
    """Where the flow has been.

    Attributes:
        times: (t,) those asked for, up to where it was stopped, and then that time.
        outputs: (t, n, o).
        coefficients: (t, n, o).
        stopped: the name of what stopped it, or None.
        steps: of the solvers.
    """

    times: Float64[np.ndarray, " t"]
    outputs: Float64[np.ndarray, "t n o"]
    coefficients: Float64[np.ndarray, "t n o"]
    stopped: str | None
    steps: int


class Leg(NamedTuple):
    """A method, and the time up to which it is used."""

    solver: Any
    until: float


def follow(
    problem: Problem,
    times: Float64[np.ndarray, " t"],
    tolerance: float,
    stop: Stop | None,
    solver: diffrax.AbstractSolver | None,
) -> Path:
    """The flow at these times, or up to where it is stopped.

    Raises:
        NumericalError: a solver took too many steps, or met a number that is not finite.
    """
    end = float(times[-1])
    own = solver is None
    rate = float(_largest_rate(problem)) if own and problem.damping is None else 0.0
    start, state, steps, parts = 0.0, problem.state(), 0, []
    for method, until in _legs(problem, rate, end, tolerance, stop) if own else [Leg(solver, end)]:
        inside = times[(times <= until) & ((times > start) | (start == 0))]
        # The error of a method of order two with local errors of size ε is about ε^(2/3); of higher orders, about ε.
        local = 0.1 * tolerance**1.5 if isinstance(method, Chebyshev) else 0.1 * tolerance
        suited = _in_single_precision(problem, rate * until, tolerance) if own else problem
        padded = jnp.asarray(_padded(inside, until))
        found = _solve(suited, state, jnp.asarray(start), padded, jnp.asarray(local), stop, method)
        steps += int(found["steps"])
        stopped = bool(found["result"] == diffrax.RESULTS.event_occurred)
        if not (stopped or bool(found["result"] == diffrax.RESULTS.successful)):
            raise NumericalError(
                f"the flow could not be followed to t = {times[-1]:.4g}: {diffrax.RESULTS[found['result']]} "  # type: ignore[misc]
                "Ask for an earlier time, a larger tolerance or a smaller learning rate."
            )
        start, state = (float(found["end"]), found["state"]) if stopped else (until, found["state"])
        count = int(np.sum(inside < start)) if stopped else len(inside)
        parts.append((inside[:count], found["outputs"][:count], found["coefficients"][:count]))
        if suited is not problem:  # free of what products in single precision have rounded
            alpha = problem.coefficients_of(state)
            state = (problem.start + product(jnp, problem.kernel, alpha), alpha)
        if stopped:
            assert stop is not None
            parts.append(
                (np.array([start]), problem.outputs_of(state)[None], problem.coefficients_of(state)[None])
            )
            # The root is found to a tolerance: the largest of the numbers is the one that has reached 0.
            reached = np.asarray(problem.stops(stop, problem.outputs_of(state)))
            return _path(parts, stop.names[int(np.argmax(reached))], steps)
    return _path(parts, None, steps)


def _path(parts: list[tuple[Any, Any, Any]], stopped: str | None, steps: int) -> Path:
    times, outputs, coefficients = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return Path(times, outputs, coefficients, stopped, steps)


def _legs(problem: Problem, rate: float, end: float, tolerance: float, stop: Stop | None) -> list[Leg]:
    """Which methods, and until when.

    A classical method takes some ρ T/3.3 steps, ρ being the largest rate of the flow, whatever the tolerance;
    `Chebyshev` takes steps by accuracy alone, some 6/√tolerance. Where the flow may stop before its last time, the
    classical one goes ahead as far as it pays. With momentum the rates are complex numbers, which rules `Chebyshev` out.
    """
    if problem.damping is not None:
        return [Leg(diffrax.Dopri8(), end)]
    pays = 12 / tolerance**0.5
    if rate * end <= pays:
        return [Leg(diffrax.Tsit5(), end)]
    last = Leg(Chebyshev(), end)
    return [last] if stop is None else [Leg(diffrax.Tsit5(), pays / rate), last]


def _in_single_precision(problem: Problem, turns: float, tolerance: float) -> Problem:
    """The problem with a kernel of float32, at half the cost of a product, where rounding stays below the tolerance.

    Rounding moves an eigenvalue λ by ε at most. By time T the modes with η h λ T/n ≥ 1 have been learnt, h being the
    curvature of the loss, and moved by ε/λ at most: so by ε η h T/n = (ε/λ₁) ρ T. Entries that are rounded once, by
    less than half a unit, move it by a fifth of what `eigenvalue_noise` allows for.
    """
    if callable(problem.kernel) or problem.kernel.ndim > 2 or problem.damping is not None:
        return problem
    kernel = np.asarray(problem.kernel)
    largest = max(float(np.abs(kernel.sum()) / len(kernel)), float(np.diag(kernel).max()))  # λ₁ is no smaller
    if eigenvalue_noise(kernel, SINGLE) / 5 * turns > 0.1 * tolerance * largest:
        return problem
    return eqx.tree_at(lambda p: p.kernel, problem, jnp.asarray(kernel, jnp.float32))


@eqx.filter_jit
def _largest_rate(problem: Problem) -> Array:
    """The largest rate ρ at the start; of the hinge, which bends later, a bound on that of any moment."""

    def once(_: Any, found: tuple[Array, Array]) -> tuple[Array, Array]:
        v = found[1]
        if problem.loss.name == "hinge":
            changed = product(jnp, problem.kernel, problem.learning_rate * v / (2 * HINGE * len(v)))
        else:
            changed = jax.jvp(lambda f: problem.force(f)[0], (problem.start,), (v,))[1]
        size = jnp.linalg.norm(changed)
        return size, changed / jnp.where(size > 0, size, 1.0)

    first = jax.random.normal(jax.random.key(0), problem.start.shape, problem.start.dtype)
    return jax.lax.fori_loop(0, PRODUCTS, once, (jnp.zeros((), first.dtype), first))[0]


@eqx.filter_jit
def _solve(
    problem: Problem, state: Any, start: Array, times: Array, local: Array, stop: Stop | None, solver: Any
) -> dict[str, Any]:
    """A leg: from a state at a time through the times to the last of them."""
    event = None
    if stop is not None:

        def over(t: Array, y: Any, args: Any, **_: Any) -> Array:
            return jnp.max(problem.stops(stop, problem.outputs_of(y)))

        event = diffrax.Event(over, optimistix.Bisection(rtol=1e-8, atol=1e-8))  # type: ignore[call-arg]
    control = diffrax.PIDController(
        rtol=local, atol=local, norm=lambda y: jnp.max(jnp.abs(problem.outputs_of(y)))
    )
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: problem.field(y)),
        solver,
        start,
        times[-1],
        None,
        state,
        saveat=diffrax.SaveAt(
            subs=[
                diffrax.SubSaveAt(
                    ts=times, fn=lambda t, y, args: (problem.outputs_of(y), problem.coefficients_of(y))
                ),
                diffrax.SubSaveAt(t1=True),
            ]
        ),
        stepsize_controller=diffrax.ClipStepSizeController(control, step_ts=times),
        event=event,
        adjoint=diffrax.ForwardMode(),
        max_steps=STEPS,
        throw=False,
    )
    return {
        "outputs": found.ys[0][0],
        "coefficients": found.ys[0][1],
        "state": jax.tree.map(lambda y: y[0], found.ys[1]),
        "end": found.ts[1][0],
        "steps": found.stats["num_steps"],
        "result": found.result,
    }


def _padded(times: Float64[np.ndarray, " t"], until: float) -> Float64[np.ndarray, " padded"]:
    """The end of the leg added up to a power of two: other numbers of times do not compile anew."""
    size = max(8, 1 << len(times).bit_length())
    return np.concatenate([times, np.full(size - len(times), until)])
