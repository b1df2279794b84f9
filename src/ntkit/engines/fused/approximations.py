"""Polynomials in place of functions that are slow or have no vector form: the angle of a correlation, the exponential."""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

Coefficients = tuple[float, ...]

# Of the angle, of the exponential.
_DEGREES = {"float32": (9, 6), "float64": (15, 11)}


def _half_angle_over_sine(m: np.ndarray) -> np.ndarray:
    half = np.arcsin(np.sqrt(m / 2))
    return half / np.sin(2 * half)


@functools.cache
def coefficients(dtype: str) -> tuple[Coefficients, Coefficients]:
    """The polynomials as scalars of the dtype, lowest power first.

    * G/2 on [0, 1]: with sin θ = √(m(2 − m)), acos(1 − m) = sin θ·G(m). G is smooth where θ is not, at m = 0; its nearest
      singularity is m = 2, so the error of its polynomial falls by 5.8 a degree.
    * exp on [−log √2, log √2].

    Args:
        dtype: "float32" (errors below 6e-8, its rounding) or "float64" (3e-13, 1e-15).
    """
    angle, exponential = _DEGREES[dtype]
    half = math.log(2) / 2
    return (
        _fit(_half_angle_over_sine, angle, (0, 1), dtype),
        _fit(np.exp, exponential, (-half, half), dtype),
    )


def _fit(function: Callable, degree: int, domain: tuple[float, float], dtype: str) -> Coefficients:
    fit = Chebyshev.interpolate(function, degree, domain=domain)
    return tuple(np.dtype(dtype).type(c) for c in fit.convert(kind=Polynomial).coef)
