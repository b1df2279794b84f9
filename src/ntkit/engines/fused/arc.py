"""The angle and the arc of a correlation 1 − m as polynomials: what a rectifier's dual costs, one square root apart.

With m in [0, 1], acos(1 − m) = √m·P(m) and sin θ − θ cos θ = m^{3/2}·R(m), θ being that angle. Neither form cancels at
small m, where θ does and where a rectifier's kernel is decided. The nearest singularity is m = 2, so the error falls by
5.8 a degree.
"""

import functools

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

Blocks = tuple[tuple[float, ...], ...]

_TERMS = 80  # of the power series at m = 1, where they fall by 2 a term
_DEGREES = {"float32": 7, "float64": 15}


def _series() -> tuple[np.ndarray, np.ndarray]:
    """The power series of P and of R: P/√2 is asin(x)/x and sin θ/√(2m) is √(1 − x²), x² = m/2."""
    asin, root = np.ones(_TERMS + 1), np.ones(_TERMS + 1)
    for k in range(1, _TERMS + 1):
        asin[k] = asin[k - 1] * (2 * k - 1) ** 2 / (2 * k * (2 * k + 1))
        root[k] = root[k - 1] * (2 * k - 3) / (2 * k)
    powers = 2.0 ** -np.arange(_TERMS + 1)
    p, q = np.sqrt(2) * asin * powers, np.sqrt(2) * root * powers
    # sin θ − θ cos θ = √m·(Q − P + m P), whose constant term is 0.
    return p[:-1], q[1:] - p[1:] + p[:-1]


@functools.cache
def coefficients(dtype: str) -> tuple[Blocks, Blocks]:
    """P and R, lowest power first, as scalars of the dtype in blocks of eight.

    Args:
        dtype: "float32" (error 2e-8) or "float64" (1e-12).
    """
    found = []
    for series in _series():
        fit = Chebyshev.interpolate(Polynomial(series), _DEGREES[dtype], domain=[0, 1])
        power = fit.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1])
        numbers = [np.dtype(dtype).type(c) for c in power.coef]
        found.append(tuple(tuple(numbers[i : i + 8]) for i in range(0, len(numbers), 8)))
    return found[0], found[1]
