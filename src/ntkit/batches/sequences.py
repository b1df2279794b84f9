"""`Sequences`, a batch of sequences of different lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkit.batches.padded import Padded
from ntkit.batches.ragged import Ragged, check_values
from ntkit.errors import InputError


class Sequences(Ragged):
    """Sequences of tokens, each with as many channels; lengths differ.

    Args:
        sequences: Arrays (length, C), one an example; lengths ≥ 1.

    Raises:
        InputError: A sequence is empty, holds something that is not a finite number, or has another number of channels; the
            message names it.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x = nk.Sequences([np.ones((5, 3)), np.ones((2, 3))])
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.kernel(net, x).ntk.shape
        (2, 2)
    """

    def __init__(self, sequences: Sequence[Any]):
        if len(sequences) == 0:
            raise InputError("Sequences: there is no sequence")
        arrays = [check_values(s, "Sequences", f"sequence {i}") for i, s in enumerate(sequences)]
        for i, array in enumerate(arrays):
            if len(array) == 0:
                raise InputError(f"Sequences: sequence {i} is empty; leave it out")
            if array.shape[1] != arrays[0].shape[1]:
                raise InputError(
                    f"Sequences: sequence {i} has {array.shape[1]} channels, sequence 0 has {arrays[0].shape[1]}"
                )
        self.values = np.concatenate(arrays)
        self.offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])])

    @classmethod
    def from_mask(cls, values: Any, mask: Any) -> "Sequences":
        """Sequences laid out as one array, with a mask that says how much of each row counts.

        Args:
            values: (n, length, C).
            mask: (n, length), true at the tokens of a sequence, which come first.

        Raises:
            InputError: The shapes do not fit, a row is masked altogether, or a masked token stands before one that is not.

        Example:
            >>> import numpy as np, ntkit as nk
            >>> x = nk.Sequences.from_mask(np.ones((2, 4, 3)), [[1, 1, 1, 0], [1, 0, 0, 0]])
            >>> x.sizes.tolist()
            [3, 1]
        """
        values, mask = np.asarray(values), np.asarray(mask).astype(bool)
        if values.ndim != 3 or mask.shape != values.shape[:2]:
            raise InputError(
                f"Sequences: values must be shaped (n, length, channels) and mask (n, length); found {values.shape} and "
                f"{mask.shape}"
            )
        if not mask.any(axis=1).all():
            row = int(np.argmin(mask.any(axis=1)))
            raise InputError(f"Sequences: all of row {row} is masked; leave it out")
        gaps = (~mask[:, :-1] & mask[:, 1:]).any(axis=1)
        if gaps.any():
            raise InputError(
                f"Sequences: the mask of row {int(np.argmax(gaps))} has a gap; a sequence's tokens come first, without gaps"
            )
        return cls([row[: int(m.sum())] for row, m in zip(values, mask, strict=True)])

    @property
    def tables(self) -> dict[str, np.ndarray]:
        return {"values": self.values, "offsets": self.offsets}

    def take(self, rows: np.ndarray) -> "Sequences":
        return Sequences([self.values[self.offsets[i] : self.offsets[i + 1]] for i in rows])

    def with_values(self, values: np.ndarray) -> "Sequences":
        return Sequences(np.split(values, self.offsets[1:-1]))

    def padded(self, positions: int, dtype: Any) -> Padded:
        mask = np.arange(positions) < self.sizes[:, None]
        values = np.zeros((len(self), positions, self.channels), dtype)
        values[mask] = self.values
        return Padded(values, mask.astype(np.float32), None)  # type: ignore[arg-type]
