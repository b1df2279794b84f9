"""`observe`: from the parameters before and after a training, however that was done, to a `TrainingRun`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.errors import InputError
from ntkit.finite.empirical.kernels import ntk
from ntkit.finite.functions import Batch, Call, Weights, prepare
from ntkit.finite.run import TrainingRun, check_targets, flat


def observe(
    f: Callable,
    before: Any,
    after: Any,
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    rates: Any = None,
) -> TrainingRun:
    """What training did to a function of parameters, seen on a few examples.

    Args:
        f: f(params, x) → (n, *outputs).
        before: θ₀, a tree of real arrays.
        after: θ, alike.
        x: (n, …) a few hundred of the training examples, or a tree of such arrays.
        y: (n, *outputs) their targets; classes as one-hot rows.
        x_test: (m, …) other examples, to compare predictions on; None for none.
        y_test: (m, *outputs) their targets.
        rates: Factors on the gradients, as those of `ntkit.finite.train`.

    Raises:
        InputError: A shape is wrong, or parameters before and after differ in theirs.
        NumericalError: A kernel is not finite.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Erf() >> nk.Dense(1)
        >>> start, _ = net.init(jax.random.key(0), (2,))
        >>> x = np.random.default_rng(0).normal(size=(20, 2))
        >>> y = np.sign(x[:, :1])
        >>> run = nk.finite.train(net.apply, start, x, y, steps=50, learning_rate=0.5)
        >>> found = nk.finite.observe(net.apply, start, run.params, x, y)
        >>> found.kernel_after.shape, found.movement > 0
        ((20, 20), True)

    References:
        Chizat, Oyallon and Bach, "On lazy training in differentiable programming", 2019, section 1.1 (κ).
    """
    if (x_test is None) != (y_test is None):
        raise InputError("give x_test and y_test, or neither")
    problem, ended = prepare(f, before, x, rates=rates), prepare(f, after, x, rates=rates)
    shapes = [[(w.shape, w.dtype) for w in p.weights.trained + p.weights.frozen] for p in (problem, ended)]
    if problem.call.params != ended.call.params or shapes[0] != shapes[1]:
        raise InputError(
            "the parameters before and after training are not of one network: their shapes differ"
        )
    with jax.enable_x64(problem.dtype == np.float64):
        outputs = [flat(o) for o in _along(problem.call, problem.weights, ended.weights, problem.x1)]
        targets = check_targets(y, outputs[0], "y")
        wanted = jnp.asarray(targets, problem.dtype)
        kappa = float(_kappa(problem.call, problem.weights, problem.x1, wanted))
        movement = _movement(problem.weights.trained, ended.weights.trained)
    first, last = (flat(ntk(f, p, x, form="trace", rates=rates)) for p in (before, after))
    start, end, linear = outputs
    run = TrainingRun(start, end, linear, targets, first, last, movement, kappa)
    if x_test is None:
        return run
    unseen = prepare(f, after, x_test, rates=rates)
    with jax.enable_x64(problem.dtype == np.float64):
        said = unseen.call.outputs(unseen.weights.trained, unseen.weights.frozen, unseen.x1)
    return run.tested(
        y_test, said, [ntk(f, p, x_test, x, form="trace", rates=rates) for p in (before, after)]
    )


@functools.partial(jax.jit, static_argnames="call")
def _along(call: Call, start: Weights, end: Weights, x: Batch) -> tuple[Array, Array, Array]:
    """Outputs at the start, in the end, and those in the end of the linearised function."""

    def outputs(trained: list[Array]) -> Array:
        return call.outputs(trained, start.frozen, x)

    step = [b - a for a, b in zip(start.trained, end.trained, strict=True)]
    before, slope = jax.jvp(outputs, (start.trained,), (step,))
    return before, call.outputs(end.trained, end.frozen, x), before + slope


@functools.partial(jax.jit, static_argnames="call")
def _kappa(call: Call, weights: Weights, x: Batch, targets: Array) -> Array:
    """‖f − y‖ ‖D²f[v, v]‖/‖Df[v]‖², v the direction in which gradient descent on the squared loss starts."""

    def outputs(trained: list[Array]) -> Array:
        return call.outputs(trained, weights.frozen, x)

    missed = outputs(weights.trained) - targets
    gradient = jax.vjp(outputs, weights.trained)[1](missed)[0]
    v = [g * r for g, r in zip(gradient, weights.rates, strict=True)]

    def slope(trained: list[Array]) -> Array:
        return jax.jvp(outputs, (trained,), (v,))[1]

    first, second = jax.jvp(slope, (weights.trained,), (v,))
    return jnp.linalg.norm(missed) * jnp.linalg.norm(second) / jnp.sum(first**2)


def _movement(start: list[Any], end: list[Any]) -> float:
    moved = sum(float(jnp.sum((b - a) ** 2)) for a, b in zip(start, end, strict=True))
    whole = sum(float(jnp.sum(a**2)) for a in start)
    return (moved / whole) ** 0.5 if whole else float("inf")
