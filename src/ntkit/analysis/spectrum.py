"""The spectrum of a kernel: is it positive definite, how well conditioned, and which of its modes hold the targets."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array, non_negative
from ntkit.solve.eigen import Eigen, eigendecomposition


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a kernel and what follows from them.

    Attributes:
        eigenvalues: (n,) the largest first.
        noise: eigenvalues up to this size cannot be told from zero: 4u√n·tr(K)/n, u being the roundoff of the dtype of
            the kernel (2⁻²⁴ for float32), and the rounding of the decomposition itself.
    """

    eigenvalues: Float64[np.ndarray, " n"]
    noise: float

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[0])

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue."""
        return float(self.eigenvalues[-1])

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue: infinite where the smallest is not positive."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")

    @property
    def positive_definite(self) -> bool:
        """Whether every eigenvalue is positive beyond rounding."""
        return self.smallest > self.noise

    @property
    def positive_semidefinite(self) -> bool:
        """Whether no eigenvalue is negative beyond rounding, as must hold for every kernel."""
        return self.smallest >= -self.noise

    @property
    def participation_ratio(self) -> float:
        """(Σ λ)²/Σ λ², over how many modes the kernel is spread: 1 for one mode, n for a multiple of the identity."""
        positive = np.maximum(self.eigenvalues, 0)
        return float(positive.sum() ** 2 / np.sum(positive**2)) if self.largest > 0 else 0.0

    def effective_dimension(self, ridge: float) -> float:
        """Σ λ/(λ + ridge), how many modes a ridge leaves: the trace of the smoother.

        Args:
            ridge: absolute, at least 0; at 0 it is the rank.

        Raises:
            InputError: the ridge is negative or not finite.

        Example:
            >>> import numpy as np
            >>> from ntkit.analysis import spectrum
            >>> spectrum(np.diag([3.0, 1.0])).effective_dimension(1.0)
            1.25

        References:
            Zhang, "Learning bounds for kernel regression using effective data dimensionality", 2005, eq. 6.
        """
        non_negative(ridge, "ridge")
        positive = self.eigenvalues[self.eigenvalues > self.noise]
        return float(np.sum(positive / (positive + ridge)))

    @property
    def rank(self) -> int:
        """How many eigenvalues are positive beyond rounding."""
        return int(np.sum(self.eigenvalues > self.noise))


class TargetPower(NamedTuple):
    """How much of the targets each eigenmode holds, the mode of the largest eigenvalue first.

    Attributes:
        power: (n,) ‖vᵢᵀ Y‖²/‖Y‖²; sums to 1.
        cumulative: (n,) power of this mode and all before it.
    """

    power: Float64[np.ndarray, " n"]
    cumulative: Float64[np.ndarray, " n"]


def spectrum(kernel: ArrayLike | Eigen) -> Spectrum:
    r"""The eigenvalues of a kernel, in float64, with the level of their rounding.

    Args:
        kernel: (n, n) symmetric, or its `Eigen`.

    Raises:
        InputError: the kernel is not square, symmetric and finite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import spectrum
        >>> found = spectrum(np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> round(found.condition, 12), found.positive_definite
        (3.0, True)
        >>> spectrum(np.ones((2, 2), np.float32)).positive_definite
        False

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, proposition 2: the limiting kernel is positive
        definite on the sphere for depth at least 2 and a non-polynomial, Lipschitz activation.
    """
    eigen = eigendecomposition(kernel)
    return Spectrum(eigen.values, eigen.noise)


def target_power(kernel: ArrayLike | Eigen, y: ArrayLike) -> TargetPower:
    r"""Which eigenmodes of the kernel the targets lie in.

    Gradient flow learns mode i at the rate λᵢ/n: targets with their power in the first modes are learnt fast, and
    from few examples. Give targets as the network learns them, such as one-hot − 1/C; a constant left in them shows as
    power of the first mode, which is nearly constant for most kernels.

    Args:
        kernel: (n, n) kernel of the training points, or its `Eigen`.
        y: (n,) or (n, o) targets.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the targets are all zero.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import target_power
        >>> power, cumulative = target_power(np.array([[2.0, 1.0], [1.0, 2.0]]), [1.0, 0.0])
        >>> np.round(power, 12), np.round(cumulative, 12)
        (array([0.5, 0.5]), array([0.5, 1. ]))

    References:
        Canatar, Bordelon and Pehlevan, "Spectral bias and task-model alignment explain generalization in kernel
        regression and infinitely wide neural networks", 2021 (cumulative power).
    """
    eigen = eigendecomposition(kernel)
    targets = finite_array(y, "y")
    n = len(eigen.values)
    if targets.ndim not in (1, 2) or len(targets) != n:
        raise InputError(f"y has shape {targets.shape}; expected ({n},) or ({n}, outputs).")
    largest = float(np.abs(targets).max(initial=0.0))
    if largest == 0:
        raise InputError("y is zero everywhere: it has no power to share out among the modes.")
    modes = eigen.vectors.T @ (targets.reshape(n, -1) / largest)
    power = np.sum(modes**2, axis=1)
    total = float(power.sum())
    return TargetPower(power / total, np.cumsum(power) / total)
