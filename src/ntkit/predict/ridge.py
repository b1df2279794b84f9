"""Kernel regression and kernel ridge regression: the prediction of a wide network trained to convergence."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import NumericalError
from ntkit.predict.targets import Targets, training_targets
from ntkit.solve.arrays import cross_kernel, symmetric_kernel
from ntkit.solve.cholesky import Cholesky, cholesky

# A solution that misses its right-hand side by more than this part of it means nothing.
RESIDUAL = 1e-3
ACCURATE = 1e-12  # the reciprocal condition number at which rounding misses at most about 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class KernelRegression:
    """A fitted regression: f(x) = f₀(x) + K(x, X) α.

    Attributes:
        coefficients: α = (K + ridge·I)⁻¹ (y − f₀(X)), (n, o).
        targets: y and f₀(X).
        factor: the factorisation used; it says whether jitter was added.
    """

    coefficients: Float64[np.ndarray, "n o"]
    targets: Targets
    factor: Cholesky

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


def kernel_regression(
    k_train_train: ArrayLike,
    y: ArrayLike,
    *,
    ridge: float = 0.0,
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
        k_train_train: (n, n) kernel of the training points.
        y: (n,) or (n, o) targets.
        ridge: absolute, at least 0: the λ in (K + λI)⁻¹. `choose_ridge` finds one from the data.
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
    kernel = symmetric_kernel(k_train_train, "the kernel")
    targets = training_targets(y, len(kernel), f0_train)
    factor = cholesky(k_train_train, ridge=ridge, max_relative_jitter=max_relative_jitter)
    coefficients, missed = _solve(kernel, factor, targets)
    if missed > RESIDUAL and max_relative_jitter > 0:
        # Equal points with different targets: the least jitter that lets the factorisation pass is not enough.
        factor = cholesky(
            k_train_train, ridge=ridge, max_relative_jitter=max_relative_jitter, min_rcond=ACCURATE
        )
        coefficients, missed = _solve(kernel, factor, targets)
    if not missed <= RESIDUAL:
        raise NumericalError(
            f"the solution misses its targets by {missed:.1g} of their size: the kernel is too ill-conditioned "
            f"(reciprocal condition number {factor.rcond:.1g}), and training points with nearly equal kernel rows have "
            "different targets. Pass a larger ridge."
        )
    return KernelRegression(coefficients, targets, factor)


def _solve(
    kernel: Float64[np.ndarray, "n n"], factor: Cholesky, targets: Targets
) -> tuple[Float64[np.ndarray, "n o"], float]:
    """The coefficients, and the part of the right-hand side that they miss."""
    coefficients = factor.solve(targets.residual)
    missed = targets.residual - kernel @ coefficients - (factor.ridge + factor.jitter) * coefficients
    size = float(np.abs(targets.residual).max())
    return coefficients, float(np.abs(missed).max()) / size if size > 0 else 0.0
