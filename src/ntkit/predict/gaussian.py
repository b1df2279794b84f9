"""`Gaussian`: what is known of the outputs where they are random: a mean, and one covariance for all outputs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ntkit.errors import InputError, NumericalError

# Beyond this part of the prior variance, a negative variance is not rounding.
NEGATIVE = 1e-4


class Gaussian(NamedTuple):
    """Mean of each output and the covariance of points, the same for every output; outputs are independent.

    Attributes:
        mean: (*times, m) or (*times, m, o).
        covariance: (*times, m, m).
    """

    mean: Float64[np.ndarray, "..."]
    covariance: Float64[np.ndarray, "*times m m"]

    def sample(self, count: int, *, seed: int = 0) -> Float64[np.ndarray, "count ..."]:
        """Functions drawn from the distribution, at these points; at each time anew.

        Args:
            count: how many, at least 1.
            seed: of the draws.

        Raises:
            InputError: the count is less than 1.
            NumericalError: the covariance is not positive semi-definite.

        Example:
            >>> import numpy as np
            >>> from ntkit.predict import Gaussian
            >>> drawn = Gaussian(np.zeros(3), np.ones((3, 3))).sample(4)
            >>> drawn.shape, bool(np.ptp(drawn[0]) < 1e-6)
            ((4, 3), True)
        """
        if count < 1:
            raise InputError(f"count is {count}; expected at least 1.")
        values, vectors = np.linalg.eigh(self.covariance)
        if (values < -NEGATIVE * np.abs(values).max(initial=0.0)).any():
            raise NumericalError(
                f"the covariance has an eigenvalue of {values.min():.3g}: the kernels of training and test points are not "
                "those of one network, or too imprecise; compute them in float64."
            )
        root = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
        flat = self.mean.ndim == self.covariance.ndim - 1
        mean = self.mean[..., None] if flat else self.mean
        draws = np.random.default_rng(seed).standard_normal((count, *mean.shape))
        drawn = mean + root @ draws
        return drawn[..., 0] if flat else drawn


def not_negative(
    variance: Float64[np.ndarray, "..."], prior: Float64[np.ndarray, "..."]
) -> Float64[np.ndarray, "..."]:
    """Variances of test points (the last axis), those that are negative by rounding raised to zero.

    Raises:
        NumericalError: one is negative beyond rounding.
    """
    wrong = variance < -NEGATIVE * np.abs(prior)
    if wrong.any():
        i = tuple(int(j) for j in np.argwhere(wrong)[0])
        raise NumericalError(
            f"the variance of test point {i[-1]} is {variance[i]:.3g}, its prior variance {prior[i[-1]]:.3g}. Check that the "
            "kernels of training and test points come from the same network, compute them in float64, or pass a larger "
            "noise or ridge."
        )
    return np.maximum(variance, 0.0)
