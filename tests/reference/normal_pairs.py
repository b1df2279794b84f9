"""Pairs of normal variables on which formulas of two of them lose digits, with their exact moments."""

import dataclasses

import mpmath as mp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Arrays of moments, and beside them the covariances that they stand for, to 80 digits."""

    var1: np.ndarray
    var2: np.ndarray
    cov: np.ndarray
    gap: np.ndarray
    exact_cov: tuple

    @property
    def exact(self):
        """The triples (var1, var2, cov), exactly."""
        return [
            (mp.mpf(float(a)), mp.mpf(float(b)), c)
            for a, b, c in zip(self.var1, self.var2, self.exact_cov, strict=True)
        ]

    def take(self, chosen):
        """The pairs of a mask."""
        kept = tuple(c for c, keep in zip(self.exact_cov, chosen, strict=True) if keep)
        return Pairs(self.var1[chosen], self.var2[chosen], self.cov[chosen], self.gap[chosen], kept)


def at_correlation(var1: float, var2: float, correlation: float):
    """A pair whose covariance is the datum; its gap is rounded from it."""
    bound = np.sqrt(var1) * np.sqrt(var2)
    cov = float(correlation * bound)
    while mp.mpf(cov) ** 2 > mp.mpf(var1) * mp.mpf(var2):
        cov = float(np.nextafter(cov, 0.0))
    return var1, var2, cov, float(mp.mpf(var1) + mp.mpf(var2) - 2 * mp.mpf(cov)), mp.mpf(cov)


def at_distance(var1: float, relative: float, direction: float):
    """A pair whose gap is the datum, `relative`²·var1; v − u makes the angle `direction` with u; cov is rounded."""
    var2 = var1 * ((1 + relative * np.cos(direction)) ** 2 + (relative * np.sin(direction)) ** 2)
    gap = var1 * relative**2
    cov = (mp.mpf(var1) + mp.mpf(var2) - mp.mpf(gap)) / 2
    return var1, float(var2), float(cov), gap, cov


def pairs(rows) -> Pairs:
    """Rows of `at_correlation` and `at_distance` as arrays."""
    *floats, exact = zip(*rows, strict=True)
    return Pairs(*(np.array(column, dtype=float) for column in floats), tuple(exact))


def grid() -> Pairs:
    """Variances from 0 to 1e4, correlations up to ±1, distances down to 1e-10 of the norm."""
    rows = []
    for var1 in (1e-6, 1e-2, 1.0, 4.0, 1e4):
        for relative in (1e-10, 1e-6, 1e-3, 0.03, 0.5):
            rows += [at_distance(var1, relative, direction) for direction in (0.2, 1.5, 2.5)]
        for var2 in (0.0, 1e-6, 0.7 * var1, var1, 1e4):
            rows += [at_correlation(var1, var2, c) for c in (-0.999, -0.6, 0.0, 0.3, 0.9)]
        rows += [at_correlation(var1, var1, c) for c in (-1.0, -1 + 1e-8, 1.0)]
    rows += [at_correlation(0.0, 0.0, 0.0), at_correlation(0.0, 1.0, 0.0)]
    return pairs(rows)
