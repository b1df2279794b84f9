"""What examples are drawn from, as a kernel and its targets see it: eigenvalues, and how much of the targets each holds."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.analysis.spectrum import target_power
from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array
from ntkit.solve.eigen import Eigen, eigendecomposition


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """A kernel and targets over all examples that may be drawn; modes of one eigenvalue may share an entry.

    Attributes:
        eigenvalues: (k,) of the operator f ↦ E[K(·, x) f(x)], at least 0, in any order.
        power: (k,) mean squares of the parts of the targets in the modes, summed over outputs; at least 0.
        multiplicity: (k,) how many modes share each entry.
        size: how many examples there are, drawn without replacement; infinite for a distribution.

    Raises:
        InputError: shapes differ, a value is negative or not finite, or the size is below the number of modes.
    """

    eigenvalues: Float64[np.ndarray, "..."]
    power: Float64[np.ndarray, "..."]
    multiplicity: Float64[np.ndarray, "..."]
    size: float = math.inf

    def __post_init__(self) -> None:
        shapes = [getattr(self, name).shape for name in ("eigenvalues", "power", "multiplicity")]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1 or 0 in shapes[0]:
            raise InputError(
                "eigenvalues, power and multiplicity have shapes {}, {} and {}; expected (k,) of each.".format(
                    *shapes
                )
            )
        for name in ("eigenvalues", "power", "multiplicity"):
            _check(getattr(self, name), name)
        if self.size < self.multiplicity.sum():
            raise InputError(
                f"size is {self.size:g}; expected at least {self.multiplicity.sum():g}, the number of modes."
            )

    @property
    def mean_square(self) -> float:
        """Mean square of the targets."""
        return float(self.power.sum())

    @property
    def rank(self) -> float:
        """How many modes the kernel has."""
        return float(self.multiplicity[self.eigenvalues > 0].sum())


def distribution(
    eigenvalues: ArrayLike, power: ArrayLike, multiplicity: ArrayLike | None = None
) -> Population:
    r"""A population without end, by the eigenvalues of the kernel over it.

    Args:
        eigenvalues: (k,) of the operator f ↦ E[K(·, x) f(x)], at least 0.
        power: (k,) mean squares of the parts of the targets in the modes.
        multiplicity: (k,) how many modes share each entry; None for one each.

    Raises:
        InputError: shapes differ, or a value is negative or not finite.

    Example:
        >>> from ntkit.analysis import distribution
        >>> distribution([1.0, 0.1], [1.0, 0.5], [1, 10]).rank
        11.0
    """
    values = finite_array(eigenvalues, "eigenvalues")
    count = np.ones(values.shape) if multiplicity is None else finite_array(multiplicity, "multiplicity")
    return Population(values, finite_array(power, "power"), count)


def population(kernel: ArrayLike | Eigen, y: ArrayLike) -> Population:
    r"""The population that consists of the points of a kernel matrix, or of which they are a large sample.

    The eigenvalues of K/m are those of the operator over the m points.

    Args:
        kernel: (m, m) kernel of all points, or its `Eigen`.
        y: (m,) or (m, o) their targets.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the targets are all zero.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import population
        >>> found = population(np.diag([4.0, 2.0]), [1.0, 3.0])
        >>> found.eigenvalues.round(12).tolist(), found.power.round(12).tolist()
        ([2.0, 1.0], [0.5, 4.5])
    """
    eigen = eigendecomposition(kernel)
    values = np.where(eigen.null, 0.0, eigen.non_negative_values())
    m = len(values)
    share = target_power(eigen, y).power
    mean_square = float(np.sum(finite_array(y, "y") ** 2)) / m
    return Population(values / m, share * mean_square, np.ones(m), m)


def _check(values: np.ndarray, name: str) -> None:
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise InputError(f"{name} has a value of {values[wrong][0]}; expected finite ones of at least 0.")
