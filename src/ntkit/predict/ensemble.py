"""The ensemble of all initialisations: distribution of the outputs of infinitely wide networks during training."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.gaussian import Gaussian, not_negative
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import Numbers, cross_kernel, finite_array, symmetric_kernel


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
        root = self.curve.root
        left = (
            self.curve.eigen.vectors * self.curve.unlearnt(times)[..., None, :]
        ) @ self.curve.eigen.vectors.T
        left = left / root[:, None] * root
        return Gaussian(self.curve.train(times), left @ self.nngp @ np.swapaxes(left, -1, -2))

    def train_variance(self, times: Numbers) -> Float64[np.ndarray, "*times n"]:
        """The diagonal of the covariance at the training points, one time after another.

        Args:
            times: any shape, each at least 0; `numpy.inf` is allowed.

        Raises:
            InputError: a time is negative or NaN.
        """
        basis, modes = self.curve.eigen.vectors / self.curve.root[:, None], self._modes()
        unlearnt = self.curve.unlearnt(times)
        found = [
            np.einsum("mi,mi->m", (basis * u) @ modes, basis * u)
            for u in unlearnt.reshape(-1, basis.shape[1])
        ]
        return np.maximum(np.reshape(found, (*unlearnt.shape[:-1], len(basis))), 0.0)

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
        projected = cross_kernel(ntk_test_train, len(self.nngp), "ntk_test_train") @ self.curve.basis
        cross = cross_kernel(nngp_test_train, len(self.nngp), "nngp_test_train")
        prior = finite_array(nngp_test_diag, "nngp_test_diag")
        _expect_rows(projected, cross, prior)
        mixed, modes = cross @ self.curve.basis, self._modes()
        gains = self.curve.gains(times)
        found = []
        for gain in gains.reshape(-1, gains.shape[-1]):
            weights = projected * gain
            found.append(prior + np.einsum("mi,mi->m", weights, weights @ modes - 2 * mixed))
        return not_negative(np.reshape(found, (*gains.shape[:-1], len(prior))), prior)

    def _modes(self) -> Float64[np.ndarray, "n n"]:
        """The covariance of the modes of the initial outputs."""
        return self.curve.basis.T @ self.nngp @ self.curve.basis

    def _weights(self, times: Numbers, ntk_test_train: ArrayLike) -> Float64[np.ndarray, "*times m n"]:
        """Θ(x, X) Φ(t): what a residual at each training point adds to each test point."""
        modes = cross_kernel(ntk_test_train, len(self.nngp), "ntk_test_train") @ self.curve.basis
        return (modes * self.curve.gains(times)[..., None, :]) @ self.curve.basis.T


def ensemble(curve: TrainingCurve, nngp_train_train: ArrayLike) -> Ensemble:
    r"""Training from every initialisation at once.

    An infinitely wide network starts from a draw f₀ ~ GP(0, κ), κ the NNGP, and its training is affine in f₀: outputs
    stay Gaussian. With W(t) = Θ(x, X) Φ(t), and for gradient flow Φ(t) = (Θ + ridge)⁻¹ (I − exp(−η t (Θ + ridge)/n)),

        mean = W y,   covariance = κ(x, x) + W κ(X, X) Wᵀ − W κ(X, x) − κ(x, X) Wᵀ.

    For a network of which the last layer alone is trained the NNGP is the tangent kernel too; at t = ∞ without ridge
    this is `posterior` without noise.

    Args:
        curve: `gradient_flow` or `gradient_descent` of the tangent kernel, from an initial output of zero.
        nngp_train_train: (n, n) NNGP κ of the training points.

    Returns:
        The ensemble: `train(times)`, `test(times, …)`, `train_variance(times)`, `test_variance(times, …)`.

    Raises:
        InputError: the shape is wrong, a value is not finite, or the curve has an initial output of its own.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import ensemble, gradient_flow
        >>> mean, covariance = ensemble(gradient_flow([[2.0]], [3.0]), [[1.0]]).train([0.0, np.inf])
        >>> mean.tolist(), covariance.tolist()
        ([[0.0], [3.0]], [[[1.0]], [[0.0]]])

    References:
        Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", 2019, eqs. 14 and 15
        (Gaussian processes from gradient descent training).
    """
    nngp = symmetric_kernel(nngp_train_train, "nngp_train_train")
    n = len(curve.values)
    if len(nngp) != n:
        raise InputError(
            f"nngp_train_train has shape {nngp.shape}; expected ({n}, {n}), like the tangent kernel."
        )
    if curve.targets.given:
        raise InputError(
            "the curve has an f0_train, the outputs of one network; an ensemble starts from all draws of them: leave it out."
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
