r"""Weight decay: training with a penalty on the weights themselves, which pulls them to zero and not to their start.

The linearised network is f(x) = c(x) + J(x) θ with c = f₀ − J θ₀. Under the penalty ridge/(2n) ‖θ‖² the part of θ₀
that no gradient reaches decays by itself, as exp(−η t ridge/n) =: D, and

    f(t) = [the flow with the penalty on ‖θ − θ₀‖², begun at c] + D · [the flow without penalty towards 0, begun at J θ₀].

So a curve is made of two that `gradient_flow` has. Steps are alike, with D = (1 − η ridge/n)ᵏ and η/(1 − η ridge/n) as the
second one′s step.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.gradient_descent import Descent
from ntkit.predict.gradient_flow import Flow
from ntkit.predict.training_curve import Decay, TrainingCurve, training_curve
from ntkit.solve.arrays import Numbers, finite_array, non_negative
from ntkit.solve.eigen import Eigen, eigendecomposition


@dataclasses.dataclass(frozen=True, eq=False)
class DecayingCurve:
    """Outputs and loss of a network in the kernel regime under weight decay, at any time of its training.

    Attributes:
        pulled: the curve begun at c = f₀ − J θ₀.
        forgotten: the curve from J θ₀ to zero.
        decay_rate: η ridge/n, at which the weights decay by themselves.
    """

    pulled: TrainingCurve
    forgotten: TrainingCurve
    decay_rate: float

    def train(self, times: Numbers) -> Float64[np.ndarray, "..."]:
        """Outputs at the training points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.

        Returns:
            The shape of `times` followed by that of y.

        Raises:
            InputError: a time is negative or NaN, or no whole number of steps.
        """
        pulled = self.pulled.train(times)
        return pulled + self._left(times, pulled.ndim) * self.forgotten.train(times)

    def test(
        self,
        times: Numbers,
        k_test_train: ArrayLike,
        f0_test: ArrayLike | None = None,
        tangent_test: ArrayLike | None = None,
    ) -> Float64[np.ndarray, "..."]:
        """Outputs at test points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.
            k_test_train: (m, n) tangent kernel of the test points with the training points.
            f0_test: initial outputs there, (m,) or (m, o) like y; None for zero.
            tangent_test: J θ₀ there; None for `f0_test`.

        Returns:
            The shape of `times` followed by (m,) or (m, o).

        Raises:
            InputError: a shape is wrong, a time is negative or NaN, or no whole number of steps.
        """
        flat = self.pulled.targets.flat
        rows = (len(np.asarray(k_test_train)), *self.pulled.targets.y.shape[1:])[: 1 if flat else 2]
        start, tangent = _starts(f0_test, tangent_test, rows, "_test")
        pulled = self.pulled.test(times, k_test_train, start - tangent)
        return pulled + self._left(times, pulled.ndim) * self.forgotten.test(times, k_test_train, tangent)

    def train_loss(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        """Squared loss on the training points, without the penalty: mean over examples of ½‖f(xᵢ) − yᵢ‖².

        Raises:
            InputError: a time is negative or NaN, or no whole number of steps.
        """
        targets, times = self.pulled.targets, np.asarray(times)
        outputs = self.train(times).reshape(*times.shape, *targets.y.shape)
        weighted = self.pulled.root[:, None] * (outputs - targets.y)
        return np.asarray(np.sum(weighted**2, axis=(-2, -1)) / (2 * len(targets.y)))

    def _left(self, times: Numbers, axes: int) -> Float64[np.ndarray, "..."]:
        rate = np.array([self.decay_rate])
        left = self.pulled.decay.remaining(rate, np.asarray(times, np.float64)[..., None])[..., 0]
        return left.reshape(left.shape + (1,) * (axes - left.ndim))


def weight_decay_flow(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    ridge: float,
    learning_rate: float = 1.0,
    f0_train: ArrayLike | None = None,
    tangent_train: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> DecayingCurve:
    r"""Gradient flow on the squared loss with the penalty ridge/(2n) ‖θ‖².

    In function space, with u = J θ, f = f₀ − u₀ + u and Θ = J Jᵀ: du/dt = −(η/n) [Θ (f − y) + ridge u]. For a model
    that is linear in its weights u₀ is f₀, for a network whose output is homogeneous in its weights of degree L it is
    L f₀; in general it is `jax.jvp(lambda p: f(p, x), (params,), (params,))[1]`. With u₀ = 0 this is `gradient_flow`.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        ridge: absolute, at least 0.
        learning_rate: η > 0.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        tangent_train: u₀ = J θ₀ at the training points; None for `f0_train`.
        weights: (n,) positive factors on the losses of the examples; None stands for 1.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative or the learning rate not positive.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import weight_decay_flow
        >>> curve = weight_decay_flow([[2.0]], [3.0], ridge=1.0, f0_train=[6.0])
        >>> np.round(curve.train([0.0, np.inf])[:, 0], 12)
        array([6., 2.])

    References:
        The derivation stands at the head of this module's source; the linearised network is that of Lee et al., "Wide neural
        networks of any depth evolve as linear models under gradient descent", 2019, eq. 5.
    """
    return _curve(
        k_train_train, y, ridge, (learning_rate, learning_rate), f0_train, tangent_train, weights, Flow()
    )


def weight_decay_descent(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    ridge: float,
    learning_rate: float,
    f0_train: ArrayLike | None = None,
    tangent_train: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> DecayingCurve:
    r"""Gradient descent on the squared loss with the penalty ridge/(2n) ‖θ‖², as `weight_decay_flow`.

    This is `optax.chain(optax.add_decayed_weights(ridge / n), optax.sgd(learning_rate))` on the linearised network.

    Args:
        k_train_train: (n, n) tangent kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.
        ridge: absolute, at least 0.
        learning_rate: η > 0, the size of a step.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        tangent_train: J θ₀ at the training points; None for `f0_train`.
        weights: (n,) positive factors on the losses of the examples; None stands for 1.

    Returns:
        The curve, whose times are numbers of steps: whole numbers of at least 0, or `numpy.inf`.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative, or the learning rate not positive or above that
            of `largest_learning_rate`.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> from ntkit.predict import weight_decay_descent
        >>> weight_decay_descent([[2.0]], [3.0], ridge=1.0, learning_rate=0.1, f0_train=[6.0]).train([0, 1])[
        ...     :, 0
        ... ]
        array([6. , 4.8])
    """
    n = (
        len(eigendecomposition(k_train_train).values)
        if isinstance(k_train_train, Eigen)
        else len(np.asarray(y))
    )
    shrunk = 1 - learning_rate * non_negative(ridge, "ridge") / n
    if shrunk <= 0:
        raise InputError(
            f"learning_rate times ridge is {learning_rate * ridge:.3g}: a step would take all of the weights; expected less "
            f"than the number of training points, {n}."
        )
    rates = (learning_rate, learning_rate / shrunk)
    return _curve(k_train_train, y, ridge, rates, f0_train, tangent_train, weights, Descent())


def _curve(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    ridge: float,
    rates: tuple[float, float],
    f0_train: ArrayLike | None,
    tangent_train: ArrayLike | None,
    weights: ArrayLike | None,
    decay: Decay,
) -> DecayingCurve:
    start, tangent = _starts(f0_train, tangent_train, np.shape(y), "_train")
    pulled = training_curve(k_train_train, y, start - tangent, ridge, rates[0], weights, decay)
    kernel = k_train_train if weights is not None else pulled.eigen
    forgotten = training_curve(kernel, np.zeros(np.shape(y)), tangent, 0.0, rates[1], weights, decay)
    return DecayingCurve(pulled, forgotten, rates[0] * pulled.ridge / len(pulled.values))


def _starts(
    outputs: ArrayLike | None, tangent: ArrayLike | None, shape: tuple[int, ...], of: str
) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
    """f₀ and J θ₀, both given."""
    start = np.zeros(shape) if outputs is None else finite_array(outputs, "f0" + of)
    moving = start if tangent is None else finite_array(tangent, "tangent" + of)
    if moving.shape != start.shape:
        raise InputError(f"tangent{of} has shape {moving.shape}; expected {start.shape}, like f0{of}.")
    return start, moving
