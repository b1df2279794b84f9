"""Stochastic gradient descent on the squared loss: its mean in closed form, and runs."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.gradient_descent import gradient_descent
from ntkit.predict.targets import Targets
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import cross_kernel, symmetric_kernel


@dataclasses.dataclass(frozen=True, eq=False)
class StochasticRun:
    """One run.

    Attributes:
        steps: (records,) at which steps outputs were recorded.
        train: (records, n, o) or (records, n) outputs at the training points.
        coefficients: (records, n, o), α: f(x) = f₀(x) + Θ(x, X) α.
        targets: y and f₀(X).
    """

    steps: Int[np.ndarray, " records"]
    train: Float64[np.ndarray, "records ..."]
    coefficients: Float64[np.ndarray, "records n o"]
    targets: Targets

    def test(self, k_test_train: ArrayLike, f0_test: ArrayLike | None = None) -> Float64[np.ndarray, "..."]:
        """Outputs at test points, at each recorded step.

        Args:
            k_test_train: (m, n) tangent kernel of the test points with the training points.
            f0_test: initial outputs there, (m,) or (m, o) like y; needed if and only if `f0_train` was given.

        Raises:
            InputError: a shape is wrong, or f₀ is known in one place only.
        """
        cross = cross_kernel(k_test_train, self.coefficients.shape[1], "k_test_train")
        return self.targets.restore(self.targets.start_at(f0_test, len(cross)) + cross @ self.coefficients)


@dataclasses.dataclass(frozen=True, eq=False)
class StochasticDescent:
    """Stochastic gradient descent with one kernel, targets, step and size of batch.

    Attributes:
        mean: the mean over all draws of batches, exactly: the curve of full-batch descent.
        kernel: (n, n) tangent kernel of the training points.
        batch_size: examples of a step.
    """

    mean: TrainingCurve
    kernel: Float64[np.ndarray, "n n"]
    batch_size: int

    def run(self, steps: int | Sequence[int], *, seed: int = 0) -> StochasticRun:
        """One run, its batches drawn without replacement, each independently of the others.

        Args:
            steps: how many, or at which steps outputs are recorded, in rising order.
            seed: of the draws.

        Raises:
            InputError: the steps are negative or do not rise.
            NumericalError: the run diverged.
        """
        recorded = np.atleast_1d(np.asarray(steps))
        if (
            recorded.ndim != 1
            or recorded.dtype.kind not in "iu"
            or (recorded < 0).any()
            or (np.diff(recorded) <= 0).any()
        ):
            raise InputError(f"steps is {steps}; expected whole numbers of at least 0 in rising order.")
        draw, targets = np.random.default_rng(seed), self.mean.targets
        n, rate = len(self.kernel), self.mean.learning_rate / self.batch_size
        weights = np.square(self.mean.root)[:, None]
        alpha, outputs = np.zeros_like(targets.y), targets.start.copy()
        found: list[np.ndarray] = []
        with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverges, which is said below
            for step in range(int(recorded[-1]) + 1):
                if step in recorded:
                    found.append(alpha.copy())
                batch = draw.choice(n, self.batch_size, replace=False)
                change = -rate * weights[batch] * (outputs[batch] - targets.y[batch])
                alpha[batch] += change
                outputs += self.kernel[:, batch] @ change
        coefficients = np.stack(found)
        if not np.isfinite(coefficients).all():
            raise NumericalError(
                f"the run diverged: batches of {self.batch_size} need a smaller step than the mean does; the largest of the "
                f"mean is {self.mean.learning_rate * self.mean.decay.limit / self.mean.rates[0]:.3g}."
            )
        train = targets.restore(targets.start + self.kernel @ coefficients)
        return StochasticRun(recorded, train, coefficients, targets)


def stochastic_gradient_descent(
    k_train_train: ArrayLike,
    y: ArrayLike,
    *,
    learning_rate: float,
    batch_size: int,
    f0_train: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> StochasticDescent:
    r"""Training on random batches.

    A step is θ ← θ − η Jᵀ_B (f_B − y_B)/b for a batch B of b examples. Given θ its mean over B is the step of the full
    batch, and steps are affine in θ: so the mean over all batches of the outputs at step k is exactly that of
    `gradient_descent`, whatever b. Single runs scatter about it.

    Args:
        k_train_train: (n, n) tangent kernel of the training points.
        y: (n,) or (n, o) targets.
        learning_rate: η > 0.
        batch_size: b, from 1 to n.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        weights: (n,) positive factors on the losses of the examples; None stands for 1.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the learning rate or the size of a batch out of range.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import stochastic_gradient_descent
        >>> descent = stochastic_gradient_descent(np.eye(4), np.ones(4), learning_rate=1.0, batch_size=2)
        >>> descent.mean.train(1), descent.run(1).train.mean()
        (array([0.25, 0.25, 0.25, 0.25]), np.float64(0.25))
    """
    kernel = symmetric_kernel(k_train_train, "the kernel")
    if not (isinstance(batch_size, int) and 1 <= batch_size <= len(kernel)):
        raise InputError(f"batch_size is {batch_size}; expected a whole number from 1 to {len(kernel)}.")
    mean = gradient_descent(k_train_train, y, learning_rate=learning_rate, f0_train=f0_train, weights=weights)
    return StochasticDescent(mean, kernel, batch_size)
