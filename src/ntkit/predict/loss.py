"""The squared loss, as training minimises it."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array


def squared_loss(outputs: ArrayLike, y: ArrayLike) -> Float64[np.ndarray, "*times"]:
    """Mean over examples of ½‖f(xᵢ) − yᵢ‖², summed over outputs.

    Args:
        outputs: (m,) or (m, o), like y, after any leading axes, such as one of times.
        y: (m,) or (m, o) targets.

    Returns:
        A loss for each index of the leading axes.

    Raises:
        InputError: the shapes do not fit, or a value is not finite.

    Example:
        >>> from ntkit.predict import squared_loss
        >>> squared_loss([[1.0, 1.0], [2.0, 0.0]], [0.0, 0.0])
        array([0.5, 1. ])
    """
    truth, said = finite_array(y, "y"), finite_array(outputs, "outputs")
    if truth.ndim not in (1, 2) or truth.size == 0:
        raise InputError(f"y has shape {truth.shape}; expected (m,) or (m, outputs).")
    if said.shape[max(said.ndim - truth.ndim, 0) :] != truth.shape:
        raise InputError(f"outputs has shape {said.shape}; expected {('...', *truth.shape)}, like y.")
    squares = (said - truth) ** 2
    return np.asarray(np.sum(squares, axis=tuple(range(-truth.ndim, 0))) / (2 * len(truth)))
