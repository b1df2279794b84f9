"""Random projections of gradients: features whose inner products estimate the tangent kernel."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ntkit.arrays import check_whole
from ntkit.errors import InputError
from ntkit.finite.functions import Batch, Call, Weights, examples, prepare

_KINDS = ("rademacher", "gaussian")


def project(
    f: Callable,
    params: Any,
    x: Any,
    dimension: int,
    *,
    key: PRNGKeyArray,
    kind: str = "rademacher",
    rates: Any = None,
    batch: int = 1024,
) -> np.ndarray:
    """Random features φ[i, a, k] = Σ_θ √rate_θ · s_kθ · ∂f_a(x_i)/∂θ / √dimension of every example and output.

    φ φᵀ has the mean Θ, and a variance that falls as 1/dimension. One forward pass with tangents a feature; no gradient is
    ever stored, and the same key gives the same projection for other examples.

    Args:
        f: f(params, x) → (n, *outputs).
        params: A tree of real arrays.
        x: (n, …), or a tree of such arrays.
        dimension: How many features.
        key: Of the random signs s.
        kind: "rademacher", signs, or "gaussian".
        rates: As those of `ntk`, not negative.
        batch: Examples in work at a time.

    Returns:
        (n, O, dimension).

    Raises:
        InputError: The function, a rate or an option is not usable.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> f, w, x = (lambda w, x: x @ w), np.ones((3, 2)), np.eye(3)
        >>> phi = nk.finite.empirical.project(f, w, x, 2000, key=jax.random.key(0))
        >>> bool(abs(phi[:, 0] @ phi[:, 0].T - np.eye(3)).max() < 0.1)
        True

    References:
        Achlioptas (2003), "Database-friendly random projections", Theorem 1.1.
    """
    dimension = check_whole("dimension", dimension, 1)
    if kind not in _KINDS:
        raise InputError(f"kind must be one of {', '.join(_KINDS)}; found {kind!r}")
    problem = prepare(f, params, x, rates=rates)
    if any(np.any(np.asarray(r) < 0) for r in problem.weights.rates):
        raise InputError("a rate is negative: features need its square root")
    with jax.enable_x64(problem.dtype == np.float64):
        keys = jax.random.split(key, dimension)
        parts = []
        for start in range(0, examples(problem.x1), batch):
            some = [a[start : start + batch] for a in problem.x1]
            parts.append(np.asarray(_moved(problem.call, problem.weights, some, keys, kind)))
    return np.concatenate(parts) / np.sqrt(dimension).astype(problem.dtype)


@functools.partial(jax.jit, static_argnames=("call", "kind"))
def _moved(call: Call, weights: Weights, x: Batch, keys: Array, kind: str) -> Array:
    """(n, O, directions), derivatives of the outputs along random directions."""
    draw = jax.random.rademacher if kind == "rademacher" else jax.random.normal

    def along(key: PRNGKeyArray) -> Array:
        own = jax.random.split(key, len(weights.trained))
        signs = [draw(k, w.shape, w.dtype) for k, w in zip(own, weights.trained, strict=True)]
        step = [s * jnp.sqrt(r) for s, r in zip(signs, weights.rates, strict=True)]
        return jax.jvp(lambda w: call.outputs(w, weights.frozen, x), (weights.trained,), (step,))[1]

    return jnp.moveaxis(jax.lax.map(along, keys), 0, -1)
