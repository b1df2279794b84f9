"""How fast eigenvalues fall: the exponent of a power law, with its interval."""

from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.solve.eigen import Eigen, eigendecomposition

FEWEST = 8  # modes that a fit needs


class Decay(NamedTuple):
    """λ_i ∝ i^(−exponent), fitted to log λ against log i.

    Attributes:
        exponent: of the modes that were fitted.
        low: lower end of its interval of 95 %.
        high: upper end.
        first: the first mode that was fitted, counted from 1.
        last: the last one.
    """

    exponent: float
    low: float
    high: float
    first: int
    last: int


def decay_exponent(kernel: ArrayLike | Eigen, *, first: int = 2, last: int | None = None) -> Decay:
    r"""The exponent of a power law through the eigenvalues, by least squares on evenly spaced logarithms of i.

    The interval is that of scatter about the line, by Student's t. It says nothing of whether a power law is right; look at
    the eigenvalues. The last half of the modes of a sample falls faster than those of the population, and is left out.

    Args:
        kernel: (n, n) kernel, or its `Eigen`.
        first: the first mode to be fitted, counted from 1; the first of all is the mean of most kernels.
        last: the last one; None for the middle of those that are positive beyond rounding.

    Raises:
        InputError: there are fewer than 8 modes from the first to the last, or the last is not positive beyond rounding.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import decay_exponent
        >>> round(decay_exponent(np.diag(np.arange(1.0, 101.0) ** -1.5)).exponent, 9)
        1.5

    References:
        Weisberg, Applied Linear Regression, 2014, section 2.6, on the interval.
    """
    eigen = eigendecomposition(kernel)
    positive = int(np.sum(eigen.values > eigen.noise))
    end = positive // 2 if last is None else last
    if end > positive:
        raise InputError(f"last is {last}, and only {positive} eigenvalues are positive beyond rounding.")
    if first < 1 or end - first + 1 < FEWEST:
        raise InputError(
            f"there are {max(end - first + 1, 0)} modes from {first} to {end}; a fit needs at least {FEWEST}, here a kernel of "
            f"about {2 * (FEWEST + max(first, 1))} independent points."
        )
    # So many modes of evenly spaced logarithms that each counts once: otherwise the last ones would decide alone.
    modes = np.unique(np.round(np.geomspace(first, end, 4 * FEWEST)).astype(int))
    fit = scipy.stats.linregress(np.log(modes), np.log(eigen.values[modes - 1]))
    half = float(scipy.stats.t.ppf(0.975, len(modes) - 2) * fit.stderr)
    return Decay(-float(fit.slope), -float(fit.slope) - half, -float(fit.slope) + half, first, end)
