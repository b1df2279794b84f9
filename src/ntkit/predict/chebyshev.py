"""A stabilised explicit method for flows of losses: Runge–Kutta–Chebyshev of order two, as a solver of diffrax.

The flow of a convex loss is stiff, and its Jacobian −Θ H has real eigenvalues of at least −ρ. An explicit method of s
stages that spends them on stability is stable up to steps of 0.65 s²/ρ: to go far costs the square root of what it
costs a classical method, without a linear system.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array

DAMPING = 2 / 13
MARGIN = 1.2  # on the estimate of ρ, which comes from below
MOST_STAGES = 400
WARM_UP = 10  # products for the first estimate of ρ; one a step after that

Y = Any


class _State(NamedTuple):
    """The derivative at the start of a step, and a vector close to the eigenvector of the largest eigenvalue."""

    derivative: Y
    direction: Y


class Chebyshev(diffrax.AbstractSolver[_State]):
    """Runge–Kutta–Chebyshev of order two with a number of stages that follows the step, for autonomous equations.

    Where the Jacobian's eigenvalues are not real, as with momentum, a method such as `diffrax.Tsit5` is right instead.

    Example:
        >>> import diffrax
        >>> from ntkit.predict.chebyshev import Chebyshev
        >>> decay, control = diffrax.ODETerm(lambda t, y, args: -y), diffrax.PIDController(1e-5, 1e-5)
        >>> end = diffrax.diffeqsolve(decay, Chebyshev(), 0.0, 1.0, None, 1.0, stepsize_controller=control)
        >>> round(float(end.ys[0]), 3)
        0.368

    References:
        Sommeijer, Shampine and Verwer, "RKC: an explicit solver for parabolic PDEs", 1998, eqs. 2.1–2.11.
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation

    def order(self, terms: Any) -> int:
        return 2

    def error_order(self, terms: Any) -> int:
        return 3

    def init(self, terms: Any, t0: Any, t1: Any, y0: Y, args: Any) -> _State:
        derivative = terms.vf(t0, y0, args)

        def once(_: Any, direction: Y) -> Y:
            return _amplify(terms, t0, y0, args, direction)[1]

        return _State(derivative, jax.lax.fori_loop(0, WARM_UP, once, _normed(derivative, y0)[1]))

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Y, args: Any, solver_state: _State, made_jump: Any
    ) -> tuple[Y, Y, dict[str, Y], _State, Any]:
        h, first = t1 - t0, solver_state.derivative
        largest, direction = _amplify(terms, t0, y0, args, solver_state.direction)
        stages = jnp.floor(1 + jnp.sqrt(1 + 1.54 * jnp.abs(h) * MARGIN * largest))
        stages = jnp.clip(stages, 2, MOST_STAGES)
        y1 = _stages(lambda y: terms.vf(t0, y, args), y0, first, h, stages)
        last = terms.vf(t1, y1, args)
        error = jax.tree.map(lambda a, b, f, g: 0.8 * (a - b) + 0.4 * h * (f + g), y0, y1, first, last)
        scale = jax.tree.map(lambda f: h * f, (first, last))
        dense = {"y0": y0, "y1": y1, "k0": scale[0], "k1": scale[1]}
        return y1, error, dense, _State(last, direction), diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Y, args: Any) -> Y:
        return terms.vf(t0, y0, args)


def _amplify(terms: Any, t: Any, y: Y, args: Any, direction: Y) -> tuple[Array, Y]:
    """A step of the power method for the Jacobian at y: its growth, and the new direction."""
    _, product = jax.jvp(lambda y: terms.vf(t, y, args), (y,), (direction,))
    return _normed(product, direction)


def _normed(vector: Y, otherwise: Y) -> tuple[Array, Y]:
    """The norm of a vector, and the vector over it; where that is 0, the other one."""
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(vector)))
    safe = jnp.where(norm > 0, norm, 1.0)
    return norm, jax.tree.map(lambda v, o: jnp.where(norm > 0, v / safe, o), vector, otherwise)


class _Stage(NamedTuple):
    """Two stages, and Chebyshev polynomials T and their first two derivatives at the two of them."""

    before: Y
    now: Y
    t: tuple[Array, Array]
    slope: tuple[Array, Array]
    bend: tuple[Array, Array]
    b: tuple[Array, Array]


def _stages(field: Callable[[Y], Y], y0: Y, first: Y, h: Array, stages: Array) -> Y:
    w0 = 1 + DAMPING / stages**2
    w1 = _slope_over_bend(w0, stages)
    b1 = b2 = 1 / (4 * w0**2)  # T″₂/(T′₂)² = 4/(4 w0)²
    start = _Stage(
        y0,
        jax.tree.map(lambda y, f: y + b1 * w1 * h * f, y0, first),
        (jnp.ones_like(w0), w0),
        (jnp.zeros_like(w0), jnp.ones_like(w0)),
        (jnp.zeros_like(w0), jnp.zeros_like(w0)),
        (b2, b1),
    )

    def advance(_: Any, s: _Stage) -> _Stage:
        t = 2 * w0 * s.t[1] - s.t[0]
        slope = 2 * w0 * s.slope[1] + 2 * s.t[1] - s.slope[0]
        bend = 2 * w0 * s.bend[1] + 4 * s.slope[1] - s.bend[0]
        b = bend / slope**2
        mu, nu, tilted = 2 * b * w0 / s.b[1], -b / s.b[0], 2 * b * w1 / s.b[1]
        gamma = -(1 - s.b[1] * s.t[1]) * tilted
        new = jax.tree.map(
            lambda y, now, before, f, g: (1 - mu - nu) * y + mu * now + nu * before + h * (tilted * f + gamma * g),
            y0, s.now, s.before, field(s.now), first,
        )  # fmt: skip
        return _Stage(s.now, new, (s.t[1], t), (s.slope[1], slope), (s.bend[1], bend), (s.b[1], b))

    return jax.lax.fori_loop(2, stages.astype(int) + 1, advance, start).now


def _slope_over_bend(w0: Array, stages: Array) -> Array:
    """T′(w0)/T″(w0) of the Chebyshev polynomial of this degree, at w0 > 1, by hyperbolic functions."""
    angle = jnp.arccosh(w0)
    value, slope = jnp.cosh(stages * angle), stages * jnp.sinh(stages * angle) / jnp.sinh(angle)
    return slope * (w0**2 - 1) / (stages**2 * value - w0 * slope)
