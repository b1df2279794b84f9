"""Gradient descent on the squared loss, step by step in closed form, and the largest step that converges."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.training_curve import Decay, TrainingCurve, checked_times, training_curve
from ntkit.solve.arrays import Numbers, non_negative
from ntkit.solve.eigen import Eigen, eigendecomposition


class Descent(Decay):
    """E = (1 − rate)ᵏ after k steps."""

    def check(self, times: Numbers, fastest: float) -> Float64[np.ndarray, "*times"]:
        steps = checked_times(times, "steps")
        if np.any(np.isfinite(steps) & (steps != np.round(steps))):
            raise InputError(
                f"steps has a value of {steps[steps != np.round(steps)].flat[0]}; expected whole numbers."
            )
        if fastest >= 2 and np.isinf(steps).any():
            raise NumericalError(
                f"gradient descent has no limit: its learning rate is {fastest / 2:.3g} times "
                "largest_learning_rate(k_train_train). Use a smaller one."
            )
        return steps

    def remaining(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        slow = rates < 0.5
        with np.errstate(invalid="ignore"):  # 0 · ∞, at rate 0: replaced below
            by_logarithm = np.exp(times * np.log1p(-np.where(slow, rates, 0.0)))
        by_power = np.power(1 - np.where(slow, 1.0, rates), times)
        return np.where(rates == 0, 1.0, np.where(slow, by_logarithm, by_power))

    def learnt_per_rate(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        slow = rates < 0.5
        with np.errstate(invalid="ignore"):
            by_logarithm = -np.expm1(times * np.log1p(-np.where(slow, rates, 0.0)))
        learnt = np.where(slow, by_logarithm, 1 - self.remaining(rates, times))
        return np.where(rates > 0, learnt / np.where(rates > 0, rates, 1.0), times)


def gradient_descent(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    learning_rate: float,
    f0_train: ArrayLike | None = None,
    ridge: float = 0.0,
) -> TrainingCurve:
    r"""The whole training of a network in the kernel regime, under full-batch gradient descent.

    As `gradient_flow`, with steps that are not small: after k steps of size η,

        f_k = y + (I − η Θ/n)ᵏ (f₀ − y),   f_k(x) = f₀(x) + Θ(x, X) Θ⁻¹ (I − (I − η Θ/n)ᵏ) (y − f₀(X)).

    Above the step of `largest_learning_rate` the iteration diverges, and the curve shows it do so.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        learning_rate: η > 0, the size of a step.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        ridge: penalty ridge/(2n) ‖θ − θ₀‖², absolute, at least 0.

    Returns:
        The curve, whose times are numbers of steps: whole numbers of at least 0, or `numpy.inf`.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative or the learning rate not positive.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> from ntkit.predict import gradient_descent
        >>> curve = gradient_descent([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0], learning_rate=0.5)
        >>> curve.train([0, 1, 2])
        array([[0.  , 0.  ],
               [0.5 , 1.  ],
               [0.75, 1.  ]])

    References:
        Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", 2019,
        section 2.2, for the continuous case; the steps themselves follow from f_{k+1} = f_k − (η/n) Θ (f_k − y).
    """
    return training_curve(k_train_train, y, f0_train, ridge, learning_rate, Descent())


def largest_learning_rate(k_train_train: ArrayLike | Eigen, *, ridge: float = 0.0) -> float:
    r"""The step size below which gradient descent converges: 2n/(λ_max + ridge).

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        ridge: penalty, absolute, at least 0.

    Raises:
        InputError: the kernel is not square, symmetric and finite, or is zero.

    Example:
        >>> from ntkit.predict import largest_learning_rate
        >>> round(largest_learning_rate([[2.0, 0.0], [0.0, 4.0]]), 12)
        1.0

    References:
        Lee et al., 2019, theorem 2.1, with the loss of this library, a mean over examples: their η, which has no
        1/n, is 2/(λ_min + λ_max).
    """
    eigen = eigendecomposition(k_train_train)
    largest = float(eigen.values[0]) + non_negative(ridge, "ridge")
    if largest <= 0:
        raise InputError(
            f"the largest eigenvalue of the kernel is {largest:.3g}: no step changes the outputs."
        )
    return 2 * len(eigen.values) / largest
