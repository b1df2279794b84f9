"""Tangent kernels by products with vectors, Θ v = J (Jᵀ v): no Jacobian is ever whole."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.finite.empirical.contract import Form
from ntkit.finite.functions import Batch, Call, Weights


def block(
    call: Call, weights: Weights, one: Batch, two: Batch, basis: Float[Array, "c o"], form: Form
) -> Array:
    """The kernel of some rows with some columns, one column and cotangent after another."""

    def of_column(row: Batch, cotangent: Array) -> Array:
        """(n1, O), how far the outputs move along one gradient."""
        _, pull = jax.vjp(
            lambda w: call.outputs(w, weights.frozen, [a[None] for a in row])[0], weights.trained
        )
        (gradient,) = pull(cotangent)
        scaled = [g * r for g, r in zip(gradient, weights.rates, strict=True)]
        return jax.jvp(lambda w: call.outputs(w, weights.frozen, one), (weights.trained,), (scaled,))[1]

    moved = jax.lax.map(lambda row: jax.vmap(lambda c: of_column(row, c))(basis), two)  # n2, c, n1, O
    k = jnp.einsum("jcio,bo->ijbc", moved, basis, precision=jax.lax.Precision.HIGHEST)
    if form is Form.FULL:
        return k
    return jnp.trace(k, axis1=2, axis2=3) if form is not Form.DIAGONAL else jnp.diagonal(k, axis1=2, axis2=3)
