"""The law of activations that needs no sampling: dual and slope are the moments of the function itself."""

import jax
import jax.numpy as jnp
import numpy as np

from ntkit.activations import Activation
from ntkit.moments import BivariateNormal
from ntkit.testing.subject import Subject

_REACH, _NODES = 8.5, 340  # of the midpoint rule along each of two standard normal variables
_TOLERANCE = 6e-3  # of √(moment(u, u)·moment(v, v)): what a kink or a jump costs the rule
_LAWS = ((1.0, 1.0, 0.6), (0.3, 1.2, -0.5), (0.8, 0.4, 0.95), (1.0, 0.5, 0.0))  # Var u, Var v, correlation


def duals_are_moments_of_the_function(subject: Subject) -> None:
    """Of an activation, `dual` is E[f(u) f(v)] and `dual_slope` E[f'(u) f'(v)], integrated over the plane."""
    f = subject.layer
    if not isinstance(f, Activation):
        return
    with jax.enable_x64(True):
        moments = dict(zip(("dual", "dual_slope"), map(np.asarray, _moments(f, _pairs())), strict=True))
    for k, law in enumerate(_LAWS):
        for order, name in enumerate(moments):
            if order == 1 and f.discontinuous:
                continue
            found = float(moments[name][k])
            expected, scale = _integrals(f, order, *law)
            if abs(found - expected) > _TOLERANCE * scale:
                subject.fail(
                    "duals_are_moments_of_the_function",
                    f"at variances {law[0]} and {law[1]} and correlation {law[2]}, {name} is {found:.6g}, the integral "
                    f"{expected:.6g}",
                )


@jax.jit
def _moments(f: Activation, pairs: BivariateNormal) -> tuple[jax.Array, jax.Array]:
    return f.dual(pairs), f.dual_slope(pairs)


def _pairs() -> BivariateNormal:
    var1, var2, correlation = np.array(_LAWS).T
    cov = correlation * np.sqrt(var1 * var2)
    return BivariateNormal(*map(jnp.asarray, (var1, var2, cov, var1 + var2 - 2 * cov)))


def _integrals(
    f: Activation, order: int, var1: float, var2: float, correlation: float
) -> tuple[float, float]:
    """E[g(u) g(v)] and √(E[g(u)²] E[g(v)²]), g = f or f'."""
    step = 2 * _REACH / _NODES
    z = -_REACH + step * (np.arange(_NODES) + 0.5)
    weight = step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    u = np.sqrt(var1) * z[:, None]
    v = np.sqrt(var2) * (correlation * z[:, None] + np.sqrt(1 - correlation**2) * z)
    a, b = _values(f, order, u), _values(f, order, v)
    plane = weight[:, None] * weight
    return float(np.sum(plane * a * b)), float(np.sqrt(np.sum(plane * a**2) * np.sum(plane * b**2)))


def _values(f: Activation, order: int, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        points = jnp.asarray(x)
        values, derivatives = jax.jvp(f.fn, (points,), (jnp.ones_like(points),))
        return np.asarray(derivatives if order else values)
