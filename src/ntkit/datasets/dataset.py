"""What a data set is before any preprocessing: rows, targets, and what was noticed while reading them."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from ntkit.batches import Graphs

LARGEST = 1e140  # the largest number that a data set may hold: sums of squares of larger ones leave float64


@dataclass(frozen=True)
class Table:
    """Rows with columns of two kinds, as read; a missing number is NaN and a missing category is None.

    Args:
        numbers: the numeric columns.
        number_names: their names.
        categories: the categorical columns, text or None.
        category_names: their names.
    """

    numbers: Float[np.ndarray, "rows columns"]
    number_names: tuple[str, ...]
    categories: np.ndarray
    category_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, index: Int[np.ndarray, " chosen"]) -> "Table":
        """The table of the chosen rows, in that order."""
        return Table(self.numbers[index], self.number_names, self.categories[index], self.category_names)


@dataclass(frozen=True)
class Dataset:
    """Examples with one target each.

    Args:
        name: what the report calls it.
        task: ``"classification"`` or ``"regression"``.
        x: a `Table`, an array (rows, …positions, channels) of images or sequences, or a batch of `Graphs`.
        y: class numbers 0 … C−1 (integers), or numbers in the target's own unit.
        target_name: the target's name.
        class_names: the names of the classes; empty for a regression.
        given_test: True for the rows that the source itself sets apart for testing, or None.
        notes: what was noticed while reading, one sentence each.
    """

    name: str
    task: str
    x: Table | np.ndarray | Graphs
    y: np.ndarray
    target_name: str = "target"
    class_names: tuple[str, ...] = ()
    given_test: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of a table rather than images or sequences."""
        return isinstance(self.x, Table)
