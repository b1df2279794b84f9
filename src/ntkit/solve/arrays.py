"""Arrays as linear algebra takes them: float64, finite, of the right shape; with a message where they are not."""

import math
from numbers import Real
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError

# What stands for an array of any shape, single numbers included. (`ArrayLike` covers these by `complex` alone, which a
# run-time checker takes at its word.)
Numbers: TypeAlias = ArrayLike | float | int

# What is added to a diagonal: one number, or one for each row.
Ridge: TypeAlias = Float64[np.ndarray, " n"] | float

# A kernel computed in float32, or as the block of two equal batches, is symmetric only to its own rounding.
ASYMMETRY = 1e-6


def finite_array(values: Numbers, name: str) -> Float64[np.ndarray, "..."]:
    """The values as a float64 array.

    Args:
        values: numbers, as a NumPy or JAX array or nested lists.
        name: what the array is, for messages.

    Raises:
        InputError: the values are not real numbers, or one of them is NaN or infinite; the message says where.

    Example:
        >>> from ntkit.solve.arrays import finite_array
        >>> finite_array([1, 2], "y")
        array([1., 2.])
        >>> finite_array([[1.0], [float("nan")]], "y")
        Traceback (most recent call last):
        ntkit.errors.InputError: y has a value of nan at index (1, 0); 1 of 2 values are not finite. ...
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # nested lists of unequal lengths
        raise InputError(f"{name} is not an array: {error}") from error
    if array.dtype.kind == "O" and callable(values):
        raise InputError(f"{name} is a function; call it on the data, as in kernel_fn(x).ntk")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {array.dtype}; expected real numbers, as float64 or float32.")
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = f"index {first if array.ndim > 1 else first[0]}" if array.ndim else "its only entry"
        raise InputError(
            f"{name} has a value of {array[first]} at {place}; {np.sum(~finite)} of {array.size} values are not "
            "finite. Remove or repair these rows, or compute the kernel in float64."
        )
    return array


def symmetric_kernel(kernel: ArrayLike, name: str) -> Float64[np.ndarray, "n n"]:
    """A kernel of a batch with itself, exactly symmetric.

    Args:
        kernel: (n, n), symmetric to 1e-6 of its largest entry; the two halves are averaged where they differ.
        name: what the kernel is, for messages.

    Raises:
        InputError: the kernel is not square, is empty, not finite, or not symmetric.

    Example:
        >>> from ntkit.solve.arrays import symmetric_kernel
        >>> symmetric_kernel([[2.0, 1.0], [1.0, 2.0]], "the kernel").shape
        (2, 2)
        >>> symmetric_kernel([[2.0, 1.0], [0.0, 2.0]], "the kernel")
        Traceback (most recent call last):
        ntkit.errors.InputError: the kernel is not symmetric: entry (0, 1) is 1.0, entry (1, 0) is 0.0. ...
    """
    if isinstance(kernel, tuple) and hasattr(kernel, "ntk"):
        raise InputError(f"{name} is a pair of kernels; pass one of them, its .ntk or .nngp")
    array = finite_array(kernel, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise InputError(
            f"{name} has shape {array.shape}; expected (n, n), the kernel of n training points with themselves."
        )
    if np.array_equal(array, array.T):
        return array
    gap = np.abs(array - array.T)
    if gap.max() > ASYMMETRY * np.abs(array).max():
        i, j = (int(k) for k in np.unravel_index(gap.argmax(), gap.shape))
        raise InputError(
            f"{name} is not symmetric: entry ({i}, {j}) is {array[i, j]}, entry ({j}, {i}) is {array[j, i]}. "
            "Pass the kernel of one batch with itself."
        )
    return (array + array.T) / 2


def cross_kernel(kernel: ArrayLike, train: int, name: str) -> Float64[np.ndarray, "m n"]:
    """A kernel of test points (rows) with training points (columns).

    Args:
        kernel: (m, n).
        train: n, the number of training points.
        name: what the kernel is, for messages.

    Raises:
        InputError: the kernel is not (m, n) for this n, or not finite.

    Example:
        >>> from ntkit.solve.arrays import cross_kernel
        >>> cross_kernel([[1.0, 0.5]], 2, "the test kernel")
        array([[1. , 0.5]])
        >>> cross_kernel([[1.0], [0.5]], 2, "the test kernel")
        Traceback (most recent call last):
        ntkit.errors.InputError: the test kernel has shape (2, 1); expected (m, 2), ... It looks transposed.
    """
    array = finite_array(kernel, name)
    if array.ndim != 2 or array.shape[1] != train:
        hint = " It looks transposed." if array.ndim == 2 and array.shape[0] == train else ""
        raise InputError(
            f"{name} has shape {array.shape}; expected (m, {train}), a row for each test point and a column for "
            f"each training point.{hint}"
        )
    return array


def non_negative(value: float, name: str) -> float:
    """A ridge, noise or similar: finite and not below 0.

    Raises:
        InputError: it is negative, NaN or infinite.

    Example:
        >>> from ntkit.solve.arrays import non_negative
        >>> non_negative(-1.0, "ridge")
        Traceback (most recent call last):
        ntkit.errors.InputError: ridge is -1.0; expected a finite number of at least 0.
    """
    if not (isinstance(value, Real) and math.isfinite(value) and value >= 0):
        raise InputError(f"{name} is {value}; expected a finite number of at least 0.")
    return float(value)


def ridge_of(ridge: Numbers, rows: int) -> Ridge:
    """A ridge for all rows, or one for each.

    Args:
        ridge: a number, or (n,), each at least 0.
        rows: n.

    Raises:
        InputError: the shape is neither, or a ridge is negative or not finite.

    Example:
        >>> from ntkit.solve.arrays import ridge_of
        >>> ridge_of([0.5, 1.0], 2)
        array([0.5, 1. ])
    """
    if np.ndim(ridge) == 0:
        return non_negative(ridge, "ridge")  # type: ignore[arg-type]
    array = finite_array(ridge, "ridge")
    if array.shape != (rows,) or (array < 0).any():
        raise InputError(
            f"ridge has shape {array.shape} and least value {array.min(initial=np.inf):.3g}; expected a number or "
            f"({rows},), a ridge for each training point, each at least 0."
        )
    return array
