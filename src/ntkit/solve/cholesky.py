"""Cholesky factorisation in float64: factor once, solve often, never silently wrong."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.linalg import eigh, lapack, solve_triangular

from ntkit.errors import InputError, NumericalError
from ntkit.solve.arrays import Numbers, Ridge, finite_array, non_negative, ridge_of, symmetric_kernel
from ntkit.solve.diagnosis import heaviest_rows, name_pairs, repeated_rows
from ntkit.solve.rounding import eigenvalue_noise, rounding_of

# Below this reciprocal condition number the smallest pivot is rounding, whether or not it came out positive.
SINGULAR = 10 * np.finfo(np.float64).eps
DOUBLE = 2.0**-53


@dataclasses.dataclass(frozen=True, eq=False)
class Cholesky:
    """K + (ridge + jitter)·I = L Lᵀ.

    Attributes:
        kernel: K, (n, n).
        lower: L, (n, n) lower triangular.
        ridge: what the caller asked to be added to the diagonal, one number or (n,).
        jitter: what had to be added on top, 0 unless jitter was allowed and needed.
        rcond: estimate of the reciprocal condition number of the matrix factorised, in the 1-norm.
        message: empty, or why jitter was added, or why there is no factorisation.
        success: whether the factorisation may be used.
    """

    kernel: Float64[np.ndarray, "n n"]
    lower: Float64[np.ndarray, "n n"]
    ridge: Ridge
    jitter: float
    rcond: float
    message: str
    success: bool

    def solve(self, b: ArrayLike) -> Float64[np.ndarray, "..."]:
        """(L Lᵀ)⁻¹ b, for b of shape (n,) or (n, k).

        Raises:
            InputError: b does not have n rows, or is not finite.
            NumericalError: the factorisation had failed.

        Example:
            >>> from ntkit.solve import cholesky
            >>> cholesky([[4.0, 0.0], [0.0, 2.0]]).solve([1.0, 1.0])
            array([0.25, 0.5 ])
        """
        return solve_triangular(self.lower, self.half_solve(b), lower=True, trans=1, check_finite=False)

    def half_solve(self, b: ArrayLike) -> Float64[np.ndarray, "..."]:
        """L⁻¹ b: the sum of squares of its columns is the diagonal of bᵀ (L Lᵀ)⁻¹ b, without forming the latter.

        Raises:
            InputError: b does not have n rows, or is not finite.
            NumericalError: the factorisation had failed.
        """
        if not self.success:
            raise NumericalError(self.message)
        rows = finite_array(b, "the right-hand side")
        if rows.ndim not in (1, 2) or len(rows) != len(self.lower):
            n = len(self.lower)
            raise InputError(f"the right-hand side has shape {rows.shape}; expected ({n},) or ({n}, k).")
        return solve_triangular(self.lower, rows, lower=True, check_finite=False)

    def multiply(self, b: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
        """(K + (ridge + jitter)·I) b, from K itself: against which a solution is checked."""
        return self.kernel @ b + np.reshape(self.ridge + self.jitter, (-1, 1)) * b

    def log_determinant(self) -> float:
        """The natural logarithm of det(L Lᵀ).

        Raises:
            NumericalError: the factorisation had failed.

        Example:
            >>> import numpy as np
            >>> from ntkit.solve import cholesky
            >>> bool(np.isclose(cholesky([[4.0, 0.0], [0.0, 2.0]]).log_determinant(), np.log(8.0)))
            True
        """
        if not self.success:
            raise NumericalError(self.message)
        return 2 * float(np.sum(np.log(np.diag(self.lower))))

    def inverse_diagonal(self) -> Float64[np.ndarray, " n"]:
        """The diagonal of (L Lᵀ)⁻¹.

        Raises:
            NumericalError: the factorisation had failed.
        """
        return np.sum(np.square(self.half_solve(np.eye(len(self.lower)))), axis=0)


def cholesky(
    kernel: ArrayLike,
    *,
    ridge: Numbers = 0.0,
    max_relative_jitter: float = 0.0,
    min_rcond: float = SINGULAR,
    throw: bool = True,
) -> Cholesky:
    r"""Factorises K + ridge·I.

    The factorisation is in float64 whatever the dtype of the kernel. A matrix that is singular to working precision
    is a failure, also where the last pivot happened to come out positive. The precision of a float32 kernel is that of
    float32: its smallest eigenvalue has to stand out from what rounding of the entries makes of zero.

    Args:
        kernel: (n, n) symmetric.
        ridge: absolute, at least 0; added to the diagonal. One number, or (n,) for one of each row.
        max_relative_jitter: the most that may be added besides, in units of the mean of the diagonal. With 0, the
            default, nothing is ever added. Otherwise the smallest of a sequence growing by factors of 10 is added
            with which the factorisation succeeds, and `Cholesky.jitter` and `Cholesky.message` report it.
        min_rcond: a reciprocal condition number below this counts as singular; by default ten roundoffs.
        throw: raise on failure. With False a failed factorisation is returned, to be inspected.

    Raises:
        InputError: the kernel is not square, symmetric and finite, or ridge or jitter is negative.
        NumericalError: K + ridge·I is not positive definite, with no or all of the allowed jitter.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve import cholesky
        >>> factor = cholesky(np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> np.round(factor.solve([3.0, 3.0]), 12)
        array([1., 1.])
        >>> twice_the_same_row = np.ones((2, 2))
        >>> cholesky(twice_the_same_row)
        Traceback (most recent call last):
        ntkit.errors.NumericalError: the kernel is not positive definite to working precision: ...
        >>> cholesky(twice_the_same_row, max_relative_jitter=1e-8).jitter < 1e-8
        True

    References:
        Golub and Van Loan, Matrix Computations, 4th ed., 2013, section 4.2, and section 3.5.4 (condition
        estimate).
    """
    matrix = symmetric_kernel(kernel, "the kernel")
    added = ridge_of(ridge, len(matrix))
    scale = float(np.mean(np.abs(np.diag(matrix))))
    min_rcond = non_negative(min_rcond, "min_rcond") or np.finfo(np.float64).tiny
    limit = non_negative(max_relative_jitter, "max_relative_jitter") * scale
    jitter = 0.0
    unit = rounding_of(kernel)
    noise = eigenvalue_noise(matrix, unit)
    # ‖K⁻¹‖₁ exceeds the inverse of the smallest eigenvalue, by √n at most.
    least = noise / 2 if unit > DOUBLE else 0.0
    lower, rcond = _factor(matrix, added, least)
    while rcond < min_rcond and jitter < limit:
        # The first step is what rounding can have taken from the smallest eigenvalue.
        jitter = min(limit, 10 * jitter if jitter else noise)
        lower, rcond = _factor(matrix, added + jitter, least)
    success = bool(rcond >= min_rcond)
    message = "" if success and jitter == 0 else _explain(matrix, added, jitter, unit, success)
    if throw and not success:
        raise NumericalError(message)
    return Cholesky(matrix, lower, added, jitter, rcond, message, success)


def _factor(
    matrix: Float64[np.ndarray, "n n"], shift: Ridge, least: float
) -> tuple[Float64[np.ndarray, "n n"], float]:
    """L of K + shift·I, and the reciprocal condition number: 0 where there is no L, or ‖(K + shift·I)⁻¹‖₁ > 1/least."""
    shifted = np.array(matrix, order="F")
    shifted[np.diag_indices_from(shifted)] += shift
    norm = np.abs(shifted).sum(axis=0).max()
    lower, minor = lapack.dpotrf(shifted, lower=1, clean=1, overwrite_a=1)
    if minor != 0:
        return lower, 0.0
    rcond, _ = lapack.dpocon(lower, norm, uplo="L")
    return lower, float(rcond) if rcond * norm >= least else 0.0


def _explain(
    matrix: Float64[np.ndarray, "n n"], ridge: Ridge, jitter: float, unit: float, success: bool
) -> str:
    values, vectors = eigh(matrix, subset_by_index=[0, 0], check_finite=False)
    smallest, mean = float(values[0]), float(np.mean(np.diag(matrix)))
    with_ridge = f" (plus a ridge of {np.min(ridge):.3g})" if np.any(ridge) else ""
    fact = (
        "the kernel is not positive definite to working precision: its smallest eigenvalue is "
        f"{smallest:.3g}{with_ridge}, the mean of its diagonal {mean:.3g}."
    )
    if success:
        return f"jitter of {jitter:.3g} was added to the diagonal, since {fact}"
    tried = f" Jitter up to {jitter:.3g} did not help." if jitter else ""
    enough = max(-2 * smallest, 1e-10 * abs(mean), 2 * eigenvalue_noise(matrix, unit)) or 1e-10
    pairs = repeated_rows(matrix, unit)
    cause = (
        f"These are equal or nearly so: {name_pairs(pairs)}; remove one of each"
        if pairs
        else f"The row that others determine is among {heaviest_rows(vectors[:, 0])}; remove it"
    )
    return (
        f"{fact}{tried} {cause}, pass a larger ridge (here at least {enough:.1g}), allow jitter "
        f"(max_relative_jitter={enough / abs(mean) if mean else 1e-10:.1g}), or compute the kernel in float64."
    )
