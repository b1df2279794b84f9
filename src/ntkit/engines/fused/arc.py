"""The angle of a correlation 1 − m as a polynomial: with one square root, all that a rectifier's dual costs.

With m in [0, 1] and sin θ = √(m(2 − m)), acos(1 − m) = sin θ·G(m). G is smooth where θ is not, at m = 0; its nearest
singularity is m = 2, so the error of its polynomial falls by 5.8 a degree.
"""

import functools

import numpy as np
from numpy.polynomial import Chebyshev

Pairs = tuple[tuple[float, float], ...]

_DEGREES = {"float32": 9, "float64": 15}


def _angle_over_sine(m: np.ndarray) -> np.ndarray:
    half = np.arcsin(np.sqrt(m / 2))
    return 2 * half / np.sin(2 * half)


@functools.cache
def coefficients(dtype: str) -> Pairs:
    """G, lowest power first, as scalars of the dtype, two by two.

    Args:
        dtype: "float32" (error 6e-8, its rounding) or "float64" (3e-13).
    """
    fit = Chebyshev.interpolate(_angle_over_sine, _DEGREES[dtype], domain=[0, 1])
    numbers = [np.dtype(dtype).type(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
