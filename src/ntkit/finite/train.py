"""`train`: gradient descent on any function of parameters, its outputs, loss and kernels recorded along the way."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.errors import InputError, NumericalError
from ntkit.finite.functions import prepare
from ntkit.losses import choose_loss


@dataclasses.dataclass(frozen=True)
class History:
    """What was recorded.

    Attributes:
        steps: At which steps, (records,).
        loss: On the training examples, (records,).
        outputs: On the training examples ("train") and on those of `watch`, (records, n, *outputs) each.
        kernels: The kernels of `kernel` at `kernels_at`, (snapshots, …); None without.
        kernels_at: At which steps those are.
        params: The parameters at the end.
        moved: ‖θ − θ₀‖ / ‖θ₀‖ at each record.
    """

    steps: np.ndarray
    loss: np.ndarray
    outputs: dict[str, np.ndarray]
    kernels: np.ndarray | None
    kernels_at: np.ndarray
    params: Any
    moved: np.ndarray


def train(
    f: Callable,
    params: Any,
    x: Any,
    y: Any,
    *,
    steps: int,
    optimiser: Any = None,
    learning_rate: float | None = None,
    loss: str | Callable = "squared",
    rates: Any = None,
    batch_size: int | None = None,
    seed: int = 0,
    watch: Mapping[str, Any] | None = None,
    record: Sequence[int] | None = None,
    kernel: Callable | None = None,
    kernels_at: Sequence[int] = (),
    advance: Callable[[int], object] | None = None,
) -> History:
    """Train f(params, x) by gradient descent; the same for a network, its linearisation and its Taylor polynomials.

    With the squared loss and plain descent, θ ← θ − learning_rate · rate · ∂loss/∂θ, step k is at time
    k · learning_rate of gradient flow, df/dt = −(1/n) Θ (f − y).

    Args:
        f: f(params, x) → (n, *outputs).
        params: A tree of real arrays, where training begins.
        x: (n, …), or a tree of such arrays.
        y: (n, …), the targets of the loss.
        steps: How many.
        optimiser: One of optax; None for plain descent.
        learning_rate: Of plain descent.
        loss: A name of `ntkit.losses`, or a function (outputs, targets) → a number, the mean over examples.
        rates: Factors on the gradients, a tree like `params` (`net.rates(params)`): they come before the optimiser.
        batch_size: Examples of a step, from one random order of all after another; what is left of an order is dropped. None
            for all.
        seed: Of these draws.
        watch: Other inputs whose outputs are recorded, by name.
        record: At which steps, from 0, and at the last; None for about 36, evenly on a logarithmic scale.
        kernel: (params, x) → an array, such as the empirical kernel; it is recorded at `kernels_at`.
        kernels_at: At which steps.
        advance: Told, now and then, how many steps were just taken; for bars of progress.

    Raises:
        InputError: An option or the data are not usable.
        NumericalError: The training diverged.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Erf() >> nk.Dense(1)
        >>> params, _ = net.init(jax.random.key(0), (2,))
        >>> found = nk.finite.train(
        ...     net.apply, params, np.eye(2), np.array([[1.0], [-1.0]]), steps=400, learning_rate=0.5
        ... )
        >>> bool(found.loss[-1] < 1e-3 * found.loss[0])
        True
    """
    problem = prepare(f, params, x, rates=rates)
    dtype = problem.dtype
    with jax.enable_x64(dtype == np.float64):
        descent = _Descent(problem.call.f, _optimiser(optimiser, learning_rate), choose_loss(loss).function)
        params = jax.tree.map(lambda p: jnp.asarray(p, dtype), params)
        factors = None if rates is None else jax.tree.map(lambda r: jnp.asarray(r, dtype), rates)
        data = jax.tree.unflatten(problem.call.inputs, problem.x1), _targets(y, problem.sizes[0], dtype)
        seen = {"train": data[0], **_watched(watch or {}, dtype)}
        recorded = _record_steps(steps, record)
        shots = sorted({_step(s, steps, "kernels_at") for s in kernels_at}) if kernel is not None else []
        order = _order(problem.sizes[0], batch_size, steps, seed)
        go_on = _Stops(recorded, shots, kernel, advance)
        return _followed(descent, params, factors, data, order, seen, go_on)


@dataclasses.dataclass(frozen=True)
class _Descent:
    """What does not change along the way."""

    f: Callable
    optimiser: Any
    loss: Callable


@dataclasses.dataclass(frozen=True)
class _Stops:
    """Where training stops for a look."""

    recorded: np.ndarray
    shots: list[int]
    kernel: Callable | None
    advance: Callable | None


def _followed(
    descent: _Descent,
    params: Any,
    factors: Any,
    data: tuple,
    order: np.ndarray | None,
    seen: dict[str, Any],
    stops: "_Stops",
) -> History:
    """Train from record to record and from snapshot to snapshot."""
    recorded, shots, kernel = stops.recorded, stops.shots, stops.kernel
    start, state, at = params, descent.optimiser.init(params), 0
    losses, moved, kernels = [], [], []
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in seen}
    for stop in sorted({*recorded.tolist(), *shots}):
        params, state = _descend(descent, params, state, factors, data, at, stop, order)
        if stops.advance is not None and stop > at:
            stops.advance(stop - at)
        at = stop
        if stop in shots and kernel is not None:
            kernels.append(np.asarray(kernel(params, data[0])))
        if stop not in recorded:
            continue
        for name, inputs in seen.items():
            outputs[name].append(np.asarray(_outputs(descent, params, inputs)))
        losses.append(float(descent.loss(jnp.asarray(outputs["train"][-1]), data[1])))
        moved.append(_distance(params, start))
        if not np.isfinite(losses[-1]):
            raise NumericalError(
                f"the training diverged before step {stop}: take smaller steps, or a wider network"
            )
    stacked = {name: np.stack(values) for name, values in outputs.items()}
    snapshots = np.stack(kernels) if kernels else None
    return History(
        recorded, np.array(losses), stacked, snapshots, np.array(shots, int), params, np.array(moved)
    )


@functools.partial(jax.jit, static_argnames=("descent",))
def _descend(
    descent: _Descent, params: Any, state: Any, factors: Any, data: tuple, at: Any, stop: Any, order: Any
) -> tuple[Any, Any]:
    """Steps at … stop − 1."""
    import optax

    def cost(p: Any, x: Any, y: Any) -> Array:
        return descent.loss(descent.f(p, x), y)

    def step(k: Any, carried: tuple) -> tuple:
        p, s = carried
        x, y = data if order is None else jax.tree.map(lambda a: jnp.asarray(a)[jnp.asarray(order)[k]], data)
        gradient = jax.grad(cost)(p, x, y)
        if factors is not None:
            gradient = jax.tree.map(lambda g, r: g * r, gradient, factors)
        update, s = descent.optimiser.update(gradient, s, p)
        return optax.apply_updates(p, update), s

    return jax.lax.fori_loop(at, stop, step, (params, state))


@functools.partial(jax.jit, static_argnames=("descent",))
def _outputs(descent: _Descent, params: Any, x: Any) -> Array:
    return descent.f(params, x)


def _distance(params: Any, start: Any) -> float:
    def length(tree: Any) -> float:
        return float(jnp.sqrt(sum(jnp.sum(a**2) for a in jax.tree.leaves(tree))))

    whole = length(start)
    return length(jax.tree.map(jnp.subtract, params, start)) / whole if whole else float("inf")


# What it is given -------------------------------------------------------------------------------------------------------


def _optimiser(optimiser: Any, learning_rate: float | None) -> Any:
    import optax

    if (optimiser is None) == (learning_rate is None):
        raise InputError("give a learning_rate, for plain descent, or an optimiser of optax, and not both")
    if learning_rate is not None:
        if not np.isfinite(learning_rate) or learning_rate <= 0:
            raise InputError(f"learning_rate must be positive, found {learning_rate}")
        return optax.sgd(learning_rate)
    if not hasattr(optimiser, "init") or not hasattr(optimiser, "update"):
        raise InputError(f"optimiser must be one of optax, found {type(optimiser).__name__}")
    return optimiser


def _targets(y: Any, n: int, dtype: np.dtype) -> Any:
    array = np.asarray(y)
    if array.ndim < 1 or len(array) != n:
        raise InputError(f"y must hold the targets of {n} examples, found shape {array.shape}")
    return jnp.asarray(array, dtype) if array.dtype.kind == "f" else jnp.asarray(array)


def _watched(watch: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    if "train" in watch:
        raise InputError("watch: the name 'train' is that of the training examples")

    def cast(a: Any) -> Any:
        array = np.asarray(a)
        return jnp.asarray(array, dtype) if array.dtype.kind == "f" else jnp.asarray(array)

    return {name: jax.tree.map(cast, inputs) for name, inputs in watch.items()}


def _step(step: Any, steps: int, name: str) -> int:
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or not 0 <= step <= steps:
        raise InputError(f"{name} must hold steps between 0 and {steps}, found {step!r}")
    return int(step)


def _record_steps(steps: int, record: Sequence[int] | None) -> np.ndarray:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"steps must be a whole number of at least 1, found {steps!r}")
    if record is None:
        spaced = np.round(np.geomspace(1, steps, 35)).astype(int)
        return np.unique(np.concatenate([[0], spaced]))
    return np.unique([_step(s, steps, "record") for s in record] + [steps])


def _order(n: int, batch_size: int | None, steps: int, seed: int) -> np.ndarray | None:
    """(steps, batch_size), which examples each step takes."""
    if batch_size is None or batch_size == n:
        return None
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= n:
        raise InputError(f"batch_size must lie between 1 and {n}, found {batch_size!r}")
    generator, a_pass = np.random.default_rng(seed), n // batch_size
    passes = [generator.permutation(n)[: a_pass * batch_size] for _ in range(-(-steps // a_pass))]
    return np.concatenate(passes).reshape(-1, batch_size)[:steps]
