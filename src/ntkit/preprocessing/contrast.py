"""`contrast_normalised`, every example with its own mean subtracted and its own deviation divided out."""

from typing import Any

import numpy as np

from ntkit.arrays import check_batch, working_dtype
from ntkit.errors import InputError


def contrast_normalised(x: Any, offset: float = 0.0) -> np.ndarray:
    """(x − mean)/√(variance + offset), both over all numbers of an example; what is constant becomes 0.

    Nothing is learnt from other examples. With `offset=0` every example but a constant one has mean square 1.

    Args:
        x: (n, …).
        offset: Added to the variance, in the unit of x², ≥ 0: examples of less contrast are not blown up.

    Raises:
        InputError: The examples are not usable, or `offset` is negative.

    Example:
        >>> import numpy as np
        >>> from ntkit.preprocessing import contrast_normalised
        >>> contrast_normalised(np.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
        [[-1.0, 1.0], [0.0, 0.0]]

    References:
        Coates, Lee & Ng (2011), "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", section 3.1
        (normalisation).
    """
    x = check_batch(x, "contrast_normalised: x")
    if not offset >= 0 or not np.isfinite(offset):
        raise InputError(
            f"contrast_normalised: offset must be a finite number of at least 0, found {offset!r}"
        )
    flat = x.reshape(len(x), -1).astype(np.float64)
    return normalised_rows(flat, offset).reshape(x.shape).astype(working_dtype(x, None))


def normalised_rows(rows: np.ndarray, offset: float) -> np.ndarray:
    """The same of each row (n, d)."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    # Rounding of the mean is no contrast.
    noise = 1e-12 * np.abs(rows).max(axis=1, keepdims=True, initial=0)
    centred = np.where(np.abs(centred).max(axis=1, keepdims=True, initial=0) > noise, centred, 0.0)
    scale = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + offset)
    return centred / np.where(scale > 0, scale, 1.0)
