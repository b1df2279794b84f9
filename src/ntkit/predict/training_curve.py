"""Training on the squared loss as a filter on the eigenmodes of the tangent kernel.

In function space a network in the kernel regime learns each eigenmode of Θ by itself. With the residual r = y − f₀
and the penalty ridge/(2n) ‖θ − θ₀‖² on the weights (none for ridge = 0), the change of the training outputs
g = f − f₀ follows dg/dt = −(η/n) [(Θ + ridge) g − Θ r], hence

    g(t) = Θ Φ(t) r  on the training points,   g(t) = Θ(x, X) Φ(t) r  at x,   Φ = (Θ + ridge)⁻¹ (1 − E),

where E = exp(−η t (Θ + ridge)/n) for gradient flow and (1 − η (Θ + ridge)/n)ᵗ for gradient descent. The two, and descent with
momentum, differ in E alone: that is the `Decay` which a curve is given.

With weights w on the examples, dg/dt = −(η/n) [(Θ W + ridge) g − Θ W r]: the same for W^½ Θ W^½, W^½ g and W^½ r.
"""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.targets import Targets, training_targets
from ntkit.solve.arrays import Numbers, cross_kernel, finite_array, non_negative, symmetric_kernel
from ntkit.solve.eigen import Eigen, eigendecomposition

ROUNDING = 1e-9  # a step that exceeds the largest stable one by this part of it was meant to be that one


