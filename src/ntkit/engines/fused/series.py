"""Activations by Mehler's series: the Hermite coefficients of a function, as fields of the pixels.

E[f(u) f(v)] = Σ h_k(s) h_k(s') cᵏ with c the correlation, s and s' the standard deviations, and h_k(s) the coefficients
of f(s z) in normalised Hermite polynomials of a standard normal z. What the series leaves out is known: E[f(u)²] less the sum
of squares at the actual variances.

References:
    Daniely, Frostig, Singer (2016), "Toward deeper understanding of neural networks", section 4 (dual activations).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev, legendre

from ntkit.engines.fused.activations import TERMS
from ntkit.tape import NotOnTape

TOLERANCE = {"float32": 1e-6, "float64": 2e-8}  # of second moments, relative
_NODES = 40  # standard deviations at which the coefficients are integrated; polynomials lead from there to the pixels'


def coefficients(activation: Any, q: np.ndarray) -> np.ndarray:
    """h₀, and h_k/s for k = 1, …: (n, TERMS, height, width) for variances (n, height, width).

    They come from f and, for k ≥ 1, from its slope, so that they are right at s = 0 too.
    """
    s = np.sqrt(q)
    low, high = float(s.min()), float(s.max())
    high = max(high, low * (1 + 1e-6), 1e-6)
    points = chebyshev.chebpts1(_NODES)
    table = _integrate(activation, (low + high) / 2 + (high - low) / 2 * points)
    fit = chebyshev.chebfit(points, table, _NODES - 1)
    at = np.clip((2 * s - low - high) / (high - low), -1, 1)
    values = chebyshev.chebvander(at.reshape(-1), _NODES - 1) @ fit
    return np.moveaxis(values.reshape(*q.shape, TERMS), -1, 1)


def check_remainder(
    activation: Any, found: np.ndarray, q: np.ndarray, second: np.ndarray, slope: np.ndarray, dtype: np.dtype
) -> None:
    """Raise where the series leaves out more than TOLERANCE.

    Args:
        activation: The function.
        found: Its coefficients, (n, TERMS, height, width).
        q: Variances before it.
        second: E[f(u)²] by its closed form or quadrature.
        slope: E[f'(u)²] alike.
        dtype: The precision of the kernel.

    Raises:
        NotOnTape: With the variance at which it does.
    """
    squares = found**2
    of_second = squares[:, 0] + q * squares[:, 1:].sum(axis=1)
    of_slope = np.einsum("nkyx,k->nyx", squares, np.arange(float(TERMS)))
    left = np.maximum(_relative(second, of_second), _relative(slope, of_slope))
    worst = np.unravel_index(np.argmax(left), left.shape)
    if not left[worst] <= TOLERANCE[dtype.name]:
        raise NotOnTape(
            f"{type(activation).__name__} at variance {q[worst]:.3g}, where {TERMS} terms of its series leave an error of "
            f"{left[worst]:.1g} (at most {TOLERANCE[dtype.name]:.0e} in {dtype.name})"
        )


def _relative(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.abs(expected - found) / np.maximum(np.abs(expected), np.finfo(np.float64).tiny)


@functools.cache
def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes z, and (TERMS, nodes) normalised Hermite polynomials times the normal density and the weights."""
    edges = np.linspace(-12, 12, 49)  # one of them 0, where functions have kinks
    nodes, weights = legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    z = ((edges[:-1] + edges[1:])[:, None] / 2 + half * nodes).reshape(-1)
    density = (half * weights).reshape(-1) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    rows = [density, z * density]
    for k in range(1, TERMS - 1):
        rows.append((z * rows[k] - np.sqrt(k) * rows[k - 1]) / np.sqrt(k + 1))
    return z, np.stack(rows)


def _integrate(activation: Any, deviations: np.ndarray) -> np.ndarray:
    """(deviations, TERMS)."""
    z, hermite = _rule()
    with jax.enable_x64(True):
        x = jnp.asarray(deviations[:, None] * z)
        value, slope = (np.asarray(v) for v in jax.jvp(activation.fn, (x,), (jnp.ones_like(x),)))
    orders = np.sqrt(np.arange(1, TERMS))
    return np.concatenate([value @ hermite[:1].T, slope @ hermite[:-1].T / orders], axis=1)
