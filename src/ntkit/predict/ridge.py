"""Kernel regression and kernel ridge regression: the prediction of a wide network trained to convergence."""

import dataclasses
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.targets import Targets, training_targets
from ntkit.solve.arrays import Numbers, cross_kernel
from ntkit.solve.cholesky import Cholesky, cholesky
from ntkit.solve.eigen import Eigen
from ntkit.solve.shifted import Shifted, shifted

Factor: TypeAlias = Cholesky | Shifted

# A solution that misses its right-hand side by more than this part of it means nothing.
RESIDUAL = 1e-3
ACCURATE = 1e-12  # the reciprocal condition number at which rounding misses at most about 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class KernelRegression:
    """A fitted regression: f(x) = f₀(x) + K(x, X) α.

    Attributes:
        coefficients: α = (K + ridge·I)⁻¹ (y − f₀(X)), (n, o).
        targets: y and f₀(X).
        factor: the factorisation used, a `Cholesky` or a `Shifted`; it says whether jitter was added.
    """

    coefficients: Float64[np.ndarray, "n o"]
    targets: Targets
    factor: Factor

    def predict(
        self, k_test_train: ArrayLike, f0_test: ArrayLike | None = None
    ) -> Float64[np.ndarray, "..."]:
        """Predictions at test points.

        The predictions at the training points themselves are those with the kernel of the training points here.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            f0_test: initial outputs there, (m,) or (m, o) like y; needed if and only if `f0_train` was given.

        Returns:
            (m,) or (m, o), like y.

        Raises:
            InputError: a shape is wrong, or f₀ is known in one place only.
        """
        cross = cross_kernel(k_test_train, len(self.coefficients), "k_test_train")
        start = self.targets.start_at(f0_test, len(cross))
        return self.targets.restore(start + cross @ self.coefficients)

    def refit(self, y: ArrayLike, f0_train: ArrayLike | None = None) -> "KernelRegression":
        """The regression of other targets on the same points, by the factorisation at hand: O(n²).

        Args:
            y: (n,) or (n, o) targets.
            f0_train: initial outputs at the training points, of the shape of y; None stands for zero.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: the kernel is too ill-conditioned for these targets.

        Example:
            >>> from ntkit.predict import kernel_regression
            >>> fit = kernel_regression([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
            >>> fit.refit([4.0, 4.0]).coefficients[:, 0].round(12).tolist()
            [2.0, 1.0]
        """
        targets = training_targets(y, len(self.coefficients), f0_train)
        coefficients, missed = _solve(self.factor, targets)
        if not missed <= RESIDUAL:
            raise NumericalError(_missing(missed, self.factor))
        return KernelRegression(coefficients, targets, self.factor)


def kernel_regression(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    *,
    ridge: Numbers = 0.0,
    f0_train: ArrayLike | None = None,
    max_relative_jitter: float = 0.0,
) -> KernelRegression:
    r"""Kernel (ridge) regression.

    f(x) = f₀(x) + K(x, X) (K + ridge·I)⁻¹ (y − f₀(X)).

    With K the neural tangent kernel and no ridge, this is the network after training to convergence on the squared
    loss, from the initial outputs f₀. With a ridge it is the network trained on the squared loss with the penalty
    ridge/(2n) ‖θ − θ₀‖² on its weights. With f₀ = 0 it is the mean over initialisations of the trained networks. With
    K the NNGP it is the mean of the posterior of the infinitely wide Bayesian network under Gaussian noise of
    variance ridge (see `posterior`).

    Args:
        k_train_train: (n, n) kernel of the training points, or its `Eigen`, with which any ridge costs O(n²).
        y: (n,) or (n, o) targets.
        ridge: absolute, at least 0: the λ in (K + λI)⁻¹. `choose_ridge` finds one from the data. With (n,) of them, one
            for each point, examples are weighted by 1/ridge.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        max_relative_jitter: what may be added to the diagonal of a singular kernel, in units of its mean; see
            `ntkit.solve.cholesky`. The result's `factor` reports what was added.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the ridge is negative.
        NumericalError: the kernel with its ridge is singular to working precision.

    Example:
        Two points and an interpolant through them:

        >>> import numpy as np
        >>> from ntkit.predict import kernel_regression
        >>> k = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> fit = kernel_regression(k, [1.0, -1.0])
        >>> np.round(fit.predict(k), 12)
        array([ 1., -1.])
        >>> np.round(kernel_regression(k, [1.0, -1.0], ridge=1.0).predict(k), 12)
        array([ 0.5, -0.5])

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, section 5; Lee et al., "Wide neural networks of any
        depth evolve as linear models under gradient descent", 2019, eqs. 10–12 at t = ∞. The penalty: see
        `gradient_flow`.
    """
    if isinstance(k_train_train, Eigen):
        return _from_eigen(k_train_train, y, ridge, f0_train, max_relative_jitter)
    factor = cholesky(k_train_train, ridge=ridge, max_relative_jitter=max_relative_jitter)
    targets = training_targets(y, len(factor.lower), f0_train)
    coefficients, missed = _solve(factor, targets)
    if missed > RESIDUAL and max_relative_jitter > 0:
        # Equal points with different targets: the least jitter that lets the factorisation pass is not enough.
        factor = cholesky(
            k_train_train, ridge=ridge, max_relative_jitter=max_relative_jitter, min_rcond=ACCURATE
        )
        coefficients, missed = _solve(factor, targets)
    if not missed <= RESIDUAL:
        raise NumericalError(_missing(missed, factor))
    return KernelRegression(coefficients, targets, factor)


def _from_eigen(
    eigen: Eigen, y: ArrayLike, ridge: Numbers, f0_train: ArrayLike | None, max_relative_jitter: float
) -> KernelRegression:
    if np.ndim(ridge) > 0:
        raise InputError(
            "a ridge for each point changes the eigenvectors; pass the kernel instead of its decomposition."
        )
    targets = training_targets(y, len(eigen.values), f0_train)
    factor = shifted(eigen, ridge=ridge, max_relative_jitter=max_relative_jitter)  # type: ignore[arg-type]
    coefficients, missed = _solve(factor, targets)
    if not missed <= RESIDUAL:
        raise NumericalError(_missing(missed, factor))
    return KernelRegression(coefficients, targets, factor)


def _solve(factor: Factor, targets: Targets) -> tuple[Float64[np.ndarray, "n o"], float]:
    """The coefficients, and the part of the right-hand side that they miss."""
    coefficients = factor.solve(targets.residual)
    size = float(np.abs(targets.residual).max())
    if isinstance(factor, Cholesky):
        missed = float(np.abs(targets.residual - factor.multiply(coefficients)).max())
    else:  # the kernel is not at hand; its decomposition is that of one within rounding of it
        rounding = np.sqrt(len(coefficients)) * np.finfo(np.float64).eps * factor.values[0]
        missed = float(rounding * np.abs(coefficients).max())
    return coefficients, missed / size if size > 0 else 0.0


def _missing(missed: float, factor: Factor) -> str:
    return (
        f"the solution misses its targets by {missed:.1g} of their size: the kernel is too ill-conditioned "
        f"(reciprocal condition number {factor.rcond:.1g}), and training points with nearly equal kernel rows have "
        "different targets. Pass a larger ridge."
    )
