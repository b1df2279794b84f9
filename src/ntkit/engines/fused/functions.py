"""Elementwise functions of a network as functions of vectors: what they make of the gap, their slope, the covariance.

Each takes the gap D, three fields of the first image and of the second ones, four numbers of its own, and the polynomials
of `approximations`. It gives the gap behind it, the slope by which the tangent kernel is multiplied, and the covariance
before it.
"""

import math

from numba import njit

from ntkit.engines.fused.vector import (
    OPTIONS,
    greater,
    lesser,
    nearest,
    polynomial,
    power_of_two,
    root,
    rounding,
    where_less,
)

fast = njit(**OPTIONS)
# What is large is compiled once, in its caller: by itself first, and again in each caller of a caller, took twice as long.
joined = njit(inline="always", **OPTIONS)


@fast
def linear(gap, one, two, own, polynomials):
    """No function. Fields: variances."""
    return gap, greater(gap * 0 + 1, 1), (one[0] + two[0] - gap) * 0.5


# Half-lines -----------------------------------------------------------------------------------------------------------


@fast
def turn_of(u, polynomials):
    """Of θ with cos θ = 1 − u: sin θ/π, and θ/2π, or (π − θ)/2π where u > 1."""
    m = greater(lesser(u, 2 - u), 0)
    sine_over_pi = root(m * (2 / math.pi**2 - m * (1 / math.pi**2)))
    return m, sine_over_pi, sine_over_pi * polynomial(m, polynomials[0])


@fast
def relu(gap, one, two, own, polynomials):
    """max(x, 0). Fields: standard deviations s and their inverses over √2.

    With u = 1 − cos θ = (D − (s − s')²)/(2 s s'), m = min(u, 2 − u) and φ the angle of a correlation 1 − m, the gap is
    D/2 − s s'(sin φ − φ cos φ)/π where u < 1, and (s² + s'²)/2 in place of D/2 elsewhere; the slope is (π − θ)/2π.
    """
    s, t = one[0], two[0]
    apart = (s - t) * (s - t)
    product = s * t
    u = (gap - apart) * (one[1] * two[1])
    m, sine_over_pi, turn = turn_of(u, polynomials)
    arc = sine_over_pi - turn * (2 - m * 2)
    slope = where_less(u, 1, 0.5 - turn, turn)
    base = where_less(u, 1, gap * 0.5, apart * 0.5 + product)
    return base - product * arc, slope, product - product * u


@fast
def half_lines(gap, one, two, own, polynomials):
    """One slope on either side of 0: `own` has their squared difference and their product. Fields as for `relu`."""
    gap_of_relu, slope_of_relu, covariance = relu(gap, one, two, own, polynomials)
    return gap_of_relu * own[0] + gap * own[1], slope_of_relu * own[0] + own[1], covariance


# Smooth functions: their fields are the variance q, the second moment E[f(u)²] behind the function, and E[f'(u)²] --------


@fast
def smooth_gap(gap, dual, one, two):
    """E[(f(u) − f(v))²]: the difference of moments, and where that has no digits the mean value theorem.

    With κ = (q − q')/2 and S(q) = E[f'(u)²], it is D·(S + S')/2 + κ (S − S') up to a relative error of the order of D.
    """
    steepness, height = one[2] + two[2], one[1] + two[1]
    near = (gap * steepness + (one[0] - two[0]) * (one[2] - two[2])) * 0.5
    far = height - dual * 2
    chosen = where_less(gap * gap * steepness, height * rounding(gap), near, far)
    return greater(where_less(gap, 0.01, chosen, far), 0)


@fast
def widened(gap, one, two, factor, polynomials):
    """Of the pair with variances 1 + factor·q: asin of its correlation over 2π, and the root of its determinant over π."""
    s, t = root(one[0] * factor + 1), root(two[0] * factor + 1)
    product = s * t
    u = (gap * factor + 2 - (s - t) * (s - t)) / (product * 2)
    _, sine_over_pi, turn = turn_of(u, polynomials)
    return where_less(u, 1, 0.25 - turn, turn - 0.25), product * sine_over_pi


@fast
def erf(gap, one, two, own, polynomials):
    """a·erf(b x) + c; `own`: 4a², 2b², c². (2a²/π)·asin z + c², and the slope 4a²b²/(π√Δ)."""
    tilt, joint = widened(gap, one, two, own[1], polynomials)
    covariance = (one[0] + two[0] - gap) * 0.5
    slope = own[0] * own[1] / (joint * (2 * math.pi**2))
    return smooth_gap(gap, tilt * own[0] + own[2], one, two), slope, covariance


@fast
def gelu(gap, one, two, own, polynomials):
    """x·Φ(x): r/4 + (r α + (qq' − r² + r² S)/√Δ)/2π, and the slope 1/4 + (α + r (S + 1/Δ)/√Δ)/2π."""
    tilt, joint_over_pi = widened(gap, one, two, 1, polynomials)
    inverse = 1 / (joint_over_pi * math.pi)
    r = (one[0] + two[0] - gap) * 0.5
    inverses = 1 / (one[0] + 1) + 1 / (two[0] + 1)
    balance = one[0] * two[0] - r * r + r * r * inverses
    dual = r * (tilt + 0.25) + balance * inverse * (0.5 / math.pi)
    slope = tilt + 0.25 + r * (inverses + inverse * inverse) * inverse * (0.5 / math.pi)
    return smooth_gap(gap, dual, one, two), slope, r


@fast
def exponential(x, polynomials):
    """Of numbers that are not positive; those below the smallest power of 2 count as that."""
    lowest = -86.0 if rounding(x) > 1e-10 else -707.0
    x = greater(x, lowest)
    whole = nearest(x * (1 / math.log(2)))
    # log 2 in two parts, of which the first has few digits.
    rest = x - whole * 0.693359375
    rest = rest + whole * 2.121944400546905827679e-4
    return polynomial(rest, polynomials[1]) * power_of_two(whole)


@fast
def wave(gap, one, two, own, polynomials):
    """a·sin(b x + c); `own`: a², b², and the weights of sin(b x) and of cos(b x)."""
    minus = exponential(gap * (-0.5 * own[1]), polynomials)
    plus = exponential((gap - (one[0] + two[0]) * 2) * (0.5 * own[1]), polynomials)
    sines, cosines = (minus - plus) * 0.5, (minus + plus) * 0.5
    dual = (sines * own[2] + cosines * own[3]) * own[0]
    slope = (cosines * own[2] + sines * own[3]) * (own[0] * own[1])
    return smooth_gap(gap, dual, one, two), slope, (one[0] + two[0] - gap) * 0.5


@fast
def rbf(gap, one, two, own, polynomials):
    """The function whose dual is exp(−γ D); `own`: γ."""
    dual = exponential(gap * -own[0], polynomials)
    return smooth_gap(gap, dual, one, two), dual * (2 * own[0]), (one[0] + two[0] - gap) * 0.5
