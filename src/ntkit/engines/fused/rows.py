"""One row of pixel pairs through a window and a function, vector after vector.

D is the gap and T the tangent kernel. A row holds pixel after pixel, and of every pixel the same pair with each of
several second images (the lanes), a whole number of vectors. `one` holds the fields of the first image, `two` those of
the second images, and `here` and `there` say where the row's first pixel lies in a field of either.
"""

import functools
from typing import Any

from numba.extending import overload

from ntkit.engines.fused import code
from ntkit.engines.fused import functions as bodies
from ntkit.engines.fused.code import FUNCTION, GAIN, ONE, OWN, SCALE, SHIFT, TERMS, TWO
from ntkit.engines.fused.functions import fast, joined
from ntkit.engines.fused.vector import BYTES, fill, load, store


def _through(function: Any, tangent: bool) -> Any:
    """A row through a function: gap and tangent kernel times SCALE, weights, and then the function."""

    @fast
    def over_row(step, numbers, source, place, g, target):
        d, t, begin = source
        out_d, out_t, to = target
        one, here, two, there, pixels, lanes, hop = place
        width = BYTES // d.itemsize
        scale, gain, shift = numbers[SCALE], numbers[GAIN], numbers[SHIFT]
        own = numbers[OWN], numbers[OWN + 1], numbers[OWN + 2], numbers[OWN + 3]
        a, b, c = step[ONE], step[ONE + 1], step[ONE + 2]
        e, f, h = (
            (step[TWO] + there) * lanes,
            (step[TWO + 1] + there) * lanes,
            (step[TWO + 2] + there) * lanes,
        )
        for x in range(pixels):
            ones = fill(one[a + here + x]), fill(one[b + here + x]), fill(one[c + here + x])
            for v in range(0, lanes, width):
                i, k = x * lanes + v, x * hop + v
                twos = load(two, e + k), load(two, f + k), load(two, h + k)
                gap = load(d, begin + i) * scale
                behind, slope, covariance = function(gap, ones, twos, own, g)
                store(out_d, to + i, behind)
                if tangent:
                    store(out_t, to + i, (load(t, begin + i) * scale + (covariance * gain + shift)) * slope)

    return over_row


@fast
def _column(rows, y, i):
    """The sum of three rows, one below the other."""
    return load(rows[y], i) + load(rows[y + 1], i) + load(rows[y + 2], i)


def _relu_behind_3x3(tangent: bool) -> Any:
    """A 3×3 window, weights and ReLU in one go: every number is read once, and the sums stay in registers."""

    @fast
    def over_row(step, numbers, source, place, g, target):
        d, t, y, begin = source
        out_d, out_t, to = target
        one, here, two, there, pixels, lanes, hop = place
        width = BYTES // d.itemsize
        scale, gain, shift = numbers[SCALE], numbers[GAIN], numbers[SHIFT]
        a, b = step[ONE] + here, step[ONE + 1] + here
        e, f = (step[TWO] + there) * lanes, (step[TWO + 1] + there) * lanes
        for v in range(0, lanes, width):
            at = begin + v
            left, mid = _column(d, y, at - lanes), _column(d, y, at)
            left_t, mid_t = (_column(t, y, at - lanes), _column(t, y, at)) if tangent else (left, mid)
            for x in range(pixels):
                i = x * lanes + v
                right = _column(d, y, begin + i + lanes)
                gap = (left + mid + right) * scale
                left, mid = mid, right
                k = x * hop + v
                ones, twos = (fill(one[a + x]), fill(one[b + x])), (load(two, e + k), load(two, f + k))
                behind, slope, covariance = bodies.relu(gap, ones, twos, numbers, g)
                store(out_d, to + i, behind)
                if tangent:
                    right_t = _column(t, y, begin + i + lanes)
                    weighed = (left_t + mid_t + right_t) * scale + (covariance * gain + shift)
                    left_t, mid_t = mid_t, right_t
                    store(out_t, to + i, weighed * slope)

    return over_row


