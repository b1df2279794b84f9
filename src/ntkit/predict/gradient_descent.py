"""Gradient descent on the squared loss, step by step in closed form, and the largest step that converges."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.momentum import Momentum, check_momentum
from ntkit.predict.training_curve import ROUNDING, Decay, TrainingCurve, checked_times, training_curve
from ntkit.solve.arrays import Numbers, non_negative
from ntkit.solve.eigen import Eigen, eigendecomposition


class Descent(Decay):
    """E = (1 − rate)ᵏ after k steps."""

    @property
    def limit(self) -> float:
        return 2.0

    def check(self, times: Numbers, fastest: float) -> Float64[np.ndarray, "*times"]:
        return checked_steps(times, fastest, self.limit)

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


class DescentWithMomentum(Decay):
    """E is the upper left entry of the k-th power of a matrix of order two."""

    def __init__(self, momentum: Momentum):
        self.momentum = momentum

    @property
    def limit(self) -> float:
        return self.momentum.limit

    def check(self, times: Numbers, fastest: float) -> Float64[np.ndarray, "*times"]:
        return checked_steps(times, fastest, self.limit)

    def remaining(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        return _at_ends(self.momentum.remaining, rates, times, np.where(rates > 0, 0.0, 1.0))

    def learnt_per_rate(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        end = np.where(rates > 0, 1 / np.where(rates > 0, rates, 1.0), np.inf)
        return _at_ends(self.momentum.learnt_per_rate, rates, times, end)


def _at_ends(
    at: Callable[..., Float64[np.ndarray, "..."]],
    rates: Float64[np.ndarray, " n"],
    times: Float64[np.ndarray, "*times 1"],
    end: Float64[np.ndarray, " n"],
) -> Float64[np.ndarray, "*times n"]:
    """The values at finite numbers of steps, and ``end`` at infinitely many."""
    last = ~(times < 2.0**62)
    return np.where(last, end, at(rates, np.where(last, 0.0, times)))


def checked_steps(steps: Numbers, fastest: float, limit: float) -> Float64[np.ndarray, "*times"]:
    """Numbers of steps, infinity included where there is a limit.

    Raises:
        InputError: one is negative, NaN or not whole.
        NumericalError: infinitely many steps have no limit.
    """
    checked = checked_times(steps, "steps")
    if np.any(np.isfinite(checked) & (checked != np.round(checked))):
        raise InputError(
            f"steps has a value of {checked[checked != np.round(checked)].flat[0]}; expected whole numbers."
        )
    if fastest >= limit * (1 - ROUNDING) and np.isinf(checked).any():
        raise NumericalError(
            "gradient descent has no limit: its learning rate is that of largest_learning_rate. Use a smaller one."
        )
    return checked


def gradient_descent(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    f0_train: ArrayLike | None = None,
    ridge: float = 0.0,
    weights: ArrayLike | None = None,
) -> TrainingCurve:
    r"""The whole training of a network in the kernel regime, under full-batch gradient descent.

    As `gradient_flow`, with steps that are not small: after k steps of size η,

        f_k = y + (I − η Θ/n)ᵏ (f₀ − y),   f_k(x) = f₀(x) + Θ(x, X) Θ⁻¹ (I − (I − η Θ/n)ᵏ) (y − f₀(X)).

    With momentum β the steps are v ← β v + ∇loss, θ ← θ − η v, or θ ← θ − η (∇loss + β v) in Nesterov's form, as those of
    `optax.sgd`; (1 − ηλ/n)ᵏ of each mode is then an entry of the k-th power of a matrix of order two. It is also the mean of
    stochastic gradient descent on random batches, see `stochastic_gradient_descent`.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        learning_rate: η > 0, the size of a step.
        momentum: β, at least 0 and below 1.
        nesterov: whether the gradient is that at the point to which momentum leads.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        ridge: penalty ridge/(2n) ‖θ − θ₀‖², absolute, at least 0.
        weights: (n,) positive factors on the losses of the examples; None stands for 1.

    Returns:
        The curve, whose times are numbers of steps: whole numbers of at least 0, or `numpy.inf`.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative, the momentum not in [0, 1), or the
            learning rate not positive or above that of `largest_learning_rate`.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> from ntkit.predict import gradient_descent
        >>> curve = gradient_descent([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0], learning_rate=0.5)
        >>> curve.train([0, 1, 2])
        array([[0.  , 0.  ],
               [0.5 , 1.  ],
               [0.75, 1.  ]])
        >>> gradient_descent([[4.0]], [1.0], learning_rate=0.25, momentum=0.5).train([0, 1, 2])[:, 0]
        array([0. , 1. , 1.5])

    References:
        Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", 2019,
        section 2.2, for the continuous case; the steps themselves follow from f_{k+1} = f_k − (η/n) Θ (f_k − y). Momentum:
        Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, eq. 9.
    """
    check_momentum(momentum)
    decay = DescentWithMomentum(Momentum(momentum, nesterov)) if momentum else Descent()
    return training_curve(k_train_train, y, f0_train, ridge, learning_rate, weights, decay)


def largest_learning_rate(
    k_train_train: ArrayLike | Eigen, *, ridge: float = 0.0, momentum: float = 0.0, nesterov: bool = False
) -> float:
    r"""The step size below which gradient descent converges.

    2n/(λ_max + ridge); with momentum β, 1 + β times that, and (1 + β)/(1 + 2β) times in Nesterov's form.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        ridge: penalty, absolute, at least 0.
        momentum: β, at least 0 and below 1.
        nesterov: whether the gradient is that at the point to which momentum leads.

    Raises:
        InputError: the kernel is not square, symmetric and finite, or is zero; the momentum is not in [0, 1).

    Example:
        >>> from ntkit.predict import largest_learning_rate
        >>> round(largest_learning_rate([[2.0, 0.0], [0.0, 4.0]]), 12)
        1.0
        >>> round(largest_learning_rate([[2.0, 0.0], [0.0, 4.0]], momentum=0.9), 12)
        1.9

    References:
        Lee et al., 2019, theorem 2.1, with the loss of this library, a mean over examples: their η, which has no
        1/n, is 2/(λ_min + λ_max). Polyak, 1964, theorem 9, with momentum.
    """
    eigen = eigendecomposition(k_train_train)
    largest = float(eigen.values[0]) + non_negative(ridge, "ridge")
    if largest <= 0:
        raise InputError(
            f"the largest eigenvalue of the kernel is {largest:.3g}: no step changes the outputs."
        )
    return Momentum(check_momentum(momentum), nesterov).limit * len(eigen.values) / largest
