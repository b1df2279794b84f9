"""`Whitening`, multiplication by (covariance + ε·identity)^(−1/2), from the smaller side of the data."""

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkit.errors import InputError


@dataclasses.dataclass(frozen=True)
class Whitening:
    """z ↦ (Σ + ε I)^(−1/2) (z − mean), which changes no direction more than it must (zero-phase).

    Attributes:
        mean: (d,).
        directions: (d, r), orthonormal eigenvectors of Σ with eigenvalues other than 0.
        eigenvalues: (r,), of Σ, the largest first.
        epsilon: ε, absolute. Where it is 0, directions in which the training rows do not vary are left out.
    """

    mean: Float[np.ndarray, " d"]
    directions: Float[np.ndarray, "d r"]
    eigenvalues: Float[np.ndarray, " r"]
    epsilon: float

    def __call__(self, rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """The whitened rows."""
        centred = rows - self.mean
        factors = 1 / np.sqrt(self.eigenvalues + self.epsilon)
        if self.epsilon == 0 or self.directions.shape[1] == len(self.mean):
            return ((centred @ self.directions) * factors) @ self.directions.T
        rest = self.epsilon**-0.5  # of all that lies outside of the directions
        return rest * centred + ((centred @ self.directions) * (factors - rest)) @ self.directions.T


def of_rows(rows: Float[np.ndarray, "n d"], ridge: float) -> Whitening:
    """Of rows: by the eigenvectors of their covariance, or by singular values where rows are fewer than columns.

    Args:
        rows: The training rows.
        ridge: ε over the mean eigenvalue of the covariance.

    Raises:
        InputError: The rows do not vary.
    """
    mean = rows.mean(axis=0)
    n, d = rows.shape
    centred = rows - mean
    if n >= d:
        return of_covariance(mean, centred.T @ centred / n, ridge)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    # A singular value is known to rounding of the largest one, not to its square root.
    kept = singular > d * np.finfo(np.float64).eps * singular[0]
    return _of_eigenvalues(mean, singular[kept] ** 2 / n, directions[kept].T, ridge)


def of_covariance(
    mean: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"], ridge: float
) -> Whitening:
    """The same from a covariance.

    Raises:
        InputError: It is zero.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(mean) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return _of_eigenvalues(mean, values[kept][::-1], vectors[:, kept][:, ::-1], ridge)


def _of_eigenvalues(mean: np.ndarray, values: np.ndarray, vectors: np.ndarray, ridge: float) -> Whitening:
    if len(values) == 0:
        raise InputError("whitening: the training examples are all the same; there is no direction to scale")
    return Whitening(mean, vectors, values, ridge * float(values.sum()) / len(mean))
