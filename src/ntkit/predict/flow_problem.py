"""The differential equation of a flow on a loss."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.errors import InputError
from ntkit.losses import Loss
from ntkit.predict.products import product, single_product
from ntkit.predict.stops import Stop


class Problem(eqx.Module):
    """What the vector field is made of.

    The state is (f, α): outputs, whose error is looked at, and coefficients, f = f₀ + Θ α, which test outputs need.
    Both are the same combinations of the same products, so that to carry both costs no product. With momentum it is
    ((f, α), its time derivative).

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
    learning_rate: Array
    damping: Array | None

    def value(self, outputs: Float[Array, "n o"]) -> Array:
        """The loss; the caller's own gets the shapes in which the targets came."""
        own = self.flat and self.loss.own
        found = self.loss.function(*((outputs[:, 0], self.y[:, 0]) if own else (outputs, self.y)))
        if jnp.shape(found) != ():
            raise InputError(
                f"the loss gives {jnp.shape(found)}; expected one number, a mean over the examples."
            )
        return jnp.asarray(found, outputs.dtype)

    def stops(self, stop: Stop, outputs: Float[Array, "n o"]) -> Array:
        """What rises above 0 where training ends."""
        return stop.values(outputs, self.y, self.value)

    def force(self, outputs: Float[Array, "n o"]) -> tuple[Array, Array]:
        """−η Θ ∂L/∂f and −η ∂L/∂f."""
        push = -self.learning_rate * jax.grad(self.value)(outputs)
        single = not callable(self.kernel) and self.kernel.dtype == jnp.float32
        return (single_product(self.kernel, push) if single else product(jnp, self.kernel, push)), push

    def outputs_of(self, state: Any) -> Float[Array, "n o"]:
        """f, of a state."""
        return state[0] if self.damping is None else state[0][0]

    def coefficients_of(self, state: Any) -> Float[Array, "n o"]:
        """α, of a state."""
        return state[1] if self.damping is None else state[0][1]

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
