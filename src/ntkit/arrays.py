"""Batches of examples as they come in: checked, converted, and told from tracers."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from ntkit.batches import Ragged
from ntkit.errors import InputError

Inputs = Array | np.ndarray | list | Ragged

DEFAULT_MEMORY = 2 * 2**30  # bytes that working arrays may take, unless told otherwise


def traced(*trees: Any) -> bool:
    """Whether any leaf belongs to a JAX trace (`jit`, `grad`, `vmap`)."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def check_batch(x: Any, name: str) -> np.ndarray:
    """A batch as a NumPy array of real, finite numbers.

    Args:
        x: Anything that NumPy reads as an array, (n, d) or (n, *positions, channels).
        name: What to call it in messages.

    Raises:
        InputError: It is empty, has another rank, or holds something that is not a finite number.
    """
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name} is not an array: its rows differ in length or type ({error})") from None
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} must hold real numbers, found {array.dtype}; encode categories as numbers first"
        )
    if array.ndim < 2:
        raise InputError(
            f"{name} must be shaped (n, d), or (n, *positions, channels); found {array.shape}. "
            f"For one feature use {name}[:, None], for one example {name}[None]"
        )
    if array.size == 0:
        raise InputError(f"{name} is empty: shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        column = place[1] if array.ndim == 2 else place[1:]
        raise InputError(
            f"{name} holds {array[place]} in row {place[0]}, column {column}; remove or impute it"
        )
    return array


def check_whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least` as Python has it; `InputError` names any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, found {value!r}")
    return int(value)


def working_dtype(x: np.ndarray, dtype: Any) -> np.dtype:
    """The dtype to compute in: the one asked for, or that of the data (half precision → float32, integers → float64).

    Raises:
        InputError: The one asked for is neither float32 nor float64.
    """
    if dtype is None:
        if x.dtype.kind != "f":
            return np.dtype(np.float64)
        return np.dtype(np.float32 if x.dtype.itemsize <= 4 else np.float64)
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise InputError(f"dtype must be float32 or float64, found {dtype!r}") from None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"dtype must be float32 or float64, found {found}")
    return found
