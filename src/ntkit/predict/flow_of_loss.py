"""Gradient flow on any loss: the differential equation of the outputs, solved with stated accuracy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.losses import Loss, choose_loss
from ntkit.predict.chebyshev import Chebyshev
from ntkit.predict.flow_problem import Problem, choose_solver
from ntkit.predict.momentum import check_momentum
from ntkit.predict.products import checked_product, product
from ntkit.predict.stops import Stop, stop_at
from ntkit.predict.targets import Targets, training_targets
from ntkit.predict.targets_of_losses import encoded_targets
from ntkit.predict.training_curve import checked_times
from ntkit.solve.arrays import finite_array, non_negative

STEPS = 200_000


@dataclasses.dataclass(frozen=True, eq=False)
class LossFlow:
    """Training on a loss, at the times asked for, up to where it was stopped.

    Attributes:
        times: (t,) those asked for that were reached, and last the time of the stop where there was one.
        train: (t, n) or (t, n, o) outputs at the training points.
        coefficients: (t, n, o), α: f(x) = f₀(x) + Θ(x, X) α.
        loss: (t,) on the training points.
        stopped: "accuracy", "loss", or None where the last time was reached.
        steps: of the solver, rejected ones included.
        notes: what was done to the targets.
        targets: y and f₀(X).
    """

    times: Float64[np.ndarray, " t"]
    train: Float64[np.ndarray, "t ..."]
    coefficients: Float64[np.ndarray, "t n o"]
    loss: Float64[np.ndarray, " t"]
    stopped: str | None
    steps: int
    notes: tuple[str, ...]
    targets: Targets

    def test(self, k_test_train: ArrayLike, f0_test: ArrayLike | None = None) -> Float64[np.ndarray, "..."]:
        """Outputs at test points, at all times.

        Args:
            k_test_train: (m, n) tangent kernel of the test points with the training points; (m, n, o) or (m, n, o, o) where
                that of the training points was such.
            f0_test: initial outputs there, (m,) or (m, o) like y; needed if and only if `f0_train` was given.

        Returns:
            (t, m) or (t, m, o), like y.

        Raises:
            InputError: a shape is wrong, or f₀ is known in one place only.
        """
        cross = finite_array(k_test_train, "k_test_train")
        n, outputs = self.targets.y.shape
        if cross.ndim not in (2, 3, 4) or cross.shape[1:] not in ((n,), (n, outputs), (n, outputs, outputs)):
            raise InputError(
                f"k_test_train has shape {cross.shape}; expected (m, {n}), a row for each test point and a column for each "
                f"training point, or that with outputs ({outputs}) behind."
            )
        start = self.targets.start_at(f0_test, len(cross))
        learnt = np.stack([product(np, cross, alpha) for alpha in self.coefficients])
        return self.targets.restore(start + learnt)


def loss_flow(
    k_train_train: ArrayLike | Callable[[Array], Array],
    y: ArrayLike,
    times: ArrayLike,
    *,
    loss: str | Callable[[Any, Any], Any] = "cross_entropy",
    learning_rate: float = 1.0,
    momentum: float | None = None,
    f0_train: ArrayLike | None = None,
    stop_at_accuracy: float | None = None,
    stop_at_loss: float | None = None,
    tolerance: float = 1e-4,
    solver: diffrax.AbstractSolver | None = None,
) -> LossFlow:
    r"""Gradient flow of a network in the kernel regime on any loss.

    With L the loss, a mean over examples, and Θ the tangent kernel of the training points,

        df/dt = −η Θ ∂L/∂f,   and with momentum   d²f/dt² = −(1 − β) df/dt − η Θ ∂L/∂f, from df/dt = 0:

    at time t this is descent after t steps of size η, for small η. What is solved for is α, dα/dt = −η ∂L/∂f, with f = f₀ + Θ α, so test outputs cost one
    product. For the squared loss `gradient_flow` has the solution in closed form.

    Cross-entropy and logistic loss have no least value: the outputs of data that the kernel can separate grow for ever, as log t, towards the largest margin.
    What is returned is the state at the times asked for, or where `stop_at_loss` or `stop_at_accuracy` ends it; t = ∞ is refused.

    Args:
        k_train_train: (n, n) tangent kernel; (n, n, o), one for each output; (n, n, o, o), of all pairs of outputs; or a function
            of (n, o) that JAX can trace, v → Θ v, or an `NTKOperator`.
        y: (n,) or (n, o) targets. For "cross_entropy" probabilities of classes, or (n,) numbers of classes, which are turned into
            one-hot rows, and `notes` says so; for "binary_cross_entropy" 0 and 1; for "logistic" and "hinge" −1 and 1, or 0 and 1, which are
            turned into these.
        times: (t,) finite, at least 0, rising.
        loss: a name of `ntkit.losses`, or a function (outputs, targets) → the mean over examples, of JAX.
        learning_rate: η > 0.
        momentum: β, at least 0 and below 1; None for plain flow.
        f0_train: (n,) or (n, o) initial outputs at the training points; None for zero.
        stop_at_accuracy: the part of the training points, above 0 and up to 1, at whose being right training ends. A point is right where the
            output of its class is the largest, or has the sign of its target.
        stop_at_loss: the loss on the training points at which training ends.
        tolerance: bound on the error of outputs, in units of 1 + |f|, as the solver estimates it, from 1e-12 to 0.1.
        solver: one of diffrax; None for `diffrax.Tsit5`, for a stabilised one where the flow is stiff and the tolerance not too small,
            `Chebyshev`, or with momentum for `diffrax.Dopri8`. An implicit one, such as `diffrax.Kvaerno5`, solves linear
            systems of 2 · n · o unknowns: for small problems.

    Raises:
        InputError: a shape or a value is not usable, the kernel not symmetric, or t infinite.
        NumericalError: the solver took too many steps, or met a number that is not finite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import loss_flow
        >>> flow = loss_flow(np.eye(3), [0, 1, 2], [0.0, 10.0, 1000.0])
        >>> flow.notes
        ('numbers of classes 0 to 2 were taken as one-hot rows',)
        >>> flow.train.shape, flow.loss.round(3)
        ((3, 3, 3), array([1.099, 0.099, 0.003]))

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, theorem 2; Lee et al., "Wide neural networks of any depth evolve as linear models under
        gradient descent", 2019, eqs. 3 and 4, and appendix B for momentum. Growth for ever: Soudry et al., "The implicit bias of gradient descent on
        separable data", 2018, theorem 3.
    """
    chosen = choose_loss(loss)
    encoded, notes = encoded_targets(y, chosen)
    targets = training_targets(encoded, len(encoded), f0_train)
    kernel = checked_product(k_train_train, targets.y.shape)
    ts = _rising(times, chosen)
    if not non_negative(learning_rate, "learning_rate"):
        raise InputError("learning_rate is 0; expected a positive number.")
    if not 1e-12 <= tolerance <= 0.1:
        raise InputError(f"tolerance is {tolerance}; expected from 1e-12 to 0.1.")
    damping = None if momentum is None else 1 - check_momentum(momentum)
    stop = stop_at(stop_at_accuracy, stop_at_loss, chosen, targets.y)
    with jax.enable_x64(True):
        problem = Problem(
            kernel, jnp.asarray(targets.y), jnp.asarray(targets.start), chosen, targets.flat, float(learning_rate), damping
        )
        at_once = None if stop is None else stop.first(np.asarray(problem.stops(stop, problem.start)))
        if at_once is not None:
            return _at_the_start(problem, targets, at_once, notes)
        how = solver or choose_solver(problem, float(ts[-1]), tolerance)
        # The error of a method of order two with local errors of size ε is about ε^(2/3); of higher orders, about ε.
        local = 0.1 * tolerance**1.5 if isinstance(how, Chebyshev) else 0.1 * tolerance
        found = _solve(problem, jnp.asarray(ts), jnp.asarray(local), stop, how)
        return _result(found, ts, targets, stop, notes)


@eqx.filter_jit
def _solve(problem: Problem, times: Array, local: Array, stop: Stop | None, solver: Any) -> dict[str, Any]:
    def outputs_of(state: Any) -> Any:
        return state[0] if problem.damping is None else state[0][0]

    def norm(state: Any) -> Array:
        return jnp.max(jnp.abs(outputs_of(state)))

    def places(t: Array, state: Any, args: Any) -> Any:
        return state if problem.damping is None else state[0]

    event = None
    if stop is not None:

        def over(t: Array, y: Any, args: Any, **_: Any) -> Array:
            return jnp.max(problem.stops(stop, outputs_of(y)))

        event = diffrax.Event(over, optimistix.Bisection(rtol=1e-8, atol=1e-8))
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, state, args: problem.field(state)),
        solver,
        0.0,
        times[-1],
        None,
        problem.state(),
        saveat=diffrax.SaveAt(
            subs=[diffrax.SubSaveAt(ts=times, fn=places), diffrax.SubSaveAt(t1=True, fn=places)]
        ),
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=local, atol=local, norm=norm), step_ts=times
        ),
        event=event,
        max_steps=STEPS,
        throw=False,
    )
    every = [jnp.concatenate(leaves) for leaves in zip(*found.ys, strict=True)]
    return {
        "outputs": every[0],
        "alpha": every[1],
        "loss": jax.lax.map(problem.value, every[0]),
        "end": found.ts[1][0],
        "stops": None if stop is None else problem.stops(stop, every[0][-1]),
        "steps": found.stats["num_steps"],
        "result": found.result,
    }


def _at_the_start(problem: Problem, targets: Targets, stopped: str, notes: tuple[str, ...]) -> LossFlow:
    return LossFlow(
        np.zeros(1),
        targets.restore(targets.start[None]),
        np.zeros((1, *targets.y.shape)),
        np.asarray(problem.value(problem.start))[None],
        stopped,
        0,
        notes,
        targets,
    )


def _result(
    found: dict[str, Any], times: np.ndarray, targets: Targets, stop: Stop | None, notes: tuple[str, ...]
) -> LossFlow:
    stopped, kept = None, np.arange(len(times))
    if bool(found["result"] == diffrax.RESULTS.event_occurred):
        assert stop is not None
        end = float(found["end"])
        # The root is found to a tolerance: the largest of the numbers is the one that has reached 0.
        stopped = stop.names[int(np.argmax(found["stops"]))]
        kept = np.append(np.flatnonzero(times < end), len(times))
        times = np.append(times[times < end], end)
    elif not bool(found["result"] == diffrax.RESULTS.successful):
        raise NumericalError(
            f"the flow could not be followed to t = {times[-1]:.4g}: {diffrax.RESULTS[found['result']]} "
            "Ask for an earlier time, a larger tolerance or a smaller learning rate."
        )
    outputs, alpha, loss = (np.asarray(found[k])[kept] for k in ("outputs", "alpha", "loss"))
    if not np.isfinite(outputs).all():
        raise NumericalError("the outputs leave the range of float64: scale the targets or the kernel.")
    return LossFlow(
        times,
        targets.restore(outputs),
        alpha,
        loss,
        stopped,
        int(found["steps"]),
        notes,
        targets,
    )


def _rising(times: ArrayLike, loss: Loss) -> Float64[np.ndarray, " t"]:
    array = checked_times(times, "times")
    if np.isinf(array).any():
        reason = (
            "its flow has no closed form, so that no step leads there"
            if loss.finite
            else "it has no least value at finite outputs, which grow for ever, as log t"
        )
        raise InputError(f"t = ∞ is out of reach for {loss.name}: {reason}. Pass a finite time, or stop_at_loss.")
    if array.ndim != 1 or array.size == 0 or (np.diff(array) <= 0).any() or array[-1] == 0:
        raise InputError(
            f"times has shape {array.shape}; expected (t,), rising, the last of them above 0."
        )
    return array
