"""Posterior of a Gaussian process: the infinitely wide Bayesian network."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.gaussian import Gaussian, not_negative
from ntkit.predict.ridge import KernelRegression, kernel_regression
from ntkit.solve.arrays import Numbers, Ridge, cross_kernel, finite_array, symmetric_kernel
from ntkit.solve.eigen import Eigen


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior given the training points; outputs are independent and share one covariance.

    Variances are those of the function itself; add the noise for those of a new observation.

    Attributes:
        regression: the regression that gives the mean, with the factorisation of K + noise·I.
        noise: variance of the observation noise, one number or (n,), jitter not included (`regression.factor.jitter`).
        log_marginal_likelihood: log p(y | X), summed over outputs.
    """

    regression: KernelRegression
    noise: Ridge
    log_marginal_likelihood: float

    def mean(self, k_test_train: ArrayLike) -> Float64[np.ndarray, "..."]:
        """K(x, X) (K + noise·I)⁻¹ y at test points, (m,) or (m, o) like y.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.

        Raises:
            InputError: the shape is wrong, or a value is not finite.
        """
        return self.regression.predict(k_test_train)

    def variance(self, k_test_train: ArrayLike, k_test_diag: ArrayLike) -> Float64[np.ndarray, " m"]:
        """The diagonal of the posterior covariance, without the rest of it.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_diag: (m,) prior variances k(x, x) of the test points.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.
        """
        cross = self._cross(k_test_train)
        prior = finite_array(k_test_diag, "k_test_diag")
        if prior.shape != (len(cross),):
            raise InputError(
                f"k_test_diag has shape {prior.shape}; expected ({len(cross)},), a prior variance for each test point."
            )
        half = self.regression.factor.half_solve(cross.T)
        return not_negative(prior - np.einsum("nm,nm->m", half, half), prior)

    def covariance(self, k_test_train: ArrayLike, k_test_test: ArrayLike) -> Float64[np.ndarray, "m m"]:
        """The posterior covariance of the test points.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_test: (m, m) kernel of the test points.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.
        """
        cross = self._cross(k_test_train)
        prior = symmetric_kernel(k_test_test, "k_test_test")
        if len(prior) != len(cross):
            raise InputError(f"k_test_test has shape {prior.shape}; expected ({len(cross)}, {len(cross)}).")
        half = self.regression.factor.half_solve(cross.T)
        covariance = prior - half.T @ half
        covariance[np.diag_indices_from(covariance)] = not_negative(np.diag(covariance), np.diag(prior))
        return covariance

    def test(self, k_test_train: ArrayLike, k_test_test: ArrayLike) -> Gaussian:
        """The posterior of the test points together, from which functions can be drawn.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_test: (m, m) kernel of the test points.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.

        Example:
            >>> from ntkit.predict import posterior
            >>> posterior([[1.0]], [2.0]).test([[0.6]], [[1.0]]).sample(5).shape
            (5, 1)
        """
        return Gaussian(self.mean(k_test_train), self.covariance(k_test_train, k_test_test))

    def refit(self, y: ArrayLike) -> "Posterior":
        """The posterior given other observations at the same points, by the factorisation at hand: O(n²).

        Args:
            y: (n,) or (n, o) observations.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: the kernel is too ill-conditioned for these observations.
        """
        return _posterior(self.regression.refit(y))

    def _cross(self, k_test_train: ArrayLike) -> Float64[np.ndarray, "m n"]:
        return cross_kernel(k_test_train, len(self.regression.coefficients), "k_test_train")


def posterior(
    k_train_train: ArrayLike | Eigen, y: ArrayLike, *, noise: Numbers = 0.0, max_relative_jitter: float = 0.0
) -> Posterior:
    r"""The posterior of a Gaussian process with mean zero and covariance k.

    With k the NNGP, this is the infinitely wide network with Gaussian weights, conditioned on the data. With k the NTK it is
    the process of which the mean is the trained network's and the variance is not (He, Lakshminarayanan and Teh 2020); that
    of trained networks is `ensemble`. The noise is the ridge of `kernel_regression`.

    mean = K(x, X) (K + noise·I)⁻¹ y,  covariance = K(x, x) − K(x, X) (K + noise·I)⁻¹ K(X, x),
    log p(y | X) = −½ yᵀ (K + noise·I)⁻¹ y − ½ log det(K + noise·I) − (n/2) log 2π.

    Args:
        k_train_train: (n, n) prior covariance of the training points, or its `Eigen`.
        y: (n,) or (n, o) observations.
        noise: variance of the noise in y, at least 0: one number, or (n,) for one of each observation.
        max_relative_jitter: what may be added to the diagonal of a singular kernel, in units of its mean; see
            `ntkit.solve.cholesky`.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the noise is negative.
        NumericalError: the kernel with its noise is singular to working precision.

    Example:
        One observation, of a function with prior variance 1, seen at a point with correlation 0.6:

        >>> import numpy as np
        >>> from ntkit.predict import posterior
        >>> gp = posterior([[1.0]], [2.0])
        >>> np.round(gp.mean([[0.6]]), 12), np.round(gp.variance([[0.6]], [1.0]), 12)
        (array([1.2]), array([0.64]))

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eqs. 2.23–2.26 and 2.30, algorithm
        2.1; Lee et al., "Deep neural networks as Gaussian processes", 2018, eqs. 8 and 9.
    """
    return _posterior(
        kernel_regression(k_train_train, y, ridge=noise, max_relative_jitter=max_relative_jitter)
    )


def _posterior(regression: KernelRegression) -> Posterior:
    n, outputs = regression.targets.y.shape
    fit = float(np.sum(regression.targets.y * regression.coefficients))
    evidence = -fit / 2 - outputs * (regression.factor.log_determinant() + n * np.log(2 * np.pi)) / 2
    return Posterior(regression, regression.factor.ridge, float(evidence))
