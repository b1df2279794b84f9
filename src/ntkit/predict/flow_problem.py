"""The differential equation of a flow on a loss, and which method suits it."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.losses import HINGE, Loss
from ntkit.predict.chebyshev import Chebyshev
from ntkit.predict.products import product
from ntkit.predict.stops import Stop

PRODUCTS = 20  # of the power method, for the largest rate


class Problem(eqx.Module):
    """What the vector field is made of.

    The state is (f, α): outputs, whose error is looked at, and coefficients, f = f₀ + Θ α, which test outputs need. Both are the same
    combinations of the same products, so that to carry both costs no product. With momentum it is ((f, α), its time derivative).

    Attributes:
        kernel: an array or a function, see `product`.
        y: (n, o).
        start: (n, o).
        loss: the loss.
        flat: whether the caller's targets were (n,).
        learning_rate: η.
        damping: 1 − β; None without momentum.
    """

    kernel: Any
    y: Float[Array, "n o"]
    start: Float[Array, "n o"]
    loss: Loss = eqx.field(static=True)
    flat: bool = eqx.field(static=True)
    learning_rate: float
    damping: float | None

    def value(self, outputs: Float[Array, "n o"]) -> Array:
        """The loss; the caller's own gets the shapes in which the targets came."""
        own = self.flat and self.loss.own
        found = self.loss.function(*((outputs[:, 0], self.y[:, 0]) if own else (outputs, self.y)))
        return jnp.asarray(found, outputs.dtype)

    def stops(self, stop: Stop, outputs: Float[Array, "n o"]) -> Array:
        """What rises above 0 where training ends."""
        return stop.values(outputs, self.y, self.value)

    def force(self, outputs: Float[Array, "n o"]) -> tuple[Array, Array]:
        """−η Θ ∂L/∂f and −η ∂L/∂f."""
        push = -self.learning_rate * jax.grad(self.value)(outputs)
        return product(jnp, self.kernel, push), push

    def state(self) -> Any:
        """At the start, at rest."""
        still = (self.start, jnp.zeros_like(self.start))
        return still if self.damping is None else (still, jax.tree.map(jnp.zeros_like, still))

    def field(self, state: Any) -> Any:
        """The time derivative of the state."""
        if self.damping is None:
            return self.force(state[0])
        places, speeds = state
        return speeds, jax.tree.map(lambda v, f: f - self.damping * v, speeds, self.force(places[0]))


def choose_solver(problem: Problem, end: float, tolerance: float) -> Any:
    """The method that takes the fewest products up to this time.

    A classical method takes some ρ T/3.3 steps, ρ being the largest rate of the flow, whatever the tolerance; `Chebyshev` takes steps by accuracy alone, some
    6/√tolerance. With momentum the rates are complex numbers, which rules it out.
    """
    if problem.damping is not None:
        return diffrax.Dopri8()
    return Chebyshev() if float(_largest_rate(problem)) * end > 12 / tolerance**0.5 else diffrax.Tsit5()


@eqx.filter_jit
def _largest_rate(problem: Problem) -> Array:
    """That of the first moment; of the hinge, which bends later, a bound on that of any."""

    def once(_: Any, found: tuple[Array, Array]) -> tuple[Array, Array]:
        v = found[1]
        if problem.loss.name == "hinge":
            bent = problem.learning_rate * v / (2 * HINGE * len(v))
            changed = product(jnp, problem.kernel, bent)
        else:
            changed = jax.jvp(lambda f: problem.force(f)[0], (problem.start,), (v,))[1]
        size = jnp.linalg.norm(changed)
        return size, changed / jnp.where(size > 0, size, 1.0)

    first = jax.random.normal(jax.random.key(0), problem.start.shape, problem.start.dtype)
    return jax.lax.fori_loop(0, PRODUCTS, once, (jnp.zeros((), first.dtype), first))[0]
