"""Linear algebra of kernels, in float64: Cholesky factorisation and eigendecomposition."""

from ntkit.solve.cholesky import Cholesky, cholesky
from ntkit.solve.eigen import Eigen, eigendecomposition

__all__ = ["Cholesky", "Eigen", "cholesky", "eigendecomposition"]
