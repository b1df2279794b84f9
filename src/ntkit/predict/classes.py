"""Class labels as one-hot rows, and latent outputs as probabilities of classes."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.special import softmax

from ntkit.errors import InputError


def one_hot(labels: ArrayLike, rows: int, classes: int | None = None) -> Float64[np.ndarray, "n c"]:
    """Labels as rows with a single 1.

    Args:
        labels: (n,) whole numbers from 0 on, or (n, c) rows of that kind already.
        rows: n.
        classes: c; None for one more than the largest label.

    Raises:
        InputError: the labels are neither, or there is one class only.

    Example:
        >>> from ntkit.predict.classes import one_hot
        >>> one_hot([0, 2], 2).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    array = np.asarray(labels)
    if array.ndim == 2 and len(array) == rows and array.shape[1] > 1 and array.dtype.kind in "fiub":
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise InputError("labels has rows that are not one-hot: expected a single 1 in each, and zeros.")
        return array.astype(np.float64)
    whole = array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool(np.all(array == np.round(array))))
    if array.shape != (rows,) or not whole or array.min(initial=0) < 0:
        raise InputError(
            f"labels has shape {array.shape} and dtype {array.dtype}; expected ({rows},) whole numbers from 0 on, or one-hot "
            f"rows ({rows}, classes)."
        )
    numbers = array.astype(np.int64)
    count = int(numbers.max(initial=0)) + 1 if classes is None else classes
    if count < 2 or numbers.max(initial=0) >= count:
        raise InputError(
            f"labels reach {numbers.max(initial=0)} and there are {count} classes; expected at least 2."
        )
    return np.eye(count)[numbers]


def class_probabilities(
    mean: Float64[np.ndarray, "m c"], covariance: Float64[np.ndarray, "m c c"], samples: int, seed: int
) -> Float64[np.ndarray, "m c"]:
    """The mean of softmax over draws of Gaussian outputs, the same standard draws at all points.

    Args:
        mean: (m, c) of the outputs.
        covariance: (m, c, c) over classes.
        samples: draws, at least 1.
        seed: of the draws.

    Raises:
        InputError: there are no samples.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict.classes import class_probabilities
        >>> class_probabilities(np.zeros((1, 2)), np.zeros((1, 2, 2)), 10, 0)
        array([[0.5, 0.5]])
    """
    if samples < 1:
        raise InputError(f"samples is {samples}; expected at least 1.")
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    total = np.zeros_like(mean)
    for draw in np.random.default_rng(seed).standard_normal((samples, mean.shape[1])):
        total += softmax(mean + root @ draw, axis=1)
    return total / samples
