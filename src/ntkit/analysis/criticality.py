"""Order and chaos of deep dense networks: fixed points of variance and correlation, and the edge between the phases."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from ntkit.activations import Activation
from ntkit.errors import InputError
from ntkit.kernels import diagonal, nngp
from ntkit.layers import Dense
from ntkit.solve.arrays import finite_array, non_negative

LOW, HIGH, GRID = 1e-10, 1e6, 1600  # variances that are looked at
MARGINAL = 1e-7
STEP = 1e-3  # of an angle, in differences of order four


class Phase(NamedTuple):
    """Where an infinitely deep dense network of these weights ends up.

    Attributes:
        variance: q*, that of every unit in the end: 0 where it dies out, infinite where it grows for ever.
        slope: χ₁ = w_std² E[φ′(√q* z)²], by which a small difference of two inputs grows from layer to layer.
        correlation: c* to which that of any two inputs tends; 1 in the ordered phase.
        variance_depth: ξ_q, layers in which a deviation of the variance falls by a factor of e.
        correlation_depth: ξ_c, the same of the correlation: how deep inputs remain distinguishable, or become so alike
            that they do not. Infinite at the edge.
    """

    variance: float
    slope: float
    correlation: float
    variance_depth: float
    correlation_depth: float

    @property
    def name(self) -> str:
        """One of "ordered", "chaotic", and within 1e-6 of the edge "critical"."""
        if abs(self.slope - 1) <= 1e-6:
            return "critical"
        return "ordered" if self.slope < 1 else "chaotic"


def phase(activation: Activation, w_std: float, b_std: float = 0.0) -> Phase:
    r"""The phase of Dense(w_std, b_std) >> activation, repeated for ever.

    The variance obeys q ← w_std² E[φ(√q z)²] + b_std², the correlation at q* likewise. Of several stable variances the
    one that inputs of variance 1 tend to counts.

    Args:
        activation: the nonlinearity.
        w_std: of the weights, above 0.
        b_std: of the biases, at least 0.

    Raises:
        InputError: a value is out of range.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.analysis import phase
        >>> phase(nk.Tanh(), 1.0, 0.3).name, phase(nk.Tanh(), 2.0, 0.3).name
        ('ordered', 'chaotic')

    References:
        Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli, "Exponential expressivity in deep neural networks through
        transient chaos", 2016, eqs. 3–6; Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information propagation", 2017,
        eqs. 5, 7 and 9.
    """
    if not (w_std > 0 and math.isfinite(w_std)):
        raise InputError(f"w_std is {w_std}; expected a positive number.")
    non_negative(b_std, "b_std")
    table = _Table(activation)
    q, stability, slope = table.at(w_std**2, b_std**2)
    if not 0 < q < math.inf:
        return Phase(q, slope, 1.0 if slope <= 1 else math.nan, _depth(stability), _depth(slope))
    c, at = _correlation(activation, q, w_std**2, b_std**2, slope)
    return Phase(q, slope, c, _depth(stability), _depth(at))


def phase_diagram(activation: Activation, w_std: ArrayLike, b_std: ArrayLike) -> Float64[np.ndarray, "b w"]:
    r"""χ₁ over a grid of weights and biases: order below 1, chaos above.

    Args:
        activation: the nonlinearity.
        w_std: (w,) of the weights, above 0.
        b_std: (b,) of the biases, at least 0.

    Raises:
        InputError: a shape is wrong, or a value is out of range.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.analysis import phase_diagram
        >>> (phase_diagram(nk.Erf(), [0.5, 1.0, 2.0], [0.0, 0.5]) > 1).tolist()
        [[False, True, True], [False, False, True]]

    References:
        As for `phase`.
    """
    weights, biases = finite_array(w_std, "w_std"), finite_array(b_std, "b_std")
    if weights.ndim != 1 or biases.ndim != 1 or (weights <= 0).any() or (biases < 0).any():
        raise InputError(
            f"w_std and b_std have shapes {weights.shape} and {biases.shape}; expected (w,) above 0 and (b,) of at least 0."
        )
    table = _Table(activation)
    return np.array([[table.at(w**2, b**2)[2] for w in weights] for b in biases])


def critical(activation: Activation, b_std: float = 0.0) -> float:
    r"""The w_std of the edge of chaos, where χ₁ = 1.

    On the edge w_std² = 1/E[φ′²] and b_std² = q − E[φ²]/E[φ′²], both at q = q*; the second is solved for q.

    Args:
        activation: the nonlinearity.
        b_std: of the biases, at least 0.

    Raises:
        InputError: b_std is negative, or there is no edge at it, as for ReLU with biases.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.analysis import critical
        >>> round(critical(nk.Relu()) ** 2, 6), round(critical(nk.Tanh()), 6)
        (2.0, 1.0)

    References:
        Schoenholz et al., "Deep information propagation", 2017, section 3; Hayou, Doucet and Rousseau, "On the impact of
        the activation function on deep neural networks training", 2019, proposition 2 and table 1.
    """
    non_negative(b_std, "b_std")
    table = _Table(activation)

    def beyond(log_q: float) -> float:
        q = math.exp(log_q)
        return q - table.square(q) / table.slope(q) - b_std**2

    if b_std == 0 and abs(beyond(math.log(LOW))) <= MARGINAL * LOW:
        # Variance 0 stays 0; or φ is homogeneous, and any variance stays.
        return float(table.slope(LOW) ** -0.5)
    grid = np.log(np.geomspace(LOW, HIGH, GRID))
    ends = np.array([beyond(x) for x in grid])
    rising = np.flatnonzero((ends[:-1] <= 0) & (ends[1:] > 0))
    if len(rising) == 0:
        raise InputError(
            f"{type(activation).__name__} has no edge of chaos at b_std = {b_std}: no variance is a fixed point of it. "
            "Pass another b_std."
        )
    log_q = brentq(beyond, grid[rising[0]], grid[rising[0] + 1], xtol=1e-13)
    return float(table.slope(math.exp(log_q)) ** -0.5)


class _Table:
    """E[φ²] and E[φ′²] of a Gaussian of variance q, from a grid in log q."""

    def __init__(self, activation: Activation):
        grid = np.geomspace(LOW, HIGH, GRID)
        pair = diagonal(Dense(1) >> activation >> Dense(1, w_lr=0.0), np.sqrt(grid)[:, None])
        square, slope = np.asarray(pair.nngp), np.asarray(pair.ntk) / grid
        self._square = CubicSpline(np.log(grid), square / grid)
        self._slope = CubicSpline(np.log(grid), slope)

    def square(self, q: float) -> float:
        """E[φ(√q z)²]."""
        return q * float(self._square(math.log(q)))

    def slope(self, q: float) -> float:
        """E[φ′(√q z)²]."""
        return float(self._slope(math.log(q)))

    def at(self, w: float, b: float) -> tuple[float, float, float]:
        """q*, V′(q*) and χ₁ at it; w and b are variances."""
        q, stability = self.fixed_point(w, b)
        return q, stability, w * self.slope(min(max(q, LOW), HIGH))

    def fixed_point(self, w: float, b: float) -> tuple[float, float]:
        """q* to which variance 1 tends, and the slope of the map there; w and b are variances."""
        start, grid = 0.0, np.log(np.geomspace(LOW, HIGH, GRID))
        excess = w * self._square(grid) + b * np.exp(-grid) - 1  # (V(q) − q)/q
        here = w * float(self._square(start)) + b - 1
        if abs(here) <= MARGINAL:
            return 1.0, self._stability(1.0, w)
        up = here > 0
        onwards = (
            np.flatnonzero((grid > start) & (excess <= 0))
            if up
            else np.flatnonzero((grid < start) & (excess >= 0))
        )
        if len(onwards) == 0:
            end = math.inf if up else 0.0
            return end, self._stability(HIGH if up else LOW, w)
        near = int(onwards[0] if up else onwards[-1])
        log_q = brentq(
            lambda x: w * float(self._square(x)) + b * math.exp(-x) - 1,
            *sorted((grid[near], max(grid[near - 1], start) if up else min(grid[near + 1], start))),
            xtol=1e-14,
        )
        return math.exp(log_q), self._stability(math.exp(log_q), w)

    def _stability(self, q: float, w: float) -> float:
        """V′(q)."""
        x = math.log(q)
        return w * (float(self._square(x)) + float(self._square(x, 1)))


def _correlation(activation: Activation, q: float, w: float, b: float, slope: float) -> tuple[float, float]:
    """c* and the slope of the correlation's map there."""
    if slope <= 1 + MARGINAL:
        return 1.0, slope

    def excess(angles: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        return _next(activation, q, w, b, angles) - np.cos(angles)

    angles = np.linspace(0, math.pi, 800)[1:]
    # Beside c = 1 the map lies below c, and at c = −1 nowhere can; in between it crosses once.
    last = max(int(np.flatnonzero(excess(angles) >= 0)[0]), 1)
    angle = brentq(lambda a: float(excess(np.array([a]))[0]), angles[last - 1], angles[last], xtol=1e-12)
    around = _next(activation, q, w, b, angle + STEP * np.array([-2.0, -1.0, 1.0, 2.0]))
    change = float(around @ np.array([1.0, -8.0, 8.0, -1.0])) / (12 * STEP)
    return math.cos(angle), -change / math.sin(angle)


def _next(
    activation: Activation, q: float, w: float, b: float, angles: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """The correlation of the next layer, of inputs at these angles."""
    x = math.sqrt(2 * q) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    start = np.array([[math.sqrt(2 * q), 0.0]])
    return (w * np.asarray(nngp(Dense(1) >> activation >> Dense(1), start, x))[0] + b) / q


def _depth(slope: float) -> float:
    """−1/log of a slope: infinite at 1, negative where deviations grow."""
    if slope <= 0:
        return 0.0
    logarithm = math.log(slope)
    return math.inf if abs(logarithm) < MARGINAL else -1 / logarithm
