"""K + ridge·I from the eigenvectors of K: one decomposition, any ridge, any right-hand side, in O(n²)."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.solve.arrays import finite_array, non_negative
from ntkit.solve.diagnosis import heaviest_rows
from ntkit.solve.eigen import Eigen


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted:
    """K + ridge·I = V diag(values + ridge) Vᵀ; it answers what a `Cholesky` answers.

    Attributes:
        eigen: the decomposition of K.
        ridge: what is added to the diagonal.
        jitter: what had to be added on top, 0 unless jitter was allowed and needed.
        message: empty, or why jitter was added.
    """

    eigen: Eigen
    ridge: float
    jitter: float
    message: str

    @property
    def values(self) -> Float64[np.ndarray, " n"]:
        """(n,) eigenvalues of K + ridge·I, jitter included."""
        return self.eigen.non_negative_values() + self.ridge + self.jitter

    @property
    def rcond(self) -> float:
        """The reciprocal condition number, in the 2-norm."""
        return float(self.values[-1] / self.values[0])

    def solve(self, b: ArrayLike) -> Float64[np.ndarray, "..."]:
        """(K + ridge·I)⁻¹ b, for b of shape (n,) or (n, k).

        Raises:
            InputError: b does not have n rows, or is not finite.
        """
        return self.eigen.vectors @ (self._modes(b).T / self.values).T

    def half_solve(self, b: ArrayLike) -> Float64[np.ndarray, "..."]:
        """A square root of (K + ridge·I)⁻¹ times b: the sum of squares of its columns is the diagonal of bᵀ (K + ridge·I)⁻¹ b.

        Raises:
            InputError: b does not have n rows, or is not finite.
        """
        return (self._modes(b).T / np.sqrt(self.values)).T

    def log_determinant(self) -> float:
        """The natural logarithm of det(K + ridge·I)."""
        return float(np.sum(np.log(self.values)))

    def inverse_diagonal(self) -> Float64[np.ndarray, " n"]:
        """The diagonal of (K + ridge·I)⁻¹."""
        return np.square(self.eigen.vectors) @ (1 / self.values)

    def _modes(self, b: ArrayLike) -> Float64[np.ndarray, "..."]:
        rows = finite_array(b, "the right-hand side")
        n = len(self.eigen.values)
        if rows.ndim not in (1, 2) or len(rows) != n:
            raise InputError(f"the right-hand side has shape {rows.shape}; expected ({n},) or ({n}, k).")
        return self.eigen.vectors.T @ rows


def shifted(eigen: Eigen, *, ridge: float = 0.0, max_relative_jitter: float = 0.0) -> Shifted:
    """What `cholesky` does, from a decomposition that is at hand.

    Args:
        eigen: the decomposition of K.
        ridge: absolute, at least 0; added to the diagonal.
        max_relative_jitter: as that of `cholesky`.

    Raises:
        InputError: ridge or jitter is negative.
        NumericalError: K is not positive semi-definite, or K + ridge·I is singular to working precision.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve import eigendecomposition, shifted
        >>> factor = shifted(eigendecomposition([[2.0, 1.0], [1.0, 2.0]]), ridge=1.0)
        >>> np.round(factor.solve([4.0, 4.0]), 12)
        array([1., 1.])
    """
    ridge = non_negative(ridge, "ridge")
    smallest = float(eigen.non_negative_values()[-1])
    mean = float(np.mean(eigen.values))
    limit = non_negative(max_relative_jitter, "max_relative_jitter") * mean
    lacking = max(eigen.noise - smallest - ridge, 0.0)
    if smallest + ridge >= eigen.noise > 0:
        return Shifted(eigen, ridge, 0.0, "")
    fact = (
        f"the kernel is not positive definite to working precision: its smallest eigenvalue is {eigen.values[-1]:.3g}, "
        f"the mean of its diagonal {mean:.3g}, and the ridge {ridge:.3g}."
    )
    if 0 < lacking <= limit:
        return Shifted(
            eigen, ridge, lacking, f"jitter of {lacking:.3g} was added to the diagonal, since {fact}"
        )
    raise NumericalError(
        f"{fact} The row that others determine is among {heaviest_rows(eigen.vectors[:, -1])}; remove it, pass a larger "
        f"ridge (here at least {lacking or 1e-10:.1g}), allow jitter (max_relative_jitter="
        f"{lacking / mean if mean > 0 else 1e-10:.1g}), or compute the kernel in float64."
    )