def _series(tangent: bool) -> Any:
    """A row through a function given by Mehler's series.

    With standard deviations s, correlation c = 1 − u, and f(s z) = h₀ + s Σ h_k He_k(z)/√k!, the fields are s, its inverse
    over √2, and behind them h₀, h₁, … The gap is (h₀ − h₀')² + Σ (s h_k − s' h_k')² + 2 u s s' Σ h_k h_k' (1 + … + cᵏ⁻¹),
    the slope Σ k h_k h_k' cᵏ⁻¹: no digit cancels.
    """

    @fast
    def over_row(step, numbers, source, place, g, target):
        d, t, begin = source
        out_d, out_t, to = target
        one, here, two, there, pixels, lanes, hop = place
        width = BYTES // d.itemsize
        scale, gain, shift = numbers[SCALE], numbers[GAIN], numbers[SHIFT]
        terms, apart1, apart2 = step[TERMS], step[TERMS + 1], step[TERMS + 2] * lanes
        a, b, c = step[ONE] + here, step[ONE + 1] + here, step[ONE + 2] + here
        e, f, h = (
            (step[TWO] + there) * lanes,
            (step[TWO + 1] + there) * lanes,
            (step[TWO + 2] + there) * lanes,
        )
        for x in range(pixels):
            s, inverse = fill(one[a + x]), fill(one[b + x])
            for v in range(0, lanes, width):
                i, j = x * lanes + v, x * hop + v
                s2 = load(two, e + j)
                gap, product = load(d, begin + i) * scale, s * s2
                u = (gap - (s - s2) * (s - s2)) * (inverse * load(two, f + j))
                correlation = 1 - u
                mean = load(two, h + j) - one[c + x]
                behind, inner, slope = mean * mean, gap * 0, gap * 0
                power, powers = inner + 1, inner + 1
                for k in range(1, terms):
                    mine, other = fill(one[c + x + k * apart1]), load(two, h + j + k * apart2)
                    both, off = mine * other, s * mine - s2 * other
                    behind = behind + off * off
                    inner = inner + both * powers
                    slope = slope + both * power * k
                    powers = powers * correlation + 1
                    power = power * correlation
                store(out_d, to + i, behind + inner * product * u * 2)
                if tangent:
                    weighed = load(t, begin + i) * scale + ((product - product * u) * gain + shift)
                    store(out_t, to + i, weighed * slope)

    return over_row


@joined
def _nothing(step, numbers, source, place, tangent, g, target):
    """In place of a function that no instruction asks for."""


_BODIES = {
    code.LINEAR: bodies.linear,
    code.HALF_LINES: bodies.half_lines,
    code.ERF: bodies.erf,
    code.GELU: bodies.gelu,
    code.WAVE: bodies.wave,
    code.RBF: bodies.rbf,
}


def through(functions, step, numbers, source, place, tangent, g, target):
    """Take a row through the function of an instruction, which is one of `functions`: their numbers, in a text.

    `source` is (gaps, tangent kernels, where the row begins), and `target` the same. `place` is (one, here, two, there,
    pixels, lanes, hop); the fields of the second images lie `hop` apart from pixel to pixel. The text is known when this is
    compiled, and then only the functions that it names are.
    """


def through_3x3(functions, step, numbers, source, place, tangent, g, target):
    """The same with the 3×3 window before the ReLU; `source` is (images, images, row, where the middle of the first lies)."""


@overload(through, prefer_literal=True, inline="always")
def _(functions, step, numbers, source, place, tangent, g, target):
    chosen = _chain(functions.literal_value)
    return lambda functions, step, numbers, source, place, tangent, g, target: chosen(
        step, numbers, source, place, tangent, g, target
    )


@overload(through_3x3, prefer_literal=True, inline="always")
def _(functions, step, numbers, source, place, tangent, g, target):
    relu = code.RELU in numbers_of(functions.literal_value)
    chosen = _either(_relu_behind_3x3(True), _relu_behind_3x3(False)) if relu else _nothing
    return lambda functions, step, numbers, source, place, tangent, g, target: chosen(
        step, numbers, source, place, tangent, g, target
    )


def numbers_of(functions: str) -> set[int]:
    """The numbers in the text that names the functions of a network."""
    return {int(number) for number in functions.split()}


@functools.cache
def _chain(functions: str) -> Any:
    chosen = _either(_through(bodies.linear, True), _through(bodies.linear, False))
    for number in sorted(numbers_of(functions) - {code.LINEAR, code.RELU}):
        if number == code.SERIES:
            first = _either(_series(True), _series(False))
        else:
            first = _either(_through(_BODIES[number], True), _through(_BODIES[number], False))
        chosen = _or_else(number, first, chosen)
    return chosen


def _either(both: Any, gap_alone: Any) -> Any:
    @joined
    def chosen(step, numbers, source, place, tangent, g, target):
        if tangent:
            both(step, numbers, source, place, g, target)
        else:
            gap_alone(step, numbers, source, place, g, target)

    return chosen


def _or_else(number: int, first: Any, others: Any) -> Any:
    @joined
    def chosen(step, numbers, source, place, tangent, g, target):
        if step[FUNCTION] == number:
            first(step, numbers, source, place, tangent, g, target)
        else:
            others(step, numbers, source, place, tangent, g, target)

    return chosen
