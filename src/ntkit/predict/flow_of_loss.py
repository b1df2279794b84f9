"""Gradient flow on any loss: the differential equation of the outputs, solved with stated accuracy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.losses import Loss, choose_loss
from ntkit.predict.flow_legs import Path, follow
from ntkit.predict.flow_problem import Problem
from ntkit.predict.momentum import check_momentum
from ntkit.predict.products import checked_product, product
from ntkit.predict.stops import stop_at
from ntkit.predict.targets import Targets, training_targets
from ntkit.predict.targets_of_losses import encoded_targets
from ntkit.predict.training_curve import checked_times
from ntkit.solve.arrays import finite_array, non_negative


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

    at time t this is descent after t steps of size η, for small η. What is solved for is α, dα/dt = −η ∂L/∂f, with f =
    f₀ + Θ α, so test outputs cost one product. For the squared loss `gradient_flow` has the solution in closed form.

    Cross-entropy and logistic loss have no least value: the outputs of data that the kernel can separate grow for
    ever, as log t, towards the largest margin. What is returned is the state at the times asked for, or where
    `stop_at_loss` or `stop_at_accuracy` ends it; t = ∞ is refused.

    Args:
        k_train_train: (n, n) tangent kernel; (n, n, o), one for each output; (n, n, o, o), of all pairs of outputs; or
            a function of (n, o) that JAX can trace, v → Θ v, or an `NTKOperator`.
        y: (n,) or (n, o) targets. For "cross_entropy" probabilities of classes, or (n,) numbers of classes, which are
            turned into one-hot rows, and `notes` says so; for "binary_cross_entropy" 0 and 1; for "logistic" and
            "hinge" −1 and 1, or 0 and 1, which are turned into these.
        times: (t,) finite, at least 0, rising.
        loss: a name of `ntkit.losses`, or a function (outputs, targets) → the mean over examples, of JAX.
        learning_rate: η > 0.
        momentum: β, at least 0 and below 1; None for plain flow.
        f0_train: (n,) or (n, o) initial outputs at the training points; None for zero.
        stop_at_accuracy: the part of the training points, above 0 and up to 1, at whose being right training ends. A
            point is right where the output of its class is the largest, or has the sign of its target.
        stop_at_loss: the loss on the training points at which training ends.
        tolerance: bound on the error of outputs, in units of 1 + |f|, as the solver estimates it, from 1e-12 to 0.1.
        solver: one of diffrax; None for `diffrax.Tsit5`, for a stabilised one where the flow is stiff and the
            tolerance not too small, `Chebyshev`, or with momentum for `diffrax.Dopri8`. An implicit one, such as
            `diffrax.Kvaerno5`, solves linear systems of 2 · n · o unknowns: for small problems.

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
        ((3, 3, 3), array([1.099, 0.249, 0.002]))

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, theorem 2; Lee et al., "Wide neural networks of any
        depth evolve as linear models under gradient descent", 2019, eqs. 3 and 4, and appendix B for momentum. Growth
        for ever: Soudry et al., "The implicit bias of gradient descent on separable data", 2018, theorem 3.
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
    friction = None if momentum is None else 1 - check_momentum(momentum)
    stop = stop_at(stop_at_accuracy, stop_at_loss, targets.y)
    with jax.enable_x64(True):
        damping = None if friction is None else jnp.asarray(friction, float)
        problem = Problem(
            kernel,
            jnp.asarray(targets.y),
            jnp.asarray(targets.start),
            chosen,
            targets.flat,
            jnp.asarray(learning_rate, float),
            damping,
        )
        at_once = None if stop is None else stop.first(np.asarray(problem.stops(stop, problem.start)))
        if at_once is not None:
            return _at_the_start(problem, targets, at_once, notes)
        path = follow(problem, ts, tolerance, stop, solver)
        return _result(problem, path, targets, notes)


def _at_the_start(problem: Problem, targets: Targets, stopped: str, notes: tuple[str, ...]) -> LossFlow:
    return LossFlow(
        np.zeros(1),
        targets.restore(targets.start[None]),
        np.zeros((1, *targets.y.shape)),
        np.array([float(_value(problem, problem.start))]),
        stopped,
        0,
        notes,
        targets,
    )


def _result(problem: Problem, path: Path, targets: Targets, notes: tuple[str, ...]) -> LossFlow:
    outputs = path.outputs
    if not callable(problem.kernel):  # free of what products in single precision have rounded
        kernel = np.asarray(problem.kernel)
        outputs = targets.start + np.stack([product(np, kernel, alpha) for alpha in path.coefficients])
    if not np.isfinite(outputs).all():
        raise NumericalError("the outputs leave the range of float64: scale the targets or the kernel.")
    return LossFlow(
        path.times,
        targets.restore(outputs),
        path.coefficients,
        np.array([float(_value(problem, f)) for f in np.asarray(outputs)]),
        path.stopped,
        path.steps,
        notes,
        targets,
    )


@eqx.filter_jit
def _value(problem: Problem, outputs: Array) -> Array:
    return problem.value(outputs)


def _rising(times: ArrayLike, loss: Loss) -> Float64[np.ndarray, " t"]:
    array = checked_times(times, "times")
    if np.isinf(array).any():
        reason = (
            "its flow has no closed form, so that no step leads there"
            if loss.finite
            else "it has no least value at finite outputs, which grow for ever, as log t"
        )
        raise InputError(
            f"t = ∞ is out of reach for {loss.name}: {reason}. Pass a finite time, or stop_at_loss."
        )
    if array.ndim != 1 or array.size == 0 or (np.diff(array) <= 0).any() or array[-1] == 0:
        raise InputError(f"times has shape {array.shape}; expected (t,), rising, the last of them above 0.")
    return array
