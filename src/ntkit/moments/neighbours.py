"""`Neighbours`, a linear map of the nodes of a graph: what it sums over neighbours, and how it weighs them."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

NORMALISATIONS = ("sum", "mean", "symmetric")


class Neighbours(NamedTuple):
    """y = M x with M = (1 − α)ˢ Āˢ + α Σ_{k<s} (1 − α)ᵏ Āᵏ, Ā the normalised transposed pattern, α the teleport, s the steps.

    With one step and no teleport, y[j] = Σ_i a[i, j] x[i] for a = pattern + self_loops·1. The degree of a node is what leads
    to it, Σ_i a[i, j]; "mean" divides by it, "symmetric" by the root of the product of the degrees of both ends (out of the
    one, into the other).
    """

    normalisation: str
    self_loops: Any
    steps: int
    teleport: Any

    def matrix(self, pattern: Float[Array, "n P P"]) -> Float[Array, "n P P"]:
        """M of each example; rows of nodes without neighbours are 0."""
        a = pattern + self.self_loops * jnp.eye(pattern.shape[-1], dtype=pattern.dtype)
        into, out = jnp.sum(a, axis=1, keepdims=True), jnp.sum(a, axis=2, keepdims=True)
        if self.normalisation == "mean":
            a = a * _inverse(into)
        elif self.normalisation == "symmetric":
            a = a * jnp.sqrt(_inverse(into)) * jnp.sqrt(_inverse(out))
        step = jnp.swapaxes(a, 1, 2)
        if self.steps == 1 and isinstance(self.teleport, float) and self.teleport == 0:
            return step
        # Horner: M ← (1 − α) Ā M + α, from the unit matrix on.
        unit = jnp.broadcast_to(jnp.eye(pattern.shape[-1], dtype=pattern.dtype), step.shape)
        m = unit
        for _ in range(self.steps):
            m = (1 - self.teleport) * (step @ m) + self.teleport * unit
        return m

    def degrees(self, ends: tuple[np.ndarray, np.ndarray], weights: np.ndarray, nodes: int) -> np.ndarray:
        """(2, nodes), what leads out of each node and into it, self-loops included."""
        sums = [np.bincount(end, weights, minlength=nodes) for end in ends]
        return np.stack(sums) + float(self.self_loops)


def _inverse(degree: Array) -> Array:
    positive = degree > 0
    return jnp.where(positive, 1 / jnp.where(positive, degree, 1.0), 0.0)
