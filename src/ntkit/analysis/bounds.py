"""What a kernel guarantees of the test loss: bounds of generalisation, and a rate."""

import math

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.ridge import kernel_regression
from ntkit.solve.arrays import finite_array, symmetric_kernel


def interpolation_bound(kernel: ArrayLike, y: ArrayLike, *, failure: float = 0.05) -> float:
    r"""A bound on the test loss of the interpolant of least norm, that holds with probability 1 − failure.

    2 √(yᵀK⁻¹y · tr K)/n + 3 √(log(2/failure)/(2n)), for every loss that is 1-Lipschitz in the output, within [0, 1]
    and 0 on the training points. It does not change with the scale of the kernel. Above 1 it says nothing.

    Args:
        kernel: (n, n) of the training points.
        y: (n,) targets.
        failure: δ, above 0 and below 1.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the probability is not one.
        NumericalError: the kernel is singular.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import interpolation_bound
        >>> round(interpolation_bound(np.ones((100, 100)) + 1e-6 * np.eye(100), np.ones(100)), 2)
        0.61

    References:
        Bartlett and Mendelson, "Rademacher and Gaussian complexities: risk bounds and structural results", 2002,
        theorem 8 and lemma 22, on the ball of radius √(yᵀK⁻¹y).
    """
    k, targets = _problem(kernel, y)
    if not 0 < failure < 1:
        raise InputError(f"failure is {failure}; expected a probability above 0 and below 1.")
    n = len(k)
    complexity = 2 * math.sqrt(_squared_norm(k, targets) * float(np.trace(k))) / n
    return complexity + 3 * math.sqrt(math.log(2 / failure) / (2 * n))


def fine_grained_bound(h: ArrayLike, y: ArrayLike) -> float:
    r"""√(2 yᵀH⁻¹y/n), the leading term of the bound of Arora et al. for two layers of which the first is trained.

    It is that of `interpolation_bound`, for which H is as good as any kernel. What is left out is
    O(√(log(n/(λ_min δ))/n)).

    Args:
        h: (n, n) H∞, the NTK of the first layer of a ReLU network without biases on inputs of norm 1; its diagonal is ½.
        y: (n,) targets −1 and 1.

    Raises:
        InputError: the diagonal is not ½ or targets are not −1 and 1, with what to do; or a shape is wrong.
        NumericalError: the kernel is singular.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import fine_grained_bound
        >>> round(fine_grained_bound(np.eye(4) / 2, [1.0, -1.0, 1.0, -1.0]), 12)
        2.0

    References:
        Arora, Du, Hu, Li and Wang, "Fine-grained analysis of optimization and generalization for overparameterized
        two-layer neural networks", 2019, theorem 5.1 and eq. 10.
    """
    k, targets = _problem(h, y)
    diagonal = np.diag(k)
    if np.abs(diagonal - 0.5).max() > 1e-5:
        raise InputError(
            f"the diagonal of h is from {diagonal.min():.4g} to {diagonal.max():.4g}; expected ½: the network "
            "nk.Dense(d, w_std=d**0.5) >> nk.Relu() >> nk.Dense(1, w_lr=0), with inputs divided by their norms."
        )
    if not np.isin(targets, (-1.0, 1.0)).all():
        raise InputError("y has values other than −1 and 1; expected two classes, named so.")
    return math.sqrt(2 * _squared_norm(k, targets) / len(k))


def cao_gu_rate(kernel: ArrayLike, y: ArrayLike, depth: int) -> float:
    r"""Depth · √(yᵀΘ⁻¹y/n): a rate, not a bound. Constants and logarithms are unknown; compare it between targets.

    Args:
        kernel: (n, n) Θ of the training points.
        y: (n,) targets −1 and 1.
        depth: number of layers with weights.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the depth is below 1.
        NumericalError: the kernel is singular.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import cao_gu_rate
        >>> cao_gu_rate(np.eye(4), [1.0, -1.0, 1.0, -1.0], depth=2)
        2.0

    References:
        Cao and Gu, "Generalization bounds of stochastic gradient descent for wide and deep neural networks", 2019,
        corollary 3.10.
    """
    k, targets = _problem(kernel, y)
    if depth < 1:
        raise InputError(f"depth is {depth}; expected at least 1.")
    return depth * math.sqrt(_squared_norm(k, targets) / len(k))


def _problem(kernel: ArrayLike, y: ArrayLike) -> tuple[Float64[np.ndarray, "n n"], Float64[np.ndarray, " n"]]:
    k, targets = symmetric_kernel(kernel, "the kernel"), finite_array(y, "y")
    if targets.shape not in ((len(k),), (len(k), 1)):
        raise InputError(f"y has shape {targets.shape}; expected ({len(k)},): the bounds are for one output.")
    return k, targets.reshape(-1)


def _squared_norm(k: Float64[np.ndarray, "n n"], y: Float64[np.ndarray, " n"]) -> float:
    """yᵀK⁻¹y, the square of the norm of the interpolant."""
    return float(y @ kernel_regression(k, y).coefficients[:, 0])
