"""Eigenfunctions of a kernel at new points, by Nyström's extension."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.solve.arrays import cross_kernel
from ntkit.solve.eigen import Eigen, eigendecomposition


@dataclasses.dataclass(frozen=True, eq=False)
class Eigenfunctions:
    """Estimates from n points of the eigenfunctions of f ↦ E[K(·, x) f(x)], of mean square 1 over the points.

    Attributes:
        values: (k,) eigenvalues of the operator, λ_i/n.
        train: (n, k) at the points.
    """

    values: Float64[np.ndarray, " k"]
    train: Float64[np.ndarray, "n k"]

    def at(self, k_test_train: ArrayLike) -> Float64[np.ndarray, "m k"]:
        """At new points: K(x, X) φ(X)/(n μ).

        Args:
            k_test_train: (m, n) kernel of new points with the points.

        Raises:
            InputError: the shape is wrong, or a value is not finite.
        """
        n = len(self.train)
        return cross_kernel(k_test_train, n, "k_test_train") @ self.train / (n * self.values)


def eigenfunctions(kernel: ArrayLike | Eigen, count: int) -> Eigenfunctions:
    r"""The first eigenfunctions.

    Args:
        kernel: (n, n), or its `Eigen`.
        count: how many, at least 1 and no more than there are eigenvalues positive beyond rounding.

    Raises:
        InputError: there are not so many.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import eigenfunctions
        >>> found = eigenfunctions(np.diag([2.0, 1.0]), 1)
        >>> found.values, np.abs(found.at([[1.0, 0.0]])).round(12)
        (array([1.]), array([[0.70710678]]))

    References:
        Williams and Seeger, "Using the Nyström method to speed up kernel machines", 2001, eqs. 6–8.
    """
    eigen = eigendecomposition(kernel)
    positive = int(np.sum(eigen.values > eigen.noise))
    if not 1 <= count <= positive:
        raise InputError(
            f"count is {count}; expected from 1 to {positive}, the eigenvalues positive beyond rounding."
        )
    n = len(eigen.values)
    return Eigenfunctions(eigen.values[:count] / n, eigen.vectors[:, :count] * n**0.5)
