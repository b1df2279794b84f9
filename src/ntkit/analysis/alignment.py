"""How alike two kernels are, and how well a kernel fits its targets."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.targets import training_targets
from ntkit.solve.arrays import symmetric_kernel


def alignment(first: ArrayLike, second: ArrayLike, *, centred: bool = False) -> float:
    r"""⟨K, K′⟩/(‖K‖ ‖K′‖), the cosine between two kernels; 1 where one is a multiple of the other.

    Args:
        first: (n, n) kernel.
        second: (n, n) kernel of the same points.
        centred: whether means over points are taken out first, of features that is; this is CKA.

    Raises:
        InputError: a shape is wrong, a value is not finite, or a kernel is zero, centred if asked for.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import alignment
        >>> round(alignment(np.eye(2), np.ones((2, 2))), 12)
        0.707106781187

    References:
        Cristianini, Shawe-Taylor, Elisseeff and Kandola, "On kernel-target alignment", 2001, definition 1; Cortes,
        Mohri and Rostamizadeh, "Algorithms for learning kernels based on centered alignment", 2012, definition 4;
        Kornblith, Norouzi, Lee and Hinton, "Similarity of neural network representations revisited", 2019, eq. 4.
    """
    a, b = symmetric_kernel(first, "first"), symmetric_kernel(second, "second")
    if a.shape != b.shape:
        raise InputError(
            f"first has shape {a.shape} and second {b.shape}; expected kernels of the same points."
        )
    return _cosine(*((_centred(k) if centred else k) for k in (a, b)))


def target_alignment(kernel: ArrayLike, y: ArrayLike, *, centred: bool = True) -> float:
    r"""The alignment of a kernel with Y Yᵀ, that of targets: 1 where it is the best kernel for them there could be.

    Args:
        kernel: (n, n).
        y: (n,) or (n, o) targets.
        centred: whether means over points are taken out of both.

    Raises:
        InputError: a shape is wrong, a value is not finite, or the targets are constant or zero.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import target_alignment
        >>> y = np.array([1.0, -1.0, 1.0, -1.0])
        >>> round(target_alignment(np.outer(y, y), y), 12)
        1.0

    References:
        As for `alignment`.
    """
    k = symmetric_kernel(kernel, "the kernel")
    targets = training_targets(y, len(k), None).y
    columns = targets - targets.mean(axis=0) if centred else targets
    if np.abs(columns).max(initial=0.0) <= 1e-14 * np.abs(targets).max(initial=0.0):
        raise InputError(
            f"y is {'constant' if centred else 'zero'}: no kernel fits that better than another."
        )
    return _cosine(_centred(k) if centred else k, columns @ columns.T)


def _centred(kernel: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    rows = kernel.mean(axis=0)
    return kernel - rows - rows[:, None] + rows.mean()


def _cosine(a: Float64[np.ndarray, "n n"], b: Float64[np.ndarray, "n n"]) -> float:
    sizes = [float(np.linalg.norm(k)) for k in (a, b)]
    if 0 in sizes:
        raise InputError("a kernel is zero: it has no direction.")
    return float(np.sum((a / sizes[0]) * (b / sizes[1])))
