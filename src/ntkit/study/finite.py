"""A finite network trained by full-batch gradient descent, its outputs recorded along the way."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Float64, Int

from ntkit import finite
from ntkit.batches import Graphs
from ntkit.layer import Layer
from ntkit.study.progress import Advance


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
        start: The parameters at the start.
        end: The parameters in the end.
    """

    steps: Int[np.ndarray, " records"]
    learning_rate: float
    train: Float64[np.ndarray, "records n outputs"]
    test: Float64[np.ndarray, "records m outputs"]
    parameters: int
    relative_movement: float
    start: Any
    end: Any

    @property
    def times(self) -> Float64[np.ndarray, " records"]:
        """The times of gradient flow at which the outputs were recorded."""
        return self.steps * self.learning_rate


def train(
    layer: Layer,
    x_train: Float[np.ndarray, "n ..."] | Graphs,
    targets: Float[np.ndarray, "n outputs"],
    x_test: Float[np.ndarray, "m ..."] | Graphs,
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
    inputs, unseen = as_arrays(x_train, x_test, np.float32)
    wanted = np.asarray(targets, np.float32)
    start, _ = layer.init(jax.random.key(seed), x_train.shape[1:])
    found = finite.train(
        layer.apply,
        start,
        inputs,
        wanted,
        steps=steps,
        learning_rate=learning_rate,
        rates=layer.rates(start),
        watch={"test": unseen},
        advance=advance,
    )
    on_train, on_test = (found.outputs[name].astype(np.float64) for name in ("train", "test"))
    count = sum(int(w.size) for w in jax.tree.leaves(start))
    return Training(
        found.steps, learning_rate, on_train, on_test, count, float(found.moved[-1]), start, found.params
    )


def as_arrays(x_train: Any, x_test: Any, dtype: type[np.floating]) -> tuple[Any, Any]:
    """Both batches as finite networks read them: graphs with room for as many nodes each."""
    if isinstance(x_train, Graphs):
        room = int(max(x_train.sizes.max(), x_test.sizes.max()))
        padded = (x.padded(room, dtype) for x in (x_train, x_test))
        return tuple(jax.tree.map(lambda array: array.astype(dtype), p) for p in padded)
    return np.asarray(x_train, dtype), np.asarray(x_test, dtype)
