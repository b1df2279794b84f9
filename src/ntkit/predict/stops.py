"""When training on a loss ends before its last time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64

from ntkit.errors import InputError

Measure = Callable[[Array, Array, Callable[[Array], Array]], Array]


class Stop(NamedTuple):
    """Numbers that rise above 0 where training ends, of (outputs, targets, the loss of outputs), and what they stand for."""

    measures: tuple[Measure, ...]
    names: tuple[str, ...]

    def values(self, outputs: Array, y: Array, loss: Callable[[Array], Array]) -> Array:
        """All of them."""
        return jnp.stack([measure(outputs, y, loss) for measure in self.measures])

    def first(self, values: np.ndarray) -> str | None:
        """The name of one that is above 0."""
        return next((name for name, value in zip(self.names, values, strict=True) if value > 0), None)


class _Margin(NamedTuple):
    """How far the last point that has to be right is from it.

    Accuracy jumps; the margin of the point whose turning right brings the accuracy asked for does not.
    """

    wrong: np.ndarray
    classes: bool

    def __call__(self, outputs: Array, y: Array, loss: Callable[[Array], Array]) -> Array:
        if self.classes:
            truth = y == y.max(axis=1, keepdims=True)
            own = jnp.max(jnp.where(truth, outputs, -jnp.inf), axis=1)
            margin: Array = own - jnp.max(jnp.where(truth, -jnp.inf, outputs), axis=1)
        else:
            low, high = y.min(), y.max()
            margin = jnp.min(outputs * jnp.sign(y - (low + high) / 2), axis=1)
        # Ties are not right: a margin of 0 at the start counts as below.
        return jnp.sort(margin)[self.wrong] - 1e-12


class _Level(NamedTuple):
    """How far the loss is below where training ends."""

    level: np.ndarray

    def __call__(self, outputs: Array, y: Array, loss: Callable[[Array], Array]) -> Array:
        return jnp.asarray(self.level) - loss(outputs)


def stop_at(accuracy: float | None, level: float | None, y: Float64[np.ndarray, "n o"]) -> Stop | None:
    """What `loss_flow` is asked to stop at; None for nothing.

    Raises:
        InputError: the accuracy is no part, it has no meaning for these targets, or the loss is not finite.
    """
    found: list[tuple[str, Any]] = []
    if accuracy is not None:
        if not 0 < accuracy <= 1:
            raise InputError(f"stop_at_accuracy is {accuracy}; expected above 0 and at most 1.")
        classes = y.shape[1] > 1
        if not classes and len(np.unique(y)) != 2:
            raise InputError(
                f"stop_at_accuracy needs targets of classes, and y has {len(np.unique(y))} different values; use stop_at_loss."
            )
        wrong = int(np.floor(len(y) * (1 - accuracy) + 1e-9))
        found.append(("accuracy", _Margin(np.array(min(wrong, len(y) - 1)), classes)))
    if level is not None:
        if not np.isfinite(level):
            raise InputError(f"stop_at_loss is {level}; expected a finite number.")
        found.append(("loss", _Level(np.array(float(level)))))
    return Stop(tuple(m for _, m in found), tuple(n for n, _ in found)) if found else None
