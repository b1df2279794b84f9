"""`Ragged`, what batches of graphs and of sequences have in common: examples of different sizes, by number."""

import abc
from typing import Any, Self

import numpy as np

from ntkit.batches.padded import Padded
from ntkit.errors import InputError


class Ragged(abc.ABC):
    """A batch of examples that differ in how many positions (nodes, tokens) they have; every position has C channels."""

    values: np.ndarray
    """(positions of all examples, C), one example after another."""

    offsets: np.ndarray
    """(n + 1,), where each example begins; the last one is where all end."""

    @abc.abstractmethod
    def take(self, rows: np.ndarray) -> Self:
        """The examples of these numbers."""

    @abc.abstractmethod
    def padded(self, positions: int, dtype: Any) -> Padded:
        """All examples with room for so many positions; arrays of NumPy."""

    @abc.abstractmethod
    def with_values(self, values: np.ndarray) -> Self:
        """The same examples with other values, (positions of all examples, C')."""

    @property
    @abc.abstractmethod
    def tables(self) -> dict[str, np.ndarray]:
        """All arrays that the batch is made of, by name."""

    @property
    def sizes(self) -> np.ndarray:
        """(n,), how many positions each example has."""
        return np.diff(self.offsets)

    @property
    def channels(self) -> int:
        """C."""
        return self.values.shape[1]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(n, None, C): the extent of positions is open."""
        return (len(self), None, self.channels)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Any) -> Self:
        """Some examples: a slice, numbers, or a mask; one number gives a batch of one."""
        return self.take(np.atleast_1d(np.arange(len(self))[rows]))


def check_values(values: Any, name: str, what: str) -> np.ndarray:
    """Values at positions as an array (positions, C) of finite real numbers.

    Raises:
        InputError: They are something else.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] == 0:
        raise InputError(
            f"{name}: {what} must be shaped (positions, channels) and hold real numbers; found shape {array.shape} of "
            f"{array.dtype}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise InputError(f"{name}: {what} hold {array[row].tolist()} in row {row}; remove or impute it")
    return array


def check_offsets(offsets: Any, count: int, name: str, what: str, *, empty: bool) -> np.ndarray:
    """Offsets that begin with 0, do not fall, and end with `count`.

    Raises:
        InputError: They do not; or with `empty` false an example has nothing: the message names it.
    """
    array = np.asarray(offsets)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise InputError(f"{name}: {what} must be whole numbers, one more than examples; found {array!r}")
    array = array.astype(np.int64)
    if array[0] != 0 or array[-1] != count:
        raise InputError(
            f"{name}: {what} must begin with 0 and end with {count}, the number of rows; found {array[0]} and {array[-1]}"
        )
    steps = np.diff(array)
    if (steps < 0).any():
        row = int(np.argmax(steps < 0))
        raise InputError(
            f"{name}: {what} are not sorted: example {row} begins at {array[row]} and ends at {array[row + 1]}"
        )
    if not empty and (steps == 0).any():
        raise InputError(
            f"{name}: example {int(np.argmax(steps == 0))} is empty, it has no positions; leave it out"
        )
    return array


def check_same_kind(x1: Any, x2: Any) -> None:
    """Raise `InputError` unless both batches hold examples of one kind and number of channels."""
    if type(x1) is not type(x2):
        raise InputError(
            f"x1 and x2 must be batches of one kind, found {type(x1).__name__} and {type(x2).__name__}"
        )
    if isinstance(x1, Ragged) and x1.channels != x2.channels:
        raise InputError(
            f"x2 must hold positions with as many channels as x1's, {x1.channels}; found {x2.channels}"
        )
