"""What happens to one row of pixel pairs: loops over contiguous numbers, which the compiler turns into vector code.

D is the gap and T the tangent kernel. A row holds pixel after pixel, and of every pixel the same pair with each of
several second images (the lanes). `one` stands for the first image, spread over the lanes, `two` for the second.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

# No array is made inside: without reference counts, which are atomic, rows of a few hundred numbers take a third less.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
fast = njit(fastmath={"contract", "nsz", "arcp", "reassoc"}, **OPTIONS)


def polynomial(x: float, pairs: tuple) -> float:
    """Σ c_k xᵏ, the coefficients two by two; in compiled code ten of them or sixteen.

    There it is written out: a loop over the pairs leaves vectors that straddle cache lines, its first turn being split off.
    """
    return sum((a + b * x) * x ** (2 * k) for k, (a, b) in enumerate(pairs))


@overload(polynomial, inline="always")
def _polynomial(x, pairs):
    def ten(x, pairs):
        (a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1) = pairs
        y = x * x
        return ((((e0 + e1 * x) * y + d0 + d1 * x) * y + c0 + c1 * x) * y + b0 + b1 * x) * y + a0 + a1 * x

    def sixteen(x, pairs):
        (a0, a1), (b0, b1), (c0, c1), (d0, d1), (e0, e1), (f0, f1), (g0, g1), (h0, h1) = pairs
        y = x * x
        high = (((h0 + h1 * x) * y + g0 + g1 * x) * y + f0 + f1 * x) * y + e0 + e1 * x
        return (((high * y + d0 + d1 * x) * y + c0 + c1 * x) * y + b0 + b1 * x) * y + a0 + a1 * x

    return {5: ten, 8: sixteen}[len(pairs)]


@fast
def spread(values, start, pixels, lanes, out):
    """Every value of one image's row, once for each lane."""
    for x in range(pixels):
        value = values[start + x]
        to = out[x * lanes : (x + 1) * lanes]
        for i in range(lanes):
            to[i] = value


@fast
def linear(d, t, one, two, n, gain, shift, tangent, out_d, out_t):
    """No nonlinearity: `one`, `two` are variances."""
    half = d.dtype.type(0.5)
    for i in range(n):
        out_d[i] = d[i]
    if tangent:
        for i in range(n):
            out_t[i] = t[i] + gain * (half * (one[i] + two[i] - d[i])) + shift


@fast
def half_lines_gap(d, one, one_inverse, two, two_inverse, n, bend, line, g, out_d):
    """The gap behind a function of two half-lines; `one`, `two` are standard deviations.

    With u = 1 − cos θ = (D − (s − s')²)/(2 s s'), m = min(u, 2 − u) and φ the angle of a correlation 1 − m, the gap of the
    ReLU is (s − s')²/2 + s s'·(min(u, 1) − (sin φ − φ cos φ)/π).
    """
    scalar = d.dtype.type
    zero, half, unit, double = scalar(0.0), scalar(0.5), scalar(1.0), scalar(2.0)
    over_pi = scalar(1 / math.pi)
    for i in range(n):
        gap, a, b = d[i], one[i], two[i]
        apart = (a - b) * (a - b)
        u = (gap - apart) * (half * one_inverse[i] * two_inverse[i])
        m = max(zero, min(u, double - u))
        sine = np.sqrt(m * (double - m))
        arc = sine * (unit - polynomial(m, g) * (unit - m))
        out_d[i] = bend * (half * apart + a * b * (min(max(u, zero), unit) - over_pi * arc)) + line * gap


@fast
def half_lines(d, t, one, one_inverse, two, two_inverse, n, bend, line, g, gain, shift, out_d, out_t):
    """The same, and the tangent kernel times the slope, of which the ReLU's is (π − θ)/2π."""
    scalar = d.dtype.type
    zero, half, unit, double = scalar(0.0), scalar(0.5), scalar(1.0), scalar(2.0)
    over_pi, over_two_pi = scalar(1 / math.pi), scalar(0.5 / math.pi)
    for i in range(n):
        gap, a, b = d[i], one[i], two[i]
        apart = (a - b) * (a - b)
        product = a * b
        u = (gap - apart) * (half * one_inverse[i] * two_inverse[i])
        m = max(zero, min(u, double - u))
        sine = np.sqrt(m * (double - m))
        angle = sine * polynomial(m, g)
        arc = sine - angle * (unit - m)
        slope = half - over_two_pi * angle if u < unit else over_two_pi * angle
        covariance = product + half * (apart - gap)
        out_d[i] = bend * (half * apart + product * (min(max(u, zero), unit) - over_pi * arc)) + line * gap
        out_t[i] = (t[i] + gain * covariance + shift) * (bend * slope + line)
