"""Polynomials in place of all functions between two sums, between unit vectors of which no two make an obtuse angle.

With the gap D between 0 and 2 and s = √D, what weights and half-lines make of D and of the tangent kernel T is
D·a(s) and T·b(s) + c(s), and a, b and c are smooth: θ = 2 asin(s/2), and their nearest singularity lies where vectors
are opposite, at s = ±2. The error of their polynomials on [0, √2] falls by 3.4 a degree, and any number of layers takes
the time of one root and three polynomials.
"""

import functools
import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from ntkit.engines.fused import code
from ntkit.engines.fused.functions import fast
from ntkit.engines.fused.vector import BYTES, greater, load, polynomial, root, store

# Of polynomials whose errors, beside the largest value, are below the rounding of single precision, and below 6e-14.
_DEGREES = {"float32": (9, 11, 10), "float64": (20, 23, 21)}
_TOLERANCES = {"float32": 6e-8, "float64": 6e-14}
_TERMS = 14  # of the series of sin θ − θ cos θ, for θ up to π/2

Polynomials = tuple[tuple[float, ...], ...]
# Of every instruction whether half-lines follow its weights, and its numbers.
Chain = tuple[tuple[bool, tuple[float, ...]], ...]


@fast
def through_chain(polynomials, begin, end, tangent, out):
    """All functions at once, in place, of gaps and tangent kernels that lie one behind the other."""
    of_gap, of_slope, of_shift = polynomials
    d, t = out
    for i in range(begin, end, BYTES // d.itemsize):
        gap = greater(load(d, i), 0)
        s = root(gap)
        store(d, i, gap * polynomial(s, of_gap))
        if tangent:
            store(t, i, load(t, i) * polynomial(s, of_slope) + polynomial(s, of_shift))


@functools.cache
def none(dtype: str) -> Polynomials:
    """In place of polynomials where there are none, of the same types."""
    return tuple((np.dtype(dtype).type(0),) * (degree + 1) for degree in _DEGREES[dtype])


def polynomials_of(table: np.ndarray, numbers: np.ndarray, dtype: str) -> Polynomials | None:
    """Those of a, b and c, each from the constant on.

    Args:
        table: The code of a homogeneous chain, which holds weights and half-lines.
        numbers: Its numbers.
        dtype: "float32" or "float64".

    Returns:
        None where there is nothing to gain, or polynomials of this degree are not right to all digits.
    """
    halves = table[:, code.FUNCTION] == code.HALF_LINES
    return _fits(tuple(zip(halves.tolist(), map(tuple, numbers.tolist()), strict=True)), dtype)


@functools.cache
def _fits(chain: Chain, dtype: str) -> Polynomials | None:
    if not any(half for half, _ in chain):
        return None
    found = []
    for k, degree in enumerate(_DEGREES[dtype]):
        fit = Chebyshev.interpolate(_exactly, 2 * degree, domain=(0, 2**0.5), args=(chain, k))
        kept = fit.truncate(degree + 1)
        if np.abs(fit.coef[len(kept) :]).sum() > _TOLERANCES[dtype] * np.abs(fit.coef).sum():
            return None
        found.append(tuple(kept.convert(kind=Polynomial).coef.astype(dtype)))
    return tuple(found)


def _exactly(s: np.ndarray, chain: Chain, k: int) -> np.ndarray:
    """a, b or c of unit vectors so far apart, instruction after instruction.

    In NumPy: JAX, in which `activations` has the same formulas, compiles for longer than a small set takes.
    """
    variance, gap, slope, shift = 1.0, s * s, np.ones_like(s), np.zeros_like(s)
    for half, row in chain:
        scale, gain, bias = row[code.SCALE], row[code.GAIN], row[code.SHIFT]
        variance, gap, slope = variance * scale, gap * scale, slope * scale
        shift = shift * scale + (variance - gap / 2) * gain + bias
        if half:
            apart, both = row[code.OWN : code.OWN + 2]
            angle = 2 * np.arcsin(np.sqrt(np.minimum(gap / variance, 2)) / 2)
            derivative = apart * (0.5 - angle / (2 * math.pi)) + both
            gap = (apart / 2 + both) * gap - apart * variance / math.pi * _sine_less_cosine(angle)
            variance *= apart / 2 + both
            slope, shift = slope * derivative, shift * derivative
    return (gap / (s * s), slope, shift)[k]


def _sine_less_cosine(angle: np.ndarray) -> np.ndarray:
    """The series of sin θ − θ cos θ, θ³/3 − θ⁵/30 + …, of which no digit cancels."""
    square, total = angle * angle, np.zeros_like(angle)
    for k in range(_TERMS, 0, -1):
        total = 2 * k / math.factorial(2 * k + 1) - square * total
    return angle * square * total
