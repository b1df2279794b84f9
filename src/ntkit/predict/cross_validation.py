"""Leave-one-out and k-fold cross-validation in closed form, from the factorisation of all points."""

import dataclasses

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.loss import squared_loss
from ntkit.predict.ridge import KernelRegression


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOut:
    """What each training point is predicted to be without its fold.

    Attributes:
        predictions: of the shape of y.
        variance: (n,) of an observation at the point, noise included, where the kernel is the covariance of a process.
        loss: mean over examples of ½‖prediction − y‖².
        log_density: log p(yᵢ | all other folds), the sum over points and outputs.
    """

    predictions: Float64[np.ndarray, "..."]
    variance: Float64[np.ndarray, " n"]
    loss: float
    log_density: float


def leave_one_out(fit: KernelRegression) -> LeftOut:
    r"""Every point predicted from all others, for the price of an inverse.

    With A = (K + ridge·I)⁻¹ and α = A (y − f₀): the residual at point i is αᵢ/Aᵢᵢ, its variance 1/Aᵢᵢ.

    Args:
        fit: a regression of at least 2 points, such as `posterior(...).regression`.

    Raises:
        InputError: there is one point only.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import kernel_regression, leave_one_out
        >>> fit = kernel_regression([[1.0, 0.5], [0.5, 1.0]], [2.0, 4.0])
        >>> np.round(leave_one_out(fit).predictions, 12)  # half of what the other says
        array([2., 1.])

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eqs. 5.10–5.12.
    """
    if len(fit.coefficients) < 2:
        raise InputError("leave-one-out needs at least 2 training points; found 1.")
    diagonal = fit.factor.inverse_diagonal()
    return _left_out(fit, fit.coefficients / diagonal[:, None], 1 / diagonal)


def cross_validate(fit: KernelRegression, folds: int | ArrayLike) -> LeftOut:
    r"""Every fold predicted from all others.

    With A = (K + ridge·I)⁻¹ and I the rows of a fold, the residuals are A_II⁻¹ α_I and their covariance A_II⁻¹.

    Args:
        fit: a regression, such as `posterior(...).regression`.
        folds: k of at least 2 folds, row i being in fold i mod k; or (n,) whole numbers, the fold of each row.

    Raises:
        InputError: there are fewer than two folds, or more than points, or the shape is wrong.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import cross_validate, kernel_regression
        >>> fit = kernel_regression(np.eye(4) + 1, [1.0, 2.0, 3.0, 4.0])
        >>> np.round(cross_validate(fit, 2).predictions, 12)
        array([2.        , 1.33333333, 2.        , 1.33333333])

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 5.4.2, with a block in place of an entry.
    """
    n = len(fit.coefficients)
    inverse = fit.factor.solve(np.eye(n))
    residual, variance = np.empty_like(fit.coefficients), np.empty(n)
    labels = fold_labels(folds, n)
    for fold in np.unique(labels):
        rows = np.flatnonzero(labels == fold)
        covariance = np.linalg.inv(inverse[np.ix_(rows, rows)])
        residual[rows] = covariance @ fit.coefficients[rows]
        variance[rows] = np.diag(covariance)
    return _left_out(fit, residual, variance)


def fold_labels(folds: int | ArrayLike, n: int) -> Int[np.ndarray, " n"]:
    """The fold of each of n rows.

    Args:
        folds: k of at least 2 folds, row i being in fold i mod k; or (n,) whole numbers.
        n: rows.

    Raises:
        InputError: there are fewer than two folds, or more than rows, or the shape is wrong.

    Example:
        >>> from ntkit.predict.cross_validation import fold_labels
        >>> fold_labels(2, 5)
        array([0, 1, 0, 1, 0])
    """
    labels = np.arange(n) % folds if isinstance(folds, int) and folds > 0 else np.asarray(folds)
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or not len(np.unique(labels)) >= 2:
        raise InputError(
            f"folds is {folds if np.ndim(folds) == 0 else f'shaped {labels.shape}'}; expected from 2 to {n} folds, or ({n},) "
            "whole numbers, the fold of each training point, with two folds at least."
        )
    if isinstance(folds, int) and folds > n:
        raise InputError(f"folds is {folds}, more than the {n} training points.")
    return labels


def _left_out(
    fit: KernelRegression, residual: Float64[np.ndarray, "n o"], variance: Float64[np.ndarray, " n"]
) -> LeftOut:
    targets = fit.targets
    predictions = targets.y - residual
    density = -0.5 * np.sum(residual**2 / variance[:, None] + np.log(2 * np.pi * variance)[:, None])
    return LeftOut(
        targets.restore(predictions),
        variance,
        float(squared_loss(predictions, targets.y)),
        float(density),
    )
