"""`Ladder`, a function with its derivatives and what is known of them, as the quadrature takes it."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.quadrature.panels import NORMAL, Function, Resolution, smoothed


@dataclass(frozen=True, eq=False)
class Ladder:
    """A function f and those of its derivatives that are given; the further ones come by autodiff.

    Attributes:
        functions: f, f', …, each called as `f(x, *parameters)` elementwise, the parameters being scalars.
        breaks: The points where f or a derivative of it jumps, or near which f varies fastest.
        smooth: Closed forms where there are any: `smooth(k)` is None or a function of (x, s, *parameters), the mean
            of the k-th derivative (jumps of lower ones left out) over a normal variable of mean x and deviation s.
        order: How often f was differentiated to reach `functions[0]`.
    """

    functions: tuple[Function, ...]
    breaks: tuple[float, ...]
    smooth: Callable[[int], Function | None] | None = None
    order: int = 0

    @property
    def fn(self) -> Function:
        """The function at the foot of the ladder."""
        return self.functions[0]

    @property
    def derivative(self) -> "Ladder":
        """The ladder of the derivative between the breaks."""
        rest = self.functions[1:] or (elementwise_derivative(self.fn),)
        return Ladder(rest, self.breaks, self.smooth, self.order + 1)

    def by_parameter(self, index: int) -> "Ladder":
        """The ladder of the derivative by a parameter."""
        fn = self.fn

        def partial(x: Array, *parameters: Array) -> Array:
            def at(value: Array) -> Array:
                return fn(x, *parameters[:index], value, *parameters[index + 1 :])

            return jax.jvp(at, (parameters[index],), (jnp.ones_like(parameters[index]),))[1]

        return Ladder((partial,), self.breaks)

    def mean(self, x: Array, std: Array, parameters: tuple[Array, ...], rule: Resolution = NORMAL) -> Array:
        """E[f(x + std·w)], w standard normal: in closed form where there is one."""
        closed = self.smooth(self.order) if self.smooth else None
        if closed is not None:
            return closed(x, std, *parameters)
        return smoothed(lambda t: self.fn(t, *parameters), x, std, self.breaks, rule)

    def jumps(self, parameters: tuple[Array, ...], dtype: jnp.dtype) -> list[tuple[float, Array]]:
        """(b, f(b+) − f(b−)) at the breaks; without parameters, those that do not jump are left out."""
        if not parameters:
            with jax.ensure_compile_time_eval():
                every = [(b, self._jump(b, (), dtype)) for b in self.breaks]
                return [(b, jump) for b, jump in every if float(jump) != 0]
        return [(b, self._jump(b, parameters, dtype)) for b in self.breaks]

    def _jump(self, at: float, parameters: tuple[Array, ...], dtype: jnp.dtype) -> Array:
        eps = float(jnp.finfo(dtype).eps)
        step = 8 * eps * max(1.0, abs(at))
        high, low = (self.fn(jnp.asarray(at + s, dtype), *parameters) for s in (step, -step))
        rounding = 1e3 * eps * (1 + jnp.abs(high) + jnp.abs(low))
        return jnp.where(jnp.abs(high - low) > rounding, high - low, 0.0)


def elementwise_derivative(fn: Function) -> Function:
    """The derivative of an elementwise function, by forward differentiation."""

    def derivative(x: Array, *parameters: Array) -> Array:
        return jax.jvp(lambda t: fn(t, *parameters), (x,), (jnp.ones_like(x),))[1]

    return derivative
