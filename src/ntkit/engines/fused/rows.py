"""What happens to one row of pixel pairs: loops over contiguous numbers, which the compiler turns into vector code.

D is the gap and T the tangent kernel. A row holds pixel after pixel, and of every pixel the same pair with each of
several second images (the lanes). `one` stands for the first image, spread over the lanes, `two` for the second.
"""

import math
from typing import Any

import numpy as np
from numba import njit

# No array is made inside: without reference counts, which are atomic, rows of a few hundred numbers take a third less.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
fast = njit(fastmath={"contract", "nsz", "arcp", "reassoc"}, **OPTIONS)
inline = njit(inline="always", **OPTIONS)


@inline
def polynomial(x, blocks):
    """Σ c_k xᵏ, the coefficients in blocks of eight: loops so short are unrolled, longer ones would not be vectorised."""
    x8 = x * x
    x8 = x8 * x8
    x8 = x8 * x8
    total = _eight(x, blocks[len(blocks) - 1])
    for j in range(len(blocks) - 2, -1, -1):
        total = total * x8 + _eight(x, blocks[j])
    return total


@inline
def _eight(x, c):
    low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * (x * x)
    high = (c[4] + c[5] * x) + (c[6] + c[7] * x) * (x * x)
    x4 = x * x
    return low + high * (x4 * x4)


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
def half_lines_gap(d, one, one_inverse, two, two_inverse, n, bend, line, r, out_d):
    """The gap behind a function of two half-lines; `one`, `two` are standard deviations.

    With u = 1 − cos θ = (D − (s − s')²)/(2 s s') and m = min(u, 2 − u), the gap of the ReLU is
    (s − s')²/2 + s s'·(min(u, 1) − arc(m)/π).
    """
    scalar = d.dtype.type
    zero, half, unit, double = scalar(0.0), scalar(0.5), scalar(1.0), scalar(2.0)
    over_pi = scalar(1 / math.pi)
    for i in range(n):
        gap, a, b = d[i], one[i], two[i]
        apart = (a - b) * (a - b)
        u = (gap - apart) * (half * one_inverse[i] * two_inverse[i])
        m = max(zero, min(u, double - u))
        arc = polynomial(m, r) * m * np.sqrt(m)
        out_d[i] = bend * (half * apart + a * b * (min(max(u, zero), unit) - over_pi * arc)) + line * gap


@fast
def half_lines(d, t, one, one_inverse, two, two_inverse, n, bend, line, p, r, gain, shift, out_d, out_t):
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
        root = np.sqrt(m)
        arc = polynomial(m, r) * m * root
        angle = over_two_pi * polynomial(m, p) * root
        slope = half - angle if u < unit else angle
        covariance = product + half * (apart - gap)
        out_d[i] = bend * (half * apart + product * (min(max(u, zero), unit) - over_pi * arc)) + line * gap
        out_t[i] = (t[i] + gain * covariance + shift) * (bend * slope + line)
