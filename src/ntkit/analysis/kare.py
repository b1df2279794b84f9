"""The risk of kernel ridge regression from its training set alone, at any ridge."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.targets import training_targets
from ntkit.solve.arrays import finite_array
from ntkit.solve.eigen import Eigen, eigendecomposition


def kare(kernel: ArrayLike | Eigen, y: ArrayLike, ridges: ArrayLike) -> Float64[np.ndarray, " g"]:
    r"""The kernel alignment risk estimator, which for kernel ridge regression is generalised cross-validation.

    With A = (K + ridge·I)⁻¹ it is ½ n ‖A y‖²/(tr A)²: the training loss over (1 − tr H/n)², H being the smoother. Noise
    in y is part of what it estimates. At ridge 0 it is the limit, which exists for singular kernels too.

    It takes rows for independent draws, whose leverages hardly differ. Where rows repeat and the ridge is small they
    do, and the estimate is far off, too high or too low: `ntkit.predict.choose_ridge` leaves one out, and is right there.

    Args:
        kernel: (n, n) of the training points, n ≥ 2, or its `Eigen`.
        y: (n,) or (n, o) targets.
        ridges: (g,) absolute, at least 0.

    Returns:
        Estimates of the test loss, mean over examples of ½‖f(x) − y‖².

    Raises:
        InputError: a shape is wrong, a ridge is negative or not finite, or there are fewer than 2 points.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import kare
        >>> kare(np.eye(4), [1.0, -1.0, 1.0, -1.0], [0.0, 1.0])  # what no other point tells
        array([0.5, 0.5])

    References:
        Jacot, Şimşek, Spadaro, Hongler and Gabriel, "Kernel alignment risk estimator: risk prediction from training
        data", 2020, definition 1, whose λ is ridge/n; Golub, Heath and Wahba, "Generalized cross-validation as a method
        for choosing a good ridge parameter", 1979, eq. 1.4.
    """
    eigen = eigendecomposition(kernel)
    targets = training_targets(y, len(eigen.values), None)
    if len(eigen.values) < 2:
        raise InputError("an estimate of the risk needs at least 2 training points; found 1.")
    grid = finite_array(ridges, "ridges")
    if grid.ndim != 1 or grid.size == 0 or (grid < 0).any():
        raise InputError(
            f"ridges has shape {grid.shape}; expected (g,), at least one value, each at least 0."
        )
    values = np.where(eigen.null, 0.0, eigen.non_negative_values())
    power = np.sum((eigen.vectors.T @ targets.residual) ** 2, axis=1)
    return np.array([_estimate(values + ridge, power) for ridge in grid])


def _estimate(values: Float64[np.ndarray, " n"], power: Float64[np.ndarray, " n"]) -> float:
    least = values.min()
    inverse = np.where(values == 0, 1.0, 0.0) if least == 0 else least / values
    return float(len(values) * np.sum(inverse**2 * power) / np.sum(inverse) ** 2) / 2
