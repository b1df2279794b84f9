"""Kernels of optimisers: how a step on one example moves the outputs of another, where the step is not plain descent."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.arrays import check_whole
from ntkit.errors import InputError
from ntkit.finite.empirical import jacobian
from ntkit.finite.empirical.contract import Form
from ntkit.finite.functions import Batch, Call, Weights, examples, prepare


def adam_rates(second_moment: Any, count: int, *, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """The rates 1 / (√v̂ + ε) of Adam's preconditioner, for the kernels' `rates`.

    Args:
        second_moment: The optimiser's tree v of means of squared gradients (optax: `state[0].nu`).
        count: How many steps it has made, ≥ 1: v̂ = v / (1 − b2^count).
        b2: Its decay.
        eps: Its ε.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.finite.empirical.adam_rates({"w": np.array([0.001, 0.004])}, count=1)["w"].round(3).tolist()
        [1.0, 0.5]

    References:
        Kingma & Ba (2015), "Adam", Algorithm 1.
    """
    count = check_whole("count", count, 1)
    unbiased = 1 - b2**count
    return jax.tree.map(lambda v: 1 / (np.sqrt(np.asarray(v) / unbiased) + eps), second_moment)


def sign_descent_kernel(
    f: Callable, params: Any, x1: Any, x2: Any = None, *, form: str = "full"
) -> np.ndarray:
    """Θ[i, j, a, b] = Σ_θ ∂f_a(x_i)/∂θ · sign(∂f_b(x_j)/∂θ): how far a step of sign descent on x_j moves f(x_i).

    It is not symmetric, so nothing that factors a kernel takes it.

    Args:
        f: f(params, x) → (n, *outputs).
        params: A tree of real arrays.
        x1: (n1, …).
        x2: (n2, …); None for `x1`.
        form: "full", "trace" or "diagonal", as for `ntk`.

    Raises:
        InputError: The function or what it is given is not usable; the form is "sum_of_logits", which signs do not have.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> k = nk.finite.empirical.sign_descent_kernel(
        ...     lambda w, x: x @ w, np.ones(2), np.array([[3.0, 1.0], [0.5, 0.5]])
        ... )
        >>> k[:, :, 0, 0].tolist()
        [[4.0, 4.0], [1.0, 1.0]]

    References:
        Malladi, Wettig, Yu, Chen & Arora (2023), "A Kernel-Based View of Language Model Fine-Tuning", Definition of the
        asymmetric SignGD kernel.
    """
    if form not in ("full", "trace", "diagonal"):
        raise InputError(f"form must be full, trace or diagonal; found {form!r}")
    problem, kind = prepare(f, params, x1, x2), Form(form)
    with jax.enable_x64(problem.dtype == np.float64):
        two = problem.x1 if problem.x2 is None else problem.x2
        rows = []
        for i in range(examples(problem.x1)):
            one = [a[i : i + 1] for a in problem.x1]
            rows.append(
                np.asarray(
                    _signed(problem.call, problem.weights, one, two, form=kind, outputs=problem.outputs)
                )
            )
    return np.concatenate(rows)


@functools.partial(jax.jit, static_argnames=("call", "form", "outputs"))
def _signed(call: Call, weights: Weights, one: Batch, two: Batch, *, form: Form, outputs: int) -> Array:
    """(1, n2, …), one column after another."""
    basis = form.basis(outputs, weights.trained[0].dtype)
    left = jacobian.side(call, weights, one, basis)

    def of_column(row: Batch) -> Array:
        right = jacobian.side(call, weights, [a[None] for a in row], basis)
        a, b, ab = form.pairs.split(",")
        parts = [jnp.einsum(f"{a}p,{b}p->{ab}", left[k][0], jnp.sign(right[k][0])) for k in left]
        return form.finished(functools.reduce(jnp.add, parts), outputs)

    return jax.lax.map(of_column, two)[None]
