"""Linear algebra of kernels, in float64: Cholesky factorisation and eigendecomposition."""

from ntkit.solve.cholesky import Cholesky, cholesky
from ntkit.solve.eigen import Eigen, eigendecomposition
from ntkit.solve.shifted import Shifted, shifted

__all__ = ["Cholesky", "Eigen", "Shifted", "cholesky", "eigendecomposition", "shifted"]
