"""How fast training converges, and what governs it: eigenmodes, bounds, the best step and momentum."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ntkit.errors import InputError
from ntkit.predict.gradient_descent import largest_learning_rate
from ntkit.predict.gradient_flow import gradient_flow
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import Numbers, non_negative
from ntkit.solve.eigen import Eigen, eigendecomposition


class Mode(NamedTuple):
    """An eigenmode of the kernel, as training sees it.

    Attributes:
        number: its place by eigenvalue, from 0.
        eigenvalue: λ.
        time_constant: n/(η (λ + ridge)), in which what is left of it falls by e; infinite for a mode that is never learnt.
        power: its part of ‖y − f₀‖².
    """

    number: int
    eigenvalue: float
    time_constant: float
    power: float


@dataclasses.dataclass(frozen=True, eq=False)
class Convergence:
    """What governs the training of a kernel towards its targets.

    Attributes:
        curve: gradient flow.
        power: (n,) part of ‖y − f₀‖² in each mode, the largest eigenvalue first; sums to 1.
        largest_learning_rate: above which gradient descent diverges.
    """

    curve: TrainingCurve
    power: Float64[np.ndarray, " n"]
    largest_learning_rate: float

    @property
    def time_constants(self) -> Float64[np.ndarray, " n"]:
        """n/(η (λᵢ + ridge)): when what is left of a mode has fallen by a factor of e; infinite where it never does."""
        rates = self.curve.rates
        return np.where(rates > 0, 1 / np.where(rates > 0, rates, 1.0), np.inf)

    @property
    def least_loss(self) -> float:
        """The training loss at t = ∞: what modes of eigenvalue zero hold, and what the ridge forbids."""
        return float(self.curve.train_loss(np.inf))

    def loss(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        """The squared loss on the training points, exactly, as `TrainingCurve.train_loss`."""
        return self.curve.train_loss(times)

    def bound(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        r"""What the smallest eigenvalue guarantees without a ridge: loss ≤ exp(−2 η λ_min t/n) · loss₀.

        It says nothing for a singular kernel, where λ_min is zero.

        Args:
            times: any shape, each at least 0.

        Raises:
            InputError: a time is negative or NaN, or there is a ridge.

        References:
            Du, Zhai, Poczos and Singh, "Gradient descent provably optimizes over-parameterized neural networks", 2019, theorem
            3.2, whose loss is a sum over examples, so that n is 1; Arora et al., "Fine-grained analysis of
            optimization and generalization for overparameterized two-layer neural networks", 2019, theorem 3.1.
        """
        if self.curve.ridge > 0:
            raise InputError("the bound is that of training without a ridge; pass ridge=0.")
        slowest = dataclasses.replace(
            self.curve, values=np.full_like(self.curve.values, self.curve.values[-1])
        )
        return slowest.train_loss(times)

    def time_to_loss(self, loss: float) -> float:
        """The time at which the training loss has fallen to a value.

        Args:
            loss: positive.

        Raises:
            InputError: the loss is not positive, or never reached.

        Example:
            >>> from ntkit.analysis import convergence
            >>> round(convergence([[2.0]], [1.0]).time_to_loss(0.05), 6)  # ½ exp(−4 t) = 0.05
            0.575646
        """
        if not (np.isfinite(loss) and loss > 0):
            raise InputError(f"loss is {loss}; expected a positive number.")
        if loss <= self.least_loss:
            raise InputError(
                f"the loss never reaches {loss:.4g}: at t = ∞ it is {self.least_loss:.4g}, in modes of eigenvalue zero or "
                "held back by the ridge."
            )
        if loss >= float(self.loss(0.0)):
            return 0.0
        constants = self.time_constants[np.isfinite(self.time_constants)]
        low, high = np.log(constants[0] * 1e-9), np.log(constants[-1] * 800)
        found = brentq(lambda t: float(self.loss(np.exp(t))) - loss, low, high, xtol=1e-13)
        return float(np.exp(found))

    def order(self, count: int | None = None) -> list[Mode]:
        """The modes in the order in which they are learnt, from the fastest; those that hold next to nothing are left out.

        Args:
            count: how many at most; None for all that hold at least a millionth of ‖y − f₀‖².

        Example:
            >>> import numpy as np
            >>> from ntkit.analysis import convergence
            >>> found = convergence(np.diag([4.0, 2.0, 1.0]), [1.0, 0.0, 3.0]).order()
            >>> [(mode.number, mode.time_constant, round(mode.power, 9)) for mode in found]
            [(0, 0.75, 0.1), (2, 3.0, 0.9)]
        """
        held = np.flatnonzero(self.power >= 1e-6)[:count]
        values, constants = self.curve.values, self.time_constants
        return [Mode(int(i), float(values[i]), float(constants[i]), float(self.power[i])) for i in held]


def convergence(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    f0_train: ArrayLike | None = None,
    learning_rate: float = 1.0,
    ridge: float = 0.0,
) -> Convergence:
    r"""How training on the squared loss converges.

    What is left of mode i of y − f₀ at time t is exp(−η (λᵢ + ridge) t/n) of it: targets in modes of large eigenvalues
    are learnt first.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        learning_rate: η > 0.
        ridge: penalty ridge/(2n) ‖θ − θ₀‖², absolute, at least 0.

    Raises:
        InputError: a shape is wrong, a value is not finite or out of range, or y − f₀ is zero.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import convergence
        >>> found = convergence(np.diag([4.0, 2.0]), [1.0, 1.0])
        >>> found.time_constants, found.largest_learning_rate
        (array([0.5, 1. ]), 1.0)
        >>> bool(found.loss(3.0) < found.bound(3.0))
        True

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, section 5; Arora et al., 2019, theorem 4.1.
    """
    eigen = eigendecomposition(k_train_train)
    curve = gradient_flow(eigen, y, f0_train=f0_train, ridge=ridge, learning_rate=learning_rate)
    size = float(np.abs(curve.targets.residual).max())
    if size == 0:
        raise InputError("y equals the initial outputs everywhere: there is nothing to learn.")
    power = np.sum((eigen.vectors.T @ (curve.targets.residual / size)) ** 2, axis=1)
    return Convergence(curve, power / power.sum(), largest_learning_rate(eigen, ridge=ridge))


def learning_times(
    k_train_train: ArrayLike | Eigen, targets: ArrayLike, *, part: float = 0.5, learning_rate: float = 1.0
) -> Float64[np.ndarray, " o"]:
    """When each of several targets has been learnt to a part, from outputs of zero: what a network learns first.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        targets: (n, o), each column a target of its own, such as a harmonic or the membership of a class.
        part: of the norm of the target, above 0 and below 1: when ‖f − y‖ is 1 − part of ‖y‖.
        learning_rate: η > 0.

    Returns:
        (o,) times; infinite where the kernel cannot learn so much of a target.

    Raises:
        InputError: a shape is wrong, a column is zero, or the part is out of range.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import learning_times
        >>> np.round(learning_times(np.diag([4.0, 1.0]), np.eye(2)), 3)
        array([0.347, 1.386])
    """
    if not 0 < part < 1:
        raise InputError(f"part is {part}; expected above 0 and below 1.")
    eigen = eigendecomposition(k_train_train)
    columns = np.asarray(targets)
    if columns.ndim != 2:
        raise InputError(f"targets has shape {columns.shape}; expected (n, targets).")
    found = []
    for column in columns.T:
        each = convergence(eigen, column, learning_rate=learning_rate)
        level = (1 - part) ** 2 * float(each.loss(0.0))
        found.append(each.time_to_loss(level) if level > each.least_loss else np.inf)
    return np.array(found)


class OptimalStep(NamedTuple):
    """A step, and how fast descent with it converges.

    Attributes:
        learning_rate: η.
        momentum: β.
        nesterov: whether in Nesterov's form.
        factor: by which what is left of the slowest mode shrinks a step, in the long run.
    """

    learning_rate: float
    momentum: float
    nesterov: bool
    factor: float


def optimal_step(
    k_train_train: ArrayLike | Eigen, *, ridge: float = 0.0, method: str = "descent"
) -> OptimalStep:
    r"""The constant step, and momentum, with which descent converges fastest.

    With μ and L the smallest and largest eigenvalues (plus ridge, over n) and κ = L/μ:
    descent η = 2/(L + μ), factor (κ − 1)/(κ + 1);
    heavy ball η = 4/(√L + √μ)², β = ((√κ − 1)/(√κ + 1))², factor √β;
    Nesterov η = 4/(3 L + μ), β = (√(3κ + 1) − 2)/(√(3κ + 1) + 2), factor 1 − 2/√(3κ + 1).
    Modes of eigenvalue zero are never learnt and do not count.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        ridge: penalty, absolute, at least 0.
        method: "descent", "heavy_ball" or "nesterov".

    Raises:
        InputError: the kernel is not square, symmetric and finite, or is zero; or there is no such method.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import optimal_step
        >>> step = optimal_step(np.diag([9.0, 1.0]), method="heavy_ball")
        >>> round(step.learning_rate, 3), round(step.momentum, 3), round(step.factor, 3)
        (0.5, 0.25, 0.5)

    References:
        Lessard, Recht and Packard, "Analysis and design of optimization algorithms via integral quadratic constraints", 2016,
        proposition 1; Polyak, 1964, theorem 9.
    """
    if method not in ("descent", "heavy_ball", "nesterov"):
        raise InputError(f"method is {method!r}; expected descent, heavy_ball or nesterov.")
    eigen = eigendecomposition(k_train_train)
    ridge = non_negative(ridge, "ridge")
    values = eigen.non_negative_values()
    learnt = values if ridge > 0 else values[~eigen.null]
    if learnt.size == 0:
        raise InputError("the kernel is zero: no step changes the outputs.")
    large, small = ((learnt[i] + ridge) / len(values) for i in (0, -1))
    ratio = float(large / small)
    if method == "descent":
        return OptimalStep(float(2 / (large + small)), 0.0, False, (ratio - 1) / (ratio + 1))
    if method == "heavy_ball":
        root = (ratio**0.5 - 1) / (ratio**0.5 + 1)
        return OptimalStep(float(4 / (large**0.5 + small**0.5) ** 2), root**2, False, root)
    wide = (3 * ratio + 1) ** 0.5
    return OptimalStep(float(4 / (3 * large + small)), (wide - 2) / (wide + 2), True, 1 - 2 / wide)
