"""What training minimises: losses by name, each a mean over examples of a sum over outputs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.errors import InputError

HINGE = 0.01  # within this distance of its kink the hinge is a parabola


def squared(y: Array, target: Array) -> Array:
    """½‖y − target‖², the mean over examples.

    Example:
        >>> import numpy as np
        >>> float(squared(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]])))
        2.5
    """
    _alike(y, target)
    return jnp.sum((y - target) ** 2) / (2 * len(y))


def huber(y: Array, target: Array) -> Array:
    """½ d² where |d| = |y − target| ≤ 1 and |d| − ½ beyond, the sum over outputs, the mean over examples.

    Example:
        >>> import numpy as np
        >>> float(huber(np.array([[3.0]]), np.array([[0.0]])))
        2.5
    """
    import optax

    _alike(y, target)
    return jnp.sum(optax.huber_loss(y, target)) / len(y)


def cross_entropy(y: Array, target: Array) -> Array:
    """−log softmax(y)[target], the mean over examples; targets are numbers of classes, or their probabilities.

    Example:
        >>> import numpy as np
        >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)
        1.3863
    """
    import optax

    if jnp.issubdtype(jnp.asarray(target).dtype, jnp.integer):
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(y, target))
    return jnp.mean(optax.softmax_cross_entropy(y, target))


def binary_cross_entropy(y: Array, target: Array) -> Array:
    """−log of the probability sigmoid(y) of a 1 or 1 − sigmoid(y) of a 0, the mean over examples of the sum over outputs.

    Example:
        >>> import numpy as np
        >>> round(float(binary_cross_entropy(np.zeros((2, 1)), np.array([[0.0], [1.0]]))), 4)
        0.6931
    """
    import optax

    _alike(y, target)
    return jnp.sum(optax.sigmoid_binary_cross_entropy(jnp.asarray(y), jnp.asarray(target))) / len(y)


def logistic(y: Array, target: Array) -> Array:
    """log(1 + exp(−target · y)) for targets −1 and 1, the mean over examples of the sum over outputs.

    Example:
        >>> import numpy as np
        >>> round(float(logistic(np.zeros((2, 1)), np.array([[-1.0], [1.0]]))), 4)
        0.6931
    """
    _alike(y, target)
    return jnp.sum(jnp.logaddexp(0.0, -target * y)) / len(y)


def hinge(y: Array, target: Array) -> Array:
    """max(0, 1 − target · y) for targets −1 and 1, the mean over examples of the sum over outputs.

    Within 0.01 of its kink the hinge is the parabola that joins it smoothly: at the kink itself gradient flow would
    have to slide along it, which no method with steps can do. The loss is 0.0025 at the kink and differs nowhere by more.

    Example:
        >>> import numpy as np
        >>> float(hinge(np.array([[0.5], [2.0]]), np.array([[-1.0], [1.0]])))
        0.75
    """
    _alike(y, target)
    gap = 1 - target * y
    smooth = (gap + HINGE) ** 2 / (4 * HINGE)
    return jnp.sum(jnp.where(gap > HINGE, gap, jnp.where(gap < -HINGE, 0.0, smooth))) / len(y)


def _alike(y: Array, target: Array) -> None:
    if np.shape(y) != np.shape(target):
        raise InputError(
            f"the outputs are shaped {np.shape(y)} and the targets {np.shape(target)}: both must be alike"
        )


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss with what has to be known of it.

    Attributes:
        name: that of its function.
        function: (outputs, targets) → a number.
        values: what targets may be: numbers, one of two values, or classes.
        finite: whether its least value is reached at finite outputs.
        own: whether it is the caller's own, who then gets targets and outputs shaped as the targets were.
    """

    name: str
    function: Callable[[Any, Any], Any]
    values: tuple[float, float] | str = "numbers"
    finite: bool = True
    own: bool = False


LOSSES = {
    "squared": Loss("squared", squared),
    "huber": Loss("huber", huber),
    "cross_entropy": Loss("cross_entropy", cross_entropy, "classes", False),
    "binary_cross_entropy": Loss("binary_cross_entropy", binary_cross_entropy, (0.0, 1.0), False),
    "logistic": Loss("logistic", logistic, (-1.0, 1.0), False),
    "hinge": Loss("hinge", hinge, (-1.0, 1.0)),
}


def choose_loss(loss: str | Callable) -> Loss:
    """The loss of a name, or one's own function of (outputs, targets).

    Args:
        loss: "squared", "huber", "cross_entropy", "binary_cross_entropy", "logistic", "hinge", or a function that returns the
            mean over examples as one number.

    Raises:
        InputError: there is no loss of this name.

    Example:
        >>> choose_loss("logistic").values
        (-1.0, 1.0)
    """
    if callable(loss):
        return Loss(getattr(loss, "__name__", "loss"), loss, own=True)
    if loss not in LOSSES:
        raise InputError(
            f"loss must be one of {', '.join(LOSSES)}, or a function of (outputs, targets); found {loss!r}"
        )
    return LOSSES[loss]
