"""Choice of the ridge by leave-one-out, in closed form, from one eigendecomposition."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.predict.targets import training_targets
from ntkit.solve.arrays import finite_array
from ntkit.solve.eigen import Eigen, eigendecomposition


@dataclasses.dataclass(frozen=True, eq=False)
class RidgeChoice:
    """The ridge of least leave-one-out loss, and the whole curve.

    Attributes:
        ridge: the best of the ridges.
        ridges: (g,) all ridges tried, absolute.
        losses: (g,) leave-one-out squared loss: mean over examples of ½‖f₋ᵢ(xᵢ) − yᵢ‖². Infinite where K + ridge·I is
            singular to working precision.
        predictions: f₋ᵢ(xᵢ) at the best ridge, of the shape of y: what each training point is predicted to be by a
            regression on all others.
        at_edge: whether the best ridge is the first or last of the grid, so that a wider grid may do better.
    """

    ridge: float
    ridges: Float64[np.ndarray, " g"]
    losses: Float64[np.ndarray, " g"]
    predictions: Float64[np.ndarray, "..."]
    at_edge: bool


def choose_ridge(
    k_train_train: ArrayLike | Eigen,
    y: ArrayLike,
    ridges: ArrayLike | None = None,
    *,
    f0_train: ArrayLike | None = None,
) -> RidgeChoice:
    r"""Finds the ridge with the least leave-one-out loss.

    With α = (K + λI)⁻¹ (y − f₀), the residual at point i of the regression on all other points is
    αᵢ / [(K + λI)⁻¹]ᵢᵢ: n regressions for the price of one, and from one eigendecomposition for all λ.

    Args:
        k_train_train: (n, n) kernel of the training points, n ≥ 2, or its `Eigen`.
        y: (n,) or (n, o) targets.
        ridges: the grid of λ, absolute, each at least 0. By default 49 values in equal ratios from 1e-8 (or the
            rounding of the kernel, if that is more) to 1e4 times the mean of the diagonal.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.

    Raises:
        InputError: a shape is wrong, there are fewer than two points, a ridge is negative, or the grid is empty.
        NumericalError: the kernel is not positive semi-definite, or no ridge of the grid makes it regular.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import choose_ridge
        >>> x = np.linspace(-1, 1, 20)
        >>> k = np.exp(-(np.subtract.outer(x, x) ** 2))
        >>> y = np.sin(3 * x) + 0.1 * (-1.0) ** np.arange(20)
        >>> choice = choose_ridge(k, y, [1e-6, 1e-2, 1e2])
        >>> choice.ridge, choice.at_edge
        (0.01, False)

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.12.
    """
    eigen = eigendecomposition(k_train_train)
    targets = training_targets(y, len(eigen.values), f0_train)
    if len(eigen.values) < 2:
        raise InputError("leave-one-out needs at least 2 training points; found 1.")
    values = eigen.non_negative_values()
    grid = _grid(ridges, eigen)
    # (K + λI)⁻¹ exists, to working precision, where its smallest eigenvalue exceeds the rounding of its entries.
    own = np.sqrt(len(values)) * np.finfo(np.float64).eps * (values[0] + grid)
    regular = values[-1] + grid >= np.maximum(eigen.noise, own)
    if not regular.any():
        raise NumericalError(
            f"no ridge of the grid makes the kernel regular: the largest is {grid.max():.3g}, the largest eigenvalue "
            f"{values[0]:.3g}. Pass larger ridges."
        )
    inverse = 1 / (values + np.where(regular, grid, 1.0)[:, None])  # (g, n)
    diagonal = inverse @ np.square(eigen.vectors).T  # (g, n), of (K + λI)⁻¹
    modes = eigen.vectors.T @ targets.residual  # (n, o)
    losses = np.full(len(grid), np.inf)
    for g in np.flatnonzero(regular):
        left_out = eigen.vectors @ (inverse[g][:, None] * modes) / diagonal[g][:, None]
        losses[g] = np.mean(np.sum(left_out**2, axis=1)) / 2
    best = int(np.argmin(losses))
    left_out = eigen.vectors @ (inverse[best][:, None] * modes) / diagonal[best][:, None]
    at_edge = len(grid) > 1 and grid[best] in (grid.min(), grid.max())
    return RidgeChoice(float(grid[best]), grid, losses, targets.restore(targets.y - left_out), bool(at_edge))


def _grid(ridges: ArrayLike | None, eigen: Eigen) -> Float64[np.ndarray, " g"]:
    if ridges is None:
        mean = float(np.mean(eigen.values))  # the trace is the sum of the eigenvalues
        if mean <= 0:
            raise InputError("the kernel is zero; there is no scale for a grid of ridges. Check the inputs.")
        return mean * np.geomspace(min(max(1e-8, eigen.noise / mean), 1.0), 1e4, 49)
    grid = finite_array(ridges, "ridges")
    if grid.ndim != 1 or grid.size == 0 or np.any(grid < 0):
        raise InputError(
            f"ridges has shape {grid.shape}{f' and least value {grid.min()}' if grid.size else ''}; expected (g,), at "
            "least one value, each at least 0."
        )
    return grid
