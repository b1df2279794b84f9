"""Targets as a loss takes them: class labels as one-hot rows, 0 and 1 as −1 and 1; and a note of what was done."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.losses import Loss
from ntkit.predict.classes import one_hot
from ntkit.solve.arrays import finite_array


def encoded_targets(y: ArrayLike, loss: Loss) -> tuple[Float64[np.ndarray, "..."], tuple[str, ...]]:
    """The targets, and what was done to them.

    Args:
        y: as `loss_flow` takes them.
        loss: the loss.

    Raises:
        InputError: the targets are not of the loss's kind.

    Example:
        >>> from ntkit.losses import choose_loss
        >>> encoded_targets([0, 1], choose_loss("hinge"))
        (array([-1.,  1.]), ('targets of 0 and 1 were taken as −1 and 1',))
    """
    values = finite_array(y, "y")
    if values.ndim not in (1, 2) or values.size == 0:
        raise InputError(f"y has shape {values.shape}; expected (n,) or (n, outputs).")
    if loss.values == "numbers":
        return values, ()
    if loss.values == "classes":
        if values.ndim == 1:
            encoded = one_hot(values, len(values))
            return encoded, (f"numbers of classes 0 to {encoded.shape[1] - 1} were taken as one-hot rows",)
        sums = values.sum(axis=1)
        worst = int(np.argmax(np.abs(sums - 1)))
        if (values < 0).any() or abs(sums[worst] - 1) > 1e-6:
            raise InputError(
                f"y has a row that sums to {sums[worst]:.4g}, or a value below 0; "
                f"{loss.name} takes probabilities of classes, or (n,) numbers of classes."
            )
        return values, ()
    assert isinstance(loss.values, tuple)
    low, high = loss.values
    if np.isin(values, (low, high)).all():
        return values, ()
    if (low, high) == (-1.0, 1.0) and np.isin(values, (0.0, 1.0)).all():
        return 2 * values - 1, ("targets of 0 and 1 were taken as −1 and 1",)
    if loss.name == "binary_cross_entropy" and (values >= 0).all() and (values <= 1).all():
        return values, ()
    wrong = values[~np.isin(values, (low, high))].flat[0]
    raise InputError(f"y has a value of {wrong}; {loss.name} takes {low:g} and {high:g}.")
