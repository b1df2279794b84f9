"""`Channels`, each channel with mean 0 and standard deviation 1 over the training examples and all positions."""

from typing import Any

import numpy as np

from ntkit.errors import InputError
from ntkit.preprocessing.preprocessor import Preprocessor, checked, fitted


class Channels(Preprocessor):
    """(x − mean_c)/deviation_c of channel c, over all training examples and positions; constant channels become 0.

    Of vectors (n, d), every column is a channel.

    Attributes:
        mean_: (channels,).
        deviation_: (channels,), 1 for channels that are constant.

    Raises:
        InputError: By `fit`, all channels are constant; by `transform`, the channels are others.

    Example:
        >>> import numpy as np
        >>> from ntkit.preprocessing import Channels
        >>> Channels().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean_: np.ndarray
    deviation_: np.ndarray

    def fit(self, x: Any, y: Any = None) -> "Channels":
        x, _ = checked(self, x)
        axes = tuple(range(x.ndim - 1))
        self.mean_, deviation = np.mean(x, axis=axes), np.std(x, axis=axes)
        if not np.any(deviation > 0):
            raise InputError(
                "Channels: every training image is the same constant: there is nothing to learn from"
            )
        self.deviation_ = np.where(deviation > 0, deviation, 1.0)
        return self

    def transform(self, x: Any) -> np.ndarray:
        mean = fitted(self, "mean_")
        x, dtype = checked(self, x)
        if x.shape[-1] != len(mean):
            raise InputError(f"Channels: fitted to {len(mean)} channels, found {x.shape[-1]}")
        return ((x - mean) / self.deviation_).astype(dtype)