class Decay(abc.ABC):
    """How a mode decays, as a function of its rate per unit of time and of the time."""

    @property
    @abc.abstractmethod
    def limit(self) -> float:
        """The rate above which a mode grows instead; infinite for a flow."""

    @abc.abstractmethod
    def check(self, times: Numbers, fastest: float) -> Float64[np.ndarray, "*times"]:
        """The times as an array, refused where they make no sense or where the fastest mode has no value."""

    @abc.abstractmethod
    def remaining(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        """E: the part of a mode that is left; 1 at time 0 and for rate 0."""

    @abc.abstractmethod
    def learnt_per_rate(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        """(1 − E)/rate to full relative accuracy; the time itself for rate 0."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingCurve:
    """Outputs and loss of a network in the kernel regime, at any time of its training.

    Attributes:
        eigen: decomposition of the tangent kernel of the training points, or of W^½ Θ W^½.
        targets: y and f₀(X).
        ridge: penalty on the distance of the weights from their start.
        learning_rate: η.
        decay: gradient flow, or gradient descent with or without momentum.
        values: (n,) the eigenvalues used, the largest first: zero where they cannot be told from zero.
        root: (n,) square roots of the weights of the examples.
    """

    eigen: Eigen
    targets: Targets
    ridge: float
    learning_rate: float
    decay: Decay
    values: Float64[np.ndarray, " n"]
    root: Float64[np.ndarray, " n"]

    @property
    def rates(self) -> Float64[np.ndarray, " n"]:
        """η (λᵢ + ridge)/n: how fast each eigenmode is learnt, the fastest first."""
        return self.learning_rate * (self.values + self.ridge) / len(self.values)

    def train(self, times: Numbers) -> Float64[np.ndarray, "..."]:
        """Outputs at the training points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.

        Returns:
            The shape of `times` followed by that of y.

        Raises:
            InputError: a time is negative or NaN.
            NumericalError: the outputs leave the range of float64.
        """
        left = self._of_modes(self.eigen.vectors / self.root[:, None], self.unlearnt(times))
        return self.targets.restore(
            _finite(self.targets.y - _times_first(left, np.shape(times), self.targets.y.shape))
        )

    def test(
        self, times: Numbers, k_test_train: ArrayLike, f0_test: ArrayLike | None = None
    ) -> Float64[np.ndarray, "..."]:
        """Outputs at test points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.
            k_test_train: (m, n) tangent kernel of the test points with the training points.
            f0_test: initial outputs there, (m,) or (m, o) like y; needed if and only if `f0_train` was given.

        Returns:
            The shape of `times` followed by (m,) or (m, o).

        Raises:
            InputError: a shape is wrong, a time is negative or NaN, or f₀ is known in one place only.
            NumericalError: the outputs leave the range of float64.
        """
        cross = cross_kernel(k_test_train, len(self.values), "k_test_train")
        start = self.targets.start_at(f0_test, len(cross))
        gains = self.gains(times)
        if gains.size // len(self.values) * start.shape[1] < len(self.values):
            with np.errstate(over="ignore", invalid="ignore"):  # which `_finite` reports
                learnt = cross @ self._of_modes(self.basis, gains)
        else:
            learnt = self._of_modes(cross @ self.basis, gains)
        return self.targets.restore(_finite(start + _times_first(learnt, gains.shape[:-1], start.shape)))

    def coefficients(self, times: Numbers) -> Float64[np.ndarray, "*times n o"]:
        """α(t), with which f(x, t) = f₀(x) + Θ(x, X) α(t): test points then cost one product, however many there are.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.

        Raises:
            InputError: a time is negative or NaN.
            NumericalError: the coefficients leave the range of float64.

        Example:
            >>> from ntkit.predict import gradient_flow
            >>> gradient_flow([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]).coefficients(float("inf"))[:, 0].tolist()
            [0.5, 0.25]
        """
        gains = self.gains(times)
        alpha = self._of_modes(self.basis, gains)
        return _finite(_times_first(alpha, gains.shape[:-1], self.targets.y.shape))

    def train_loss(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        """Squared loss on the training points, without the penalty: mean over examples of ½‖f(xᵢ) − yᵢ‖², weighted by w.

        Computed mode by mode, so that it keeps its relative accuracy where it is far below rounding of the outputs.

        Raises:
            InputError: a time is negative or NaN.
        """
        power = np.sum(self._modes**2, axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self.unlearnt(times) ** 2 @ power / (2 * len(power))
        return _finite(np.asarray(loss))

    def unlearnt(self, times: Numbers) -> Float64[np.ndarray, "*times n"]:
        """I − ΘΦ(t) in the eigenbasis: the part of each mode of the residual that is left at the training points.

        Raises:
            InputError: a time is negative or NaN.
            NumericalError: gradient descent has no limit.
        """
        checked = self._check(times)[..., None]
        with np.errstate(over="ignore"):
            left = self.decay.remaining(self.rates, checked)
        if self.ridge == 0:
            return left
        return (self.ridge + self.values * left) / (self.values + self.ridge)

    def gains(self, times: Numbers) -> Float64[np.ndarray, "*times n"]:
        """Φ(t) in the eigenbasis: (1 − E)/(λᵢ + ridge), without loss of digits where λᵢ + ridge is tiny.

        A mode whose eigenvalue cannot be told from zero, λ ≤ ν, moves a test output by at most rounding, about ν,
        times a gain that grows as ηt/n. It is left out from ηt/n = 1/√(ν λ₁) on, λ₁ being the largest eigenvalue:
        what rounding did by then is √(ν/λ₁) of the residual, and what such a mode can truly have done, being
        |Θ(x, X) vᵢ| ≤ √(λᵢ Θ(x, x)), is at most √(Θ(x, x)/λ₁) of its part of the residual. At t = ∞ this gives the
        interpolant of least norm.

        Raises:
            InputError: a time is negative or NaN.
            NumericalError: gradient descent has no limit.
        """
        checked = self._check(times)[..., None]
        scale = self.learning_rate / len(self.values)
        with np.errstate(over="ignore"):
            gains = scale * self.decay.learnt_per_rate(self.rates, checked)
        finite = np.where(np.isinf(checked), 0.0, checked)
        late = np.isinf(checked) | (
            scale * finite * np.sqrt(self.eigen.noise * max(self.values[0], 0.0)) >= 1
        )
        return np.where(late & (self.rates == 0), 0.0, gains)

    def _check(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        return self.decay.check(times, float(self.rates[0]))

    @property
    def basis(self) -> Float64[np.ndarray, "n n"]:
        """W^½ V: what a kernel of test points is multiplied by to see the modes."""
        return self.root[:, None] * self.eigen.vectors

    def _of_modes(
        self, basis: Float64[np.ndarray, "m n"], weights: Float64[np.ndarray, "*times n"]
    ) -> Float64[np.ndarray, "m columns"]:
        """Basis @ diag(weights) @ modes at each time, as one matrix product; columns are times and outputs."""
        with np.errstate(over="ignore", invalid="ignore"):  # which `_finite` reports
            columns = np.moveaxis(weights[..., None] * self._modes, -2, 0)
            return basis @ columns.reshape(len(columns), -1)

    @property
    def _modes(self) -> Float64[np.ndarray, "n o"]:
        return self.basis.T @ self.targets.residual


def training_curve(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    f0_train: ArrayLike | None,
    ridge: float,
    learning_rate: float,
    weights: ArrayLike | None,
    decay: Decay,
) -> TrainingCurve:
    """The curve of a rule of training, from checked data; `gradient_flow` and `gradient_descent` say the rest."""
    root, kernel = _weighted(k_train_train, weights)
    eigen = eigendecomposition(kernel)
    root = np.ones(len(eigen.values)) if root is None else root
    targets = training_targets(y, len(eigen.values), f0_train)
    ridge = non_negative(ridge, "ridge")
    if not non_negative(learning_rate, "learning_rate"):
        raise InputError("learning_rate is 0; expected a positive number.")
    values = eigen.non_negative_values()
    # A ridge gives every mode a rate of its own, and nothing divides by an eigenvalue that is rounding.
    values = values if ridge > 0 else np.where(eigen.null, 0.0, values)
    curve = TrainingCurve(eigen, targets, ridge, float(learning_rate), decay, values, root)
    if curve.rates[0] > decay.limit * (1 + ROUNDING):
        largest = learning_rate * decay.limit / curve.rates[0]
        raise InputError(
            f"learning_rate is {learning_rate:.6g}, with which gradient descent diverges; the largest stable one is "
            f"{largest:.6g}, see largest_learning_rate."
        )
    return curve


def _weighted(
    k_train_train: ArrayLike | Eigen, weights: ArrayLike | None
) -> tuple[Float64[np.ndarray, " n"] | None, ArrayLike | Eigen]:
    """The roots of the weights and W^½ Θ W^½; None and the kernel as it is, without weights."""
    if weights is None:
        return None, k_train_train
    if isinstance(k_train_train, Eigen):
        raise InputError(
            "weights change the eigenvectors of the kernel; pass the kernel instead of its decomposition."
        )
    kernel, array = symmetric_kernel(k_train_train, "the kernel"), finite_array(weights, "weights")
    if array.shape != (len(kernel),) or not (array > 0).all():
        raise InputError(
            f"weights has shape {array.shape} and least value {array.min(initial=np.inf):.3g}; expected ({len(kernel)},), a "
            "positive weight for each training point. Leave points of weight 0 out."
        )
    root = np.sqrt(array)
    dtype = np.asarray(k_train_train).dtype  # kept, so that its rounding is known
    return root, (root[:, None] * kernel * root).astype(dtype if dtype.kind == "f" else np.float64)


def _times_first(
    product: Float64[np.ndarray, "m columns"], times: tuple[int, ...], shape: tuple[int, ...]
) -> Float64[np.ndarray, "*times m o"]:
    """What `_of_modes` gives, with the times in front."""
    return np.moveaxis(product.reshape(len(product), *times, shape[1]), 0, -2)


def _finite(values: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    if not np.isfinite(values).all():
        raise NumericalError(
            "the outputs leave the range of float64: scale the targets and the initial outputs."
        )
    return values


def checked_times(times: Numbers, name: str) -> Float64[np.ndarray, "*times"]:
    """Times of at least 0, infinity included.

    Raises:
        InputError: one is negative, NaN or not a number.
    """
    given = np.asarray(times)
    array = finite_array(np.where(given == np.inf, 0, given), name)
    if (array < 0).any():
        raise InputError(f"{name} has a value of {array.min()}; expected at least 0.")
    return np.where(given == np.inf, np.inf, array)
