"""`Padded`, a batch of examples of different sizes as arrays of one shape, with what is in them and what is not."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Padded(eqx.Module):
    """Values at a line of positions, of which each example has its first few.

    Attributes:
        values: What the positions hold; beyond an example's end, anything that is finite.
        mask: 1 at the positions that an example has, and 0 beyond.
        pattern: Of graphs, the weight of the edge from i to j, at [i, j]; 0 where there is none. None for sequences.
    """

    values: Float[Array, "n positions channels"]
    mask: Float[Array, "n positions"]
    pattern: Float[Array, "n positions positions"] | None = None

    def map(self, f: Callable[[Array], Array]) -> "Padded":
        """The same positions with other values."""
        return Padded(f(self.values), self.mask, self.pattern)

    def masked(self) -> Array:
        """The values, 0 beyond each example's end."""
        return jnp.where(self.mask[..., None] > 0, self.values, 0.0)

    def lengths(self) -> Array:
        """(n, 1), the number of positions of each example."""
        return jnp.sum(self.mask, axis=-1, keepdims=True)

    def __len__(self) -> int:
        return len(self.values)
