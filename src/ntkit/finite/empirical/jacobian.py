"""Tangent kernels by whole Jacobians, one backward pass an output and example."""

import jax
from jaxtyping import Array, Float

from ntkit.finite.functions import Batch, Call, Weights


def side(call: Call, weights: Weights, batch: Batch, basis: Float[Array, "c o"]) -> dict[int, Array]:
    """{parameter: (n, c, size)} for these cotangents of the outputs."""

    def of_example(row: Batch) -> list[Array]:
        _, pull = jax.vjp(lambda w: call.outputs(w, weights.frozen, row)[0], weights.trained)
        return jax.vmap(lambda c: pull(c)[0])(basis)

    found = jax.vmap(of_example)([x[:, None] for x in batch])
    return {k: j.reshape(*j.shape[:2], -1) for k, j in enumerate(found)}
