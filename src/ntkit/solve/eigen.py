"""Eigendecomposition of a kernel in float64, with the level below which its eigenvalues are rounding."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from ntkit.errors import NumericalError
from ntkit.solve.arrays import symmetric_kernel
from ntkit.solve.diagnosis import heaviest_rows
from ntkit.solve.rounding import eigenvalue_noise, rounding_of


@dataclasses.dataclass(frozen=True, eq=False)
class Eigen:
    """K = V diag(values) Vᵀ.

    One decomposition serves the spectrum, the choice of a ridge and the training curves: the functions for these
    take an `Eigen` in place of the kernel.

    Attributes:
        values: (n,) eigenvalues, the largest first.
        vectors: V, (n, n) orthogonal; column i belongs to `values[i]`.
        noise: eigenvalues up to this size cannot be told from zero, given the dtype of the kernel.
    """

    values: Float64[np.ndarray, " n"]
    vectors: Float64[np.ndarray, "n n"]
    noise: float

    @property
    def null(self) -> Bool[np.ndarray, " n"]:
        """Which eigenvalues cannot be told from zero."""
        return self.values <= max(self.noise, -float(self.values[-1]))

    def non_negative_values(self) -> Float64[np.ndarray, " n"]:
        """The eigenvalues, those that are negative by rounding raised to zero.

        Raises:
            NumericalError: an eigenvalue is negative beyond rounding.

        Example:
            >>> from ntkit.solve import eigendecomposition
            >>> eigendecomposition([[1.0, 2.0], [2.0, 1.0]]).non_negative_values()
            Traceback (most recent call last):
            ntkit.errors.NumericalError: the kernel is not positive semi-definite: its smallest eigenvalue is -1...
        """
        # Ten times the level, for kernels that gathered more rounding than that of a last operation.
        if self.values[-1] < -10 * self.noise:
            raise NumericalError(
                f"the kernel is not positive semi-definite: its smallest eigenvalue is {self.values[-1]:.3g}, "
                f"while rounding explains {-self.noise:.1g}; the eigenvector lies in {heaviest_rows(self.vectors[:, -1])}. "
                "Check that it is the kernel of one batch with itself, or compute it in float64."
            )
        return np.maximum(self.values, 0.0)


def eigendecomposition(kernel: ArrayLike | Eigen) -> Eigen:
    """Decomposes a symmetric kernel; what is an `Eigen` already is handed back.

    Args:
        kernel: (n, n) symmetric, of any float dtype (the work is in float64), or its decomposition.

    Raises:
        InputError: the kernel is not square, symmetric and finite.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve import eigendecomposition
        >>> eigen = eigendecomposition(np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> np.round(eigen.values, 12)
        array([3., 1.])

    References:
        Golub and Van Loan, Matrix Computations, 4th ed., 2013, corollary 8.1.6: an eigenvalue moves by at most the
        norm of what rounding adds to the matrix.
    """
    if isinstance(kernel, Eigen):
        return kernel
    matrix = symmetric_kernel(kernel, "the kernel")
    values, vectors = eigh(matrix, driver="evd", check_finite=False)
    values, vectors = values[::-1].copy(), vectors[:, ::-1]
    # Rounding of the entries, and of the decomposition itself.
    own = float(np.sqrt(len(values)) * np.finfo(np.float64).eps * np.abs(values).max())
    return Eigen(values, vectors, eigenvalue_noise(matrix, rounding_of(kernel)) + own)
