"""Error bars of expected losses: the experiment of the theory, with features that are Gaussian, carried out."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from ntkit.analysis.population import Population
from ntkit.errors import InputError
from ntkit.solve.arrays import non_negative

MODES = 4000  # modes with features of their own; what the others add is nearly a ridge


class SimulatedLoss(NamedTuple):
    """Losses over draws of the training examples.

    Attributes:
        mean: over draws; near `expected_loss`, which is its limit for many modes and examples.
        spread: their standard deviation: the error bar of one experiment.
        error: standard error of the mean.
    """

    mean: float
    spread: float
    error: float


def simulated_loss(
    population: Population, n: int, *, ridge: float = 0.0, noise: float = 0.0, draws: int = 20, seed: int = 0
) -> SimulatedLoss:
    r"""The loss of kernel regression on n draws of Gaussian features φ_i ~ N(0, 1) with K(x, x') = Σ λ_i φ_i(x) φ_i(x').

    Args:
        population: of all examples; a finite one is taken as if it were infinite, so n has to be a small part of it.
        n: training examples, at least 1.
        ridge: absolute, at least 0.
        noise: variance of what is added to the training targets.
        draws: at least 2.
        seed: of the draws.

    Raises:
        InputError: a number is out of range.

    Example:
        >>> from ntkit.analysis import distribution, expected_loss, simulated_loss
        >>> modes = distribution([1.0, 0.01], [1.0, 1.0], [50, 400])
        >>> found, theory = simulated_loss(modes, 100, ridge=1.0), expected_loss(modes, 100, ridge=1.0)
        >>> abs(found.mean - theory.loss) < 5 * found.error
        True

    References:
        Simon et al., "The eigenlearning framework", 2023, section 3 (the Gaussian design); Bordelon, Canatar and Pehlevan,
        "Spectrum dependent learning curves in kernel regression and wide neural networks", 2020.
    """
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in (n, draws))
    if not whole or n < 1 or draws < 2:
        raise InputError(f"n is {n} and draws is {draws}; expected whole numbers of at least 1 and 2.")
    non_negative(ridge, "ridge")
    non_negative(noise, "noise")
    values, coefficients, tail, lost = _modes(population)
    generator = np.random.default_rng(seed)
    losses = []
    for _ in range(draws):
        features = generator.normal(size=(n, len(values)))
        # Power beyond the modes that are drawn acts as noise, their part of the kernel as a ridge.
        y = features @ coefficients + (noise + lost) ** 0.5 * generator.normal(size=n)
        kernel = (features * values) @ features.T
        kernel[np.diag_indices(n)] += ridge + tail
        weights = scipy.linalg.solve(kernel, y, assume_a="pos")
        missed = coefficients - values * (features.T @ weights)
        losses.append((missed @ missed + lost) / 2)
    spread = float(np.std(losses, ddof=1))
    return SimulatedLoss(float(np.mean(losses)), spread, spread / draws**0.5)


def _modes(population: Population) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Eigenvalues and coefficients one by one, largest first, and the trace and the power of what is left out."""
    order = np.argsort(population.eigenvalues)[::-1]
    values, count, power = (
        np.asarray(a)[order] for a in (population.eigenvalues, population.multiplicity, population.power)
    )
    kept = np.cumsum(count) <= MODES
    each = count[kept].astype(int)
    coefficients = np.zeros(each.sum())
    coefficients[np.cumsum(each) - each] = np.sqrt(
        power[kept]
    )  # rotations within an eigenspace change nothing
    tail = float(count[~kept] @ values[~kept])
    return np.repeat(values[kept], each), coefficients, tail, float(power[~kept].sum())
