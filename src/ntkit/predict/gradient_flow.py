"""Gradient flow on the squared loss: training with steps so small that time is continuous."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.predict.training_curve import Decay, TrainingCurve, checked_times, training_curve
from ntkit.solve.arrays import Numbers
from ntkit.solve.eigen import Eigen


class Flow(Decay):
    """E = exp(−rate · t)."""

    @property
    def limit(self) -> float:
        return np.inf

    def check(self, times: Numbers, fastest: float) -> Float64[np.ndarray, "*times"]:
        return checked_times(times, "times")

    def remaining(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        return np.exp(-_product(rates, times))

    def learnt_per_rate(
        self, rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        learnt = -np.expm1(-_product(rates, times))
        return np.where(rates > 0, learnt / np.where(rates > 0, rates, 1.0), times)


def gradient_flow(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    f0_train: ArrayLike | None = None,
    ridge: float = 0.0,
    learning_rate: float = 1.0,
    weights: ArrayLike | None = None,
) -> TrainingCurve:
    r"""The whole training of a network in the kernel regime, under gradient flow.

    The loss is the mean over examples of ½‖f(xᵢ) − yᵢ‖². With Θ the tangent kernel of the n training points,

        df/dt = −(η/n) Θ (f − y),   f(t) = y + E (f₀ − y),   E = exp(−η t Θ/n),
        f(x, t) = f₀(x) + Θ(x, X) Θ⁻¹ (I − E) (y − f₀(X)).

    At time t this is gradient descent after t steps of size η, for small η. With a ridge the loss has the penalty
    ridge/(2n) ‖θ − θ₀‖² besides. The flow of the weights is then dθ/dt = −(η/n) [Jᵀ(f − y) + ridge (θ − θ₀)], whence,
    with Θ = J Jᵀ, E = exp(−η t (Θ + ridge)/n) and (Θ + ridge·I)⁻¹ in place of Θ⁻¹ above; at t = ∞ it is
    `kernel_regression`. For a penalty on ‖θ‖², weight decay towards zero, see `weight_decay_flow`.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        ridge: penalty, absolute, at least 0.
        learning_rate: η > 0.
        weights: (n,) positive factors on the losses of the examples; None stands for 1.

    Returns:
        The curve: `train(times)`, `test(times, k_test_train, f0_test)`, `train_loss(times)`.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative or the learning rate not positive.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import gradient_flow
        >>> curve = gradient_flow([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
        >>> np.round(curve.train([0.0, 1.0, np.inf]), 4)
        array([[0.    , 0.    ],
               [0.6321, 0.8647],
               [1.    , 1.    ]])
        >>> np.round(curve.test(1.0, [[1.0, 1.0]]), 4)
        array([0.5322])

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, section 5; Lee et al., "Wide neural networks of any
        depth evolve as linear models under gradient descent", 2019, eqs. 8–12, where η stands for our η/n.
    """
    return training_curve(k_train_train, y, f0_train, ridge, learning_rate, weights, Flow())


def _product(
    rates: Float64[np.ndarray, " n"], times: Float64[np.ndarray, "*times 1"]
) -> Float64[np.ndarray, "*times n"]:
    """Rates · times, a rate of zero standing still for ever."""
    still = rates == 0
    return np.where(still, 0.0, np.where(still, 1.0, rates) * times)
