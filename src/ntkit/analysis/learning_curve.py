"""Learning curves from one kernel: the loss that kernel regression on n examples will have, before any is drawn."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq

from ntkit.analysis.population import Population
from ntkit.errors import InputError
from ntkit.solve.arrays import non_negative


class ExpectedLoss(NamedTuple):
    """What is expected of kernel regression on n examples. Losses are means over examples of ½‖f − y‖².

    Attributes:
        n: training examples.
        threshold: κ. Modes with eigenvalues above it are learnt, those below are not.
        learnability: (k,) L = λ/(λ + κ), which part of the target in each mode is learnt; Σ L ≤ n.
        overfitting: E₀, by which the loss exceeds that of a learner with the same L whose coefficients do not fluctuate.
        loss: over the population, against targets without noise.
        train_loss: on the training examples, against the noisy targets.
    """

    n: int
    threshold: float
    learnability: Float64[np.ndarray, " k"]
    overfitting: float
    loss: float
    train_loss: float


def expected_loss(population: Population, n: int, *, ridge: float = 0.0, noise: float = 0.0) -> ExpectedLoss:
    r"""The expected loss of kernel regression on n examples of a population.

    κ is where Σ L + (ridge/κ)(1 − Σ L/M) = n, M being the size of the population. L, the overfitting
    E₀ = 1 + (1 − s) Σ L²/[(1 − s)(Σ L − Σ L²) + n − Σ L] with s = ridge/(M κ), and the loss ½ E₀ Σ (1 − L)² v² follow.

    It holds as n and the number of modes that matter grow together, for features that behave as Gaussian ones would.
    For smooth kernels on real data it is close; where the loss is a small part of the targets it is not to be trusted.

    Args:
        population: of all examples.
        n: how many are drawn, at least 1 and at most its size.
        ridge: absolute, at least 0.
        noise: variance of what is added to every output of every training target.

    Raises:
        InputError: n is no such number; or ridge or noise are negative.

    Example:
        >>> from ntkit.analysis import distribution, expected_loss
        >>> found = expected_loss(distribution([1.0], [2.0], [100]), 25)
        >>> found.learnability.tolist(), round(found.overfitting, 12), round(found.loss, 12)
        ([0.25], 1.333333333333, 0.75)

    References:
        Simon, Dickens, Karkada and DeWeese, "The eigenlearning framework: a conservation law perspective on kernel
        regression and wide neural networks", 2023, eqs. 4–10; Bordelon, Canatar and Pehlevan, "Spectrum dependent
        learning curves in kernel regression and wide neural networks", 2020. Draws without replacement from a finite
        population follow in the same way from the eigenvalues of a random principal submatrix, which is free
        compression; for M = ∞ the formulas are theirs.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= population.size:
        raise InputError(
            f"n is {n}; expected a whole number from 1 to {population.size:g}, the size of the population."
        )
    non_negative(ridge, "ridge")
    non_negative(noise, "noise")
    kappa = _threshold(population, n, ridge)
    values, count, size = population.eigenvalues, population.multiplicity, population.size
    learnt = np.divide(values, values + kappa, out=np.zeros_like(values), where=values > 0)
    left = 1 - learnt
    total, squares = float(count @ learnt), float(count @ learnt**2)
    # The mean of (1 − L)² over all M modes, those of eigenvalue 0 included.
    unlearnt = 1.0 if math.isinf(size) else 1 - (2 * total - squares) / size
    r = (n - total) / (1 - total / size) if total < size else 0.0  # ridge/κ, also where κ is 0
    spread = total - squares + r * unlearnt
    excess = _ratio((1 - r / size) * squares, spread)
    misfit = float(population.power @ left**2)
    of_noise = squares / size + _product(excess, unlearnt)
    at_train = _ratio(r * (n - total), n * spread)
    return ExpectedLoss(
        n=int(n),
        threshold=kappa,
        learnability=learnt,
        overfitting=1 + excess,
        loss=(_product(1 + excess, misfit) + _product(of_noise, noise)) / 2,
        train_loss=at_train * (misfit + unlearnt * noise) / 2,
    )


def _threshold(population: Population, n: int, ridge: float) -> float:
    """κ, by bisection of its logarithm between bounds that follow from 0 ≤ Σ L ≤ min(n, Σ λ/κ)."""
    values, count, size = population.eigenvalues, population.multiplicity, population.size
    if n == size:
        return ridge / size
    if ridge == 0 and n >= population.rank:
        return 0.0

    def excess(logarithm: float) -> float:
        kappa = math.exp(logarithm)
        total = float(count @ (values / (values + kappa)))
        return total + ridge / kappa * (1 - total / size) - n

    high = (float(count @ values) + ridge) / n
    rank, least = population.rank, float(values[values > 0].min(initial=math.inf))
    low = max(ridge * (1 - n / size) / n, least * (rank / n - 1) if rank > n else 0.0)
    return math.exp(brentq(excess, math.log(low) - 1e-9, math.log(high) + 1e-9, xtol=1e-14, rtol=1e-14))


def _ratio(above: float, below: float) -> float:
    """above/below; at 0/0, where nothing is left to be learnt, 0."""
    if below > 0:
        return above / below
    return math.inf if above > 0 else 0.0


def _product(factor: float, value: float) -> float:
    """0 where either is, an infinite factor of nothing included."""
    return factor * value if value > 0 else 0.0
