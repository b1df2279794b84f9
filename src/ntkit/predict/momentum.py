"""A mode under gradient descent with momentum: powers of a matrix of order two, to full accuracy at any number of steps.

Let e be what is left of a mode, w the step η·v that momentum takes, and r the rate η(λ + ridge)/n of the mode. A step is

    w ← β w + r e,   e ← e − w                   (heavy ball)
    w ← β w + r e,   e ← e − r e − β w           (Nesterov)

that is (e, w) ← M (e, w), and from w = 0, e = 1 on, E = (Mᵏ)₀₀. Powers by squaring are exact to rounding for any r,
critical damping included, where the eigenvectors of M coincide. For slow modes 1 − E keeps its digits where I − Mᵏ
itself is doubled: I − M²ᵏ = 2N − N² with N = I − Mᵏ; and as its first row is divisible by r, what is doubled is the
row over r.
"""

import dataclasses
from collections.abc import Callable
from numbers import Real

import numpy as np
from jaxtyping import Float64

from ntkit.errors import InputError

# Entries of a matrix of order two, by rows, each an array over times and modes.
Entries = tuple[
    Float64[np.ndarray, "..."],
    Float64[np.ndarray, "..."],
    Float64[np.ndarray, "..."],
    Float64[np.ndarray, "..."],
]


@dataclasses.dataclass(frozen=True)
class Momentum:
    """Heavy ball or Nesterov, with momentum β."""

    beta: float
    nesterov: bool

    @property
    def limit(self) -> float:
        """The largest rate at which both eigenvalues of M lie in the unit circle."""
        return 2 * (1 + self.beta) / (1 + 2 * self.beta) if self.nesterov else 2 * (1 + self.beta)

    def remaining(
        self, rates: Float64[np.ndarray, " n"], steps: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        """E after finitely many steps."""
        beta, r = self.beta, rates
        one, ahead = np.ones_like(r), beta if self.nesterov else 1.0
        start = (1 - r - beta * r if self.nesterov else 1 - r, -beta * ahead * one, r, beta * one)
        identity = (np.ones_like(r + steps), 0 * (r + steps), 0 * (r + steps), np.ones_like(r + steps))
        return _power(start, identity, _times, steps)[0]

    def learnt_per_rate(
        self, rates: Float64[np.ndarray, " n"], steps: Float64[np.ndarray, "*times 1"]
    ) -> Float64[np.ndarray, "*times n"]:
        """(1 − E)/rate after finitely many steps; N = [[r a, r b], [c, d]] is kept as (a, b, c, d).

        w is counted in units of r, so that r divides the first row: M = [[1 − r, −β r], [1, β]].
        """
        beta, r = self.beta, rates
        one, ahead = np.ones_like(r), beta if self.nesterov else 1.0
        start = ((1 + beta if self.nesterov else 1.0) * one, beta * ahead * one, -one, (1 - beta) * one)
        nothing = tuple(0 * (r + steps) for _ in range(4))

        def joined(n: Entries, m: Entries) -> Entries:
            (a, b, c, d), (p, q, s, t) = n, m  # N + N′ − N N′, the first row over r
            return (
                a + p - (r * a * p + b * s),
                b + q - (r * a * q + b * t),
                c + s - (r * c * p + d * s),
                d + t - (r * c * q + d * t),
            )

        return _power(start, nothing, joined, steps)[0]


def _times(n: Entries, m: Entries) -> Entries:
    (a, b, c, d), (p, q, s, t) = n, m
    return a * p + b * s, a * q + b * t, c * p + d * s, c * q + d * t


def _power(
    start: Entries,
    nothing: Entries,
    join: Callable[[Entries, Entries], Entries],
    steps: Float64[np.ndarray, "*times 1"],
) -> Entries:
    """``start`` joined to itself as often as there are steps, by doubling."""
    left = steps.astype(np.int64)
    power, total = start, nothing
    while left.any():
        odd = left % 2 == 1
        new = join(total, power)
        total = tuple(np.where(odd, a, b) for a, b in zip(new, total, strict=True))  # type: ignore[assignment]
        left //= 2
        power = join(power, power)
    return total


def check_momentum(momentum: float) -> float:
    """The momentum, where it is one.

    Raises:
        InputError: it is not a number of at least 0 and below 1.

    Example:
        >>> from ntkit.predict.momentum import check_momentum
        >>> check_momentum(1.0)
        Traceback (most recent call last):
        ntkit.errors.InputError: momentum is 1.0; expected at least 0 and less than 1.
    """
    if not (isinstance(momentum, Real) and 0 <= momentum < 1):
        raise InputError(f"momentum is {momentum}; expected at least 0 and less than 1.")
    return float(momentum)
