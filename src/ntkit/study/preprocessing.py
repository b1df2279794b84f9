"""Preprocessing that is learnt on the training rows alone and then applied to all rows."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkit.datasets import Table
from ntkit.errors import InputError
from ntkit.preprocessing import Channels


@dataclass(frozen=True)
class TableScaling:
    """Numbers: fill with the median, subtract the mean, divide by the standard deviation. Categories: one-hot.

    Args:
        kept: the numeric columns that vary over the training rows.
        median: of these columns, over the training rows.
        mean: after filling.
        deviation: after filling.
        levels: for every categorical column its texts among the training rows, in order.
        fill: for every categorical column its most frequent text.
        names: the names of the resulting columns.
        notes: what was done, one sentence each.
    """

    kept: np.ndarray
    median: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    levels: tuple[tuple[str, ...], ...]
    fill: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def __call__(self, table: Table) -> Float[np.ndarray, "rows columns"]:
        """The rows as one matrix; a text that no training row has becomes zeros."""
        numbers = table.numbers[:, self.kept].astype(np.float64)
        numbers = (np.where(np.isnan(numbers), self.median, numbers) - self.mean) / self.deviation
        blocks = [numbers]
        for column, levels, fill in zip(table.categories.T, self.levels, self.fill, strict=True):
            texts = [fill if cell is None else cell for cell in column]
            blocks.append(np.array([[float(text == level) for level in levels] for text in texts]))
        return np.concatenate(blocks, axis=1)


def fit_table(train: Table) -> TableScaling:
    """Learn the scaling of a table from its training rows.

    Raises:
        InputError: no column varies over the training rows.
    """
    notes = []
    with np.errstate(all="ignore"):
        present = ~np.all(np.isnan(train.numbers), axis=0)
    numbers = train.numbers.astype(np.float64)
    median = np.array([np.nanmedian(c) if ok else 0.0 for c, ok in zip(numbers.T, present, strict=True)])
    filled = np.where(np.isnan(numbers), median, numbers)
    mean, deviation = _centre(filled), _spread(filled)
    kept = np.flatnonzero(deviation > 1e-12 * np.maximum(1e-300, np.max(np.abs(filled), axis=0, initial=0.0)))
    dropped = [train.number_names[i] for i in range(numbers.shape[1]) if i not in set(kept)]
    levels = tuple(tuple(sorted({c for c in column if c is not None})) for column in train.categories.T)
    fill = tuple(
        Counter(c for c in column if c is not None).most_common(1)[0][0] if column_levels else ""
        for column, column_levels in zip(train.categories.T, levels, strict=True)
    )
    if len(kept):
        notes.append("Numeric columns were standardised: mean 0, standard deviation 1.")
    if dropped:
        notes.append(f"{_names(dropped)} constant over the training rows, left out.")
    if levels:
        notes.append(f"Categorical columns became one column per text: {', '.join(train.category_names)}.")
    names = tuple(train.number_names[i] for i in kept) + tuple(
        f"{name}={level}"
        for name, of_name in zip(train.category_names, levels, strict=True)
        for level in of_name
    )
    if not names:
        raise InputError("no column varies over the training rows: there is nothing to learn from")
    return TableScaling(kept, median[kept], mean[kept], deviation[kept], levels, fill, names, tuple(notes))


@dataclass(frozen=True)
class ChannelScaling:
    """Images or sequences: subtract a mean and divide by a standard deviation, one of each per channel."""

    channels: Channels
    notes: tuple[str, ...]

    def __call__(
        self, x: Float[np.ndarray, "rows *positions channels"]
    ) -> Float[np.ndarray, "rows *positions channels"]:
        """The scaled examples, of the same shape."""
        return self.channels.transform(np.asarray(x, np.float64))


def fit_channels(train: Float[np.ndarray, "rows *positions channels"]) -> ChannelScaling:
    """Learn the scaling of images or sequences from the training examples.

    Raises:
        InputError: every channel is constant.
    """
    channels = Channels().fit(train)
    count = len(channels.mean_)
    which = "The channel was" if count == 1 else f"The {count} channels were"
    notes = (f"{which} standardised over all training pixels: mean 0, standard deviation 1.",)
    return ChannelScaling(channels, notes)


@dataclass(frozen=True)
class ClassCoding:
    """Class c of C becomes the vector with 1 − 1/C at c and −1/C elsewhere."""

    classes: int

    def __call__(self, y: np.ndarray) -> Float[np.ndarray, "rows classes"]:
        """The coded targets."""
        return np.eye(self.classes)[y] - 1.0 / self.classes

    def decode(self, outputs: Float[np.ndarray, "rows classes"]) -> np.ndarray:
        """The class with the largest output."""
        return np.argmax(outputs, axis=1)


@dataclass(frozen=True)
class NumberCoding:
    """Numbers are standardised, and reported back in their own unit."""

    mean: float
    deviation: float

    def __call__(self, y: np.ndarray) -> Float[np.ndarray, "rows 1"]:
        """The coded targets."""
        return ((y - self.mean) / self.deviation)[:, None]

    def decode(self, outputs: Float[np.ndarray, "rows 1"]) -> np.ndarray:
        """The outputs in the target's unit."""
        return self.mean + self.deviation * outputs[:, 0]


def fit_target(y: np.ndarray, task: str, classes: int) -> ClassCoding | NumberCoding:
    """How the targets of a task are coded, learnt from the training rows.

    Raises:
        InputError: all training targets of a regression are equal.
    """
    if task == "classification":
        return ClassCoding(classes)
    if np.std(y) == 0:
        raise InputError(f"all training rows have the target {y[0]}: there is nothing to learn")
    return NumberCoding(float(np.mean(y)), float(np.std(y)))


def _centre(values: np.ndarray) -> np.ndarray:
    return np.mean(values, axis=0) if values.size else np.zeros(values.shape[1])


def _spread(values: np.ndarray) -> np.ndarray:
    return np.std(values, axis=0) if values.size else np.zeros(values.shape[1])


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} column{'s' if len(names) > 1 else ''} ({shown}) {'are' if len(names) > 1 else 'is'}"
