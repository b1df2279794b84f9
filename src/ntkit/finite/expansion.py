"""Functions made of a function of parameters: its linearisation, its Taylor polynomials, centred and scaled forms."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ntkit.errors import InputError

Function = Callable[[Any, Any], Any]  # f(params, x) → (n, *outputs)


def linearize(f: Function, params: Any) -> Function:
    """The linearisation of f around parameters θ₀, f(θ₀, x) + J(x) (θ − θ₀).

    Its tangent kernel is that of f at θ₀ whatever θ: under gradient descent it moves as kernel regression does.

    Args:
        f: f(params, x) → (n, *outputs).
        params: θ₀.

    Returns:
        A function of (params, x) like f.

    Example:
        >>> import jax.numpy as jnp, ntkit as nk
        >>> line = nk.finite.linearize(lambda w, x: jnp.sin(w * x), 0.0)
        >>> float(line(0.5, jnp.array([2.0]))[0])
        1.0

    References:
        Lee et al. (2019), "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent", equation (5).
    """
    return taylor(f, params, 1)


def taylor(f: Function, params: Any, order: int) -> Function:
    """The Taylor polynomial Σ_{k ≤ order} (1/k!) ∂ᵏf(θ₀, x)[θ − θ₀, …] of f around parameters θ₀.

    Args:
        f: f(params, x) → (n, *outputs).
        params: θ₀.
        order: The largest k, ≥ 0; the cost doubles with each.

    Raises:
        InputError: The order is not a whole number of at least 0.

    Example:
        >>> import jax.numpy as jnp, ntkit as nk
        >>> cubic = nk.finite.taylor(lambda w, x: jnp.exp(w * x), 0.0, order=3)
        >>> float(cubic(1.0, jnp.array([1.0]))[0])  # 1 + 1 + 1/2 + 1/6
        2.6666667461395264
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise InputError(f"order must be a whole number of at least 0, found {order!r}")

    def polynomial(moved: Any, x: Any) -> Any:
        start = jax.tree.map(lambda a, b: jnp.asarray(a, jnp.result_type(a, b)), params, moved)
        step = jax.tree.map(lambda a, b: b - a, start, moved)

        def along(t: Any) -> Any:
            return f(jax.tree.map(lambda a, s: a + t * s, start, step), x)

        derivative, total = along, along(0.0)
        for k in range(1, order + 1):
            derivative = _slope(derivative)
            total = total + derivative(0.0) / math.factorial(k)
        return total

    return polynomial


def _slope(g: Callable) -> Callable:
    return lambda t: jax.jvp(g, (t,), (jnp.ones_like(t),))[1]


def centre(f: Function, params: Any) -> Function:
    """f(θ, x) − f(θ₀, x): zero at θ₀, with the same tangent kernel.

    Example:
        >>> import ntkit as nk
        >>> nk.finite.centre(lambda w, x: w * x, 2.0)(5.0, 1.0)
        3.0
    """
    return lambda moved, x: f(moved, x) - f(params, x)


def scale(f: Function, alpha: float) -> Function:
    """α f(θ, x): with losses and steps divided by α², training becomes lazy as α grows, if f(θ₀, x) = 0.

    Example:
        >>> import ntkit as nk
        >>> nk.finite.scale(lambda w, x: w * x, 10.0)(2.0, 1.0)
        20.0

    References:
        Chizat, Oyallon & Bach (2019), "On Lazy Training in Differentiable Programming", section 2.
    """
    return lambda moved, x: alpha * f(moved, x)
