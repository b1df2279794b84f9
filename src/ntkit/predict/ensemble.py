"""The ensemble of all initialisations: distribution of the outputs of infinitely wide networks during training."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.gradient_flow import gradient_flow
from ntkit.predict.posterior import NEGATIVE
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import Numbers, cross_kernel, finite_array, symmetric_kernel
from ntkit.solve.eigen import Eigen


class Gaussian(NamedTuple):
    """Mean of each output and the covariance of points, the same for every output; outputs are independent."""

    mean: Float64[np.ndarray, "..."]
    covariance: Float64[np.ndarray, "*times m m"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Outputs over random initialisations, at any time of training.

    Covariances of many times at once need room for as many matrices; `test_variance` needs m · n numbers a time.

    Attributes:
        curve: training from an initial output of zero, which is the mean of the ensemble.
        nngp: (n, n) covariance of the initial outputs at the training points.
    """

    curve: TrainingCurve
    nngp: Float64[np.ndarray, "n n"]

    def train(self, times: Numbers) -> Gaussian:
        """Outputs at the training points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.

        Raises:
            InputError: a time is negative or NaN.
        """
        vectors = self.curve.eigen.vectors
        left = (vectors * self.curve.unlearnt(times)[..., None, :]) @ vectors.T
        return Gaussian(self.curve.train(times), left @ self.nngp @ np.swapaxes(left, -1, -2))

    def test(
        self,
        times: Numbers,
        ntk_test_train: ArrayLike,
        nngp_test_train: ArrayLike,
        nngp_test_test: ArrayLike,
    ) -> Gaussian:
        """Outputs at test points.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.
            ntk_test_train: (m, n) tangent kernel of the test points with the training points.
            nngp_test_train: (m, n) NNGP of the same.
            nngp_test_test: (m, m) NNGP of the test points.

        Raises:
            InputError: a shape is wrong, or a time is negative or NaN.
        """
        weights = self._weights(times, ntk_test_train)
        cross = cross_kernel(nngp_test_train, len(self.nngp), "nngp_test_train")
        prior = symmetric_kernel(nngp_test_test, "nngp_test_test")
        _expect_rows(weights, cross, prior)
        mixed = weights @ cross.T
        covariance = (
            prior + weights @ self.nngp @ np.swapaxes(weights, -1, -2) - mixed - np.swapaxes(mixed, -1, -2)
        )
        return Gaussian(self.curve.test(times, ntk_test_train), covariance)

    def test_variance(
        self,
        times: Numbers,
        ntk_test_train: ArrayLike,
        nngp_test_train: ArrayLike,
        nngp_test_diag: ArrayLike,
    ) -> Float64[np.ndarray, "*times m"]:
        """The diagonal of the covariance at test points, without the rest of it.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.
            ntk_test_train: (m, n) tangent kernel of the test points with the training points.
            nngp_test_train: (m, n) NNGP of the same.
            nngp_test_diag: (m,) NNGP of each test point with itself.

        Raises:
            InputError: a shape is wrong, or a time is negative or NaN.
            NumericalError: a variance is negative beyond rounding.
        """
        weights = self._weights(times, ntk_test_train)
        cross = cross_kernel(nngp_test_train, len(self.nngp), "nngp_test_train")
        prior = finite_array(nngp_test_diag, "nngp_test_diag")
        _expect_rows(weights, cross, prior)
        variance = prior + np.sum(weights * (weights @ self.nngp - 2 * cross), axis=-1)
        if (variance < -NEGATIVE * np.max(np.abs(prior))).any():
            raise NumericalError(
                f"the variance of a test point is {variance.min():.3g}: the kernels of training and test points are not "
                "those of one network, or too imprecise; compute them in float64."
            )
        return np.maximum(variance, 0.0)

    def _weights(self, times: Numbers, ntk_test_train: ArrayLike) -> Float64[np.ndarray, "*times m n"]:
        """Θ(x, X) Φ(t): what a residual at each training point adds to each test point."""
        vectors = self.curve.eigen.vectors
        modes = cross_kernel(ntk_test_train, len(self.nngp), "ntk_test_train") @ vectors
        return (modes * self.curve.gains(times)[..., None, :]) @ vectors.T


def flow_ensemble(
    ntk_train_train: ArrayLike | Eigen,
    nngp_train_train: ArrayLike,
    y: ArrayLike,
    *,
    ridge: float = 0.0,
    learning_rate: float = 1.0,
) -> Ensemble:
    r"""Gradient flow from every initialisation at once.

    An infinitely wide network starts from a draw f₀ ~ GP(0, κ), κ the NNGP, and `gradient_flow` is affine in f₀: its
    outputs stay Gaussian. With W(t) = Θ(x, X) Φ(t), Φ(t) = (Θ + ridge)⁻¹ (I − exp(−η t (Θ + ridge)/n)),

        mean = W y,   covariance = κ(x, x) + W κ(X, X) Wᵀ − W κ(X, x) − κ(x, X) Wᵀ.

    For a network of which the last layer alone is trained, pass the NNGP as tangent kernel too; at t = ∞ without
    ridge this is `posterior` without noise.

    Args:
        ntk_train_train: (n, n) tangent kernel Θ of the training points, or its `Eigen`.
        nngp_train_train: (n, n) NNGP κ of the same.
        y: (n,) or (n, o) targets.
        ridge: penalty ridge/(2n) ‖θ − θ₀‖² during training, absolute, at least 0.
        learning_rate: η > 0.

    Returns:
        The ensemble: `train(times)`, `test(times, …)`, `test_variance(times, …)`.

    Raises:
        InputError: a shape is wrong, a value is not finite, the ridge negative or the learning rate not positive.
        NumericalError: the tangent kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import flow_ensemble
        >>> ensemble = flow_ensemble([[2.0]], [[1.0]], [3.0])
        >>> mean, covariance = ensemble.train([0.0, np.inf])
        >>> mean.tolist(), covariance.tolist()
        ([[0.0], [3.0]], [[[1.0]], [[0.0]]])

    References:
        Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", 2019, section
        2.3 (Gaussian processes from gradient descent training).
    """
    curve = gradient_flow(ntk_train_train, y, ridge=ridge, learning_rate=learning_rate)
    nngp = symmetric_kernel(nngp_train_train, "nngp_train_train")
    if len(nngp) != len(curve.values):
        n = len(curve.values)
        raise InputError(
            f"nngp_train_train has shape {nngp.shape}; expected ({n}, {n}), like the tangent kernel."
        )
    return Ensemble(curve, nngp)


def _expect_rows(
    weights: Float64[np.ndarray, "..."], cross: Float64[np.ndarray, "..."], prior: Float64[np.ndarray, "..."]
) -> None:
    rows = weights.shape[-2]
    if len(cross) != rows or prior.shape != (rows,) * prior.ndim or prior.ndim == 0:
        raise InputError(
            f"ntk_test_train has {rows} test points, nngp_test_train {len(cross)}, and the NNGP of the test points "
            f"shape {prior.shape}; expected the same test points in all three."
        )
