"""How far a kernel has moved during training, and how fast it moves."""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.analysis.alignment import alignment
from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array, symmetric_kernel


class KernelChange(NamedTuple):
    """The tangent kernels of one run, each beside the first and beside the one before.

    Attributes:
        times: (t,) of the kernels.
        distance: (t,) 1 − ⟨K, K₀⟩/(‖K‖ ‖K₀‖), the change of direction: 0 in the lazy regime, at most 1.
        relative: (t,) ‖K − K₀‖/‖K₀‖, change of scale included.
        scale: (t,) ‖K‖/‖K₀‖.
        velocity: (t − 1,) distance of each kernel from the one before, over the time between.
    """

    times: Float64[np.ndarray, " t"]
    distance: Float64[np.ndarray, " t"]
    relative: Float64[np.ndarray, " t"]
    scale: Float64[np.ndarray, " t"]
    velocity: Float64[np.ndarray, " t_less_one"]


def kernel_change(kernels: ArrayLike, times: ArrayLike) -> KernelChange:
    r"""Kernel distance and velocity along a run.

    Args:
        kernels: (t, n, n) at least 2 kernels of the same points, such as `kernels` of `nk.finite.train`'s history.
        times: (t,) rising, such as its `kernels_at`; velocities are per unit of them.

    Raises:
        InputError: a shape is wrong, a value is not finite, a kernel is not symmetric or zero, or times do not rise.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import kernel_change
        >>> found = kernel_change([np.eye(2), 2 * np.eye(2), np.ones((2, 2))], [0, 10, 20])
        >>> (
        ...     found.distance.round(3).tolist(),
        ...     found.relative.round(3).tolist(),
        ...     found.velocity.round(4).tolist(),
        ... )
        ([0.0, 0.0, 0.293], [0.0, 1.0, 1.0], [0.0, 0.0293])

    References:
        Fort, Dziugaite, Paul, Kharaghani, Roy and Ganguli, "Deep learning versus kernel learning: an empirical study of
        loss landscape geometry and the time evolution of the neural tangent kernel", 2020, eqs. 3 and 4.
    """
    found, at = finite_array(kernels, "kernels"), finite_array(times, "times")
    if found.ndim != 3 or found.shape[1] != found.shape[2] or len(found) < 2:
        raise InputError(f"kernels has shape {found.shape}; expected (t, n, n) of at least 2 kernels.")
    if at.shape != (len(found),) or (np.diff(at) <= 0).any():
        raise InputError(f"times has shape {at.shape}; expected ({len(found)},), rising.")
    checked = [symmetric_kernel(k, f"kernels[{i}]") for i, k in enumerate(found)]
    first = float(np.linalg.norm(checked[0]))
    steps = [kernel_distance(a, b) for a, b in itertools.pairwise(checked)]
    return KernelChange(
        at,
        np.array([kernel_distance(checked[0], k) for k in checked]),
        np.array([np.linalg.norm(k - checked[0]) / first for k in checked]),
        np.array([np.linalg.norm(k) / first for k in checked]),
        np.array(steps) / np.diff(at),
    )


def kernel_distance(first: ArrayLike, second: ArrayLike) -> float:
    r"""1 − ⟨K, K′⟩/(‖K‖ ‖K′‖), from 0 to 1: how far two kernels of the same points are apart in direction.

    Args:
        first: (n, n) kernel.
        second: (n, n) kernel.

    Raises:
        InputError: a shape is wrong, a value is not finite, or a kernel is zero.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import kernel_distance
        >>> kernel_distance(np.eye(2), 3 * np.eye(2))
        0.0

    References:
        Fort et al., 2020, eq. 3.
    """
    return max(0.0, 1 - alignment(first, second))
