"""A finite network trained by full-batch gradient descent, its outputs recorded along the way."""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64, Int

from ntkit.errors import NumericalError
from ntkit.layer import Layer
from ntkit.study.progress import Advance

RECORDS = 36


@dataclass(frozen=True)
class Training:
    """The outputs of a network during its training.

    Args:
        steps: At which steps the outputs were recorded, from 0.
        learning_rate: Of every step; step k is at time k · learning_rate of gradient flow.
        train: Outputs on training examples.
        test: Outputs on test examples.
        parameters: How many weights were trained.
        relative_movement: ‖θ − θ₀‖ / ‖θ₀‖ at the last step.
    """

    steps: Int[np.ndarray, " records"]
    learning_rate: float
    train: Float64[np.ndarray, "records n outputs"]
    test: Float64[np.ndarray, "records m outputs"]
    parameters: int
    relative_movement: float

    @property
    def times(self) -> Float64[np.ndarray, " records"]:
        """The times of gradient flow at which the outputs were recorded."""
        return self.steps * self.learning_rate


def record_steps(steps: int) -> Int[np.ndarray, " records"]:
    """About 36 steps from 0 to ``steps``, evenly spaced on a logarithmic scale.

    Example:
        >>> record_steps(4)
        array([0, 1, 2, 3, 4])
    """
    spaced = np.geomspace(1, steps, RECORDS - 1)
    return np.unique(np.concatenate([[0], np.round(spaced).astype(int)]))


def train(
    layer: Layer,
    x_train: Float[np.ndarray, "n ..."],
    targets: Float[np.ndarray, "n outputs"],
    x_test: Float[np.ndarray, "m ..."],
    *,
    learning_rate: float,
    steps: int,
    seed: int,
    advance: Advance,
) -> Training:
    """Train by gradient descent on the mean over examples of ½‖f(x) − y‖², in float32.

    The gradient of every weight is multiplied by its layer's learning-rate factor (`Layer.rates`).

    Args:
        layer: The network, with the widths it shall have.
        x_train: Training examples.
        targets: Their coded targets.
        x_test: Test examples, only evaluated.
        learning_rate: Gradient descent is stable below 2N/λ_max of the NTK.
        steps: How many.
        seed: Of the initial weights.
        advance: Told how many steps were just taken.

    Raises:
        NumericalError: The training diverged.
    """
    inputs, wanted, unseen = (jnp.asarray(a, jnp.float32) for a in (x_train, targets, x_test))
    start, _ = layer.init(jax.random.key(seed), inputs.shape[1:])
    factors = layer.rates(start)

    def loss(params, x, y):
        return 0.5 * jnp.mean(jnp.sum((layer.apply(params, x) - y) ** 2, axis=-1))

    @jax.jit
    def descend(params, count, x, y):
        def step(_, p):
            gradient = jax.grad(loss)(p, x, y)
            return jax.tree.map(lambda w, g, rate: w - learning_rate * rate * g, p, gradient, factors)

        return jax.lax.fori_loop(0, count, step, params)

    outputs = jax.jit(layer.apply)
    recorded = record_steps(steps)
    params, on_train, on_test = start, [outputs(start, inputs)], [outputs(start, unseen)]
    for before, after in pairwise(recorded):
        params = descend(params, int(after - before), inputs, wanted)
        on_train.append(outputs(params, inputs))
        on_test.append(outputs(params, unseen))
        if not np.all(np.isfinite(on_train[-1])):
            raise NumericalError(
                f"the finite network diverged before step {after} at learning rate {learning_rate:.3g}: "
                "make it wider, or take smaller steps"
            )
        advance(int(after - before))
    return Training(
        recorded,
        learning_rate,
        np.asarray(jnp.stack(on_train), dtype=np.float64),
        np.asarray(jnp.stack(on_test), dtype=np.float64),
        sum(int(w.size) for w in jax.tree.leaves(start)),
        _length(jax.tree.map(jnp.subtract, params, start)) / _length(start),
    )


def _length(params) -> float:
    return float(jnp.sqrt(sum(jnp.sum(w**2) for w in jax.tree.leaves(params))))
