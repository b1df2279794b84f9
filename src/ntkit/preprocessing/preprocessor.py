"""`Preprocessor`, the abstract class of transformations that are learnt on training examples."""

import abc
from typing import Any

import numpy as np

from ntkit.arrays import check_batch, working_dtype
from ntkit.errors import InputError


class Preprocessor(abc.ABC):
    """A transformation of examples with the methods of scikit-learn's.

    `__init__` stores options, `fit` learns from training examples, whose results end in an underscore, and `transform`
    applies them to any examples. What is computed is computed in float64, and returned in the type of the examples
    (integers count as float64).
    """

    @abc.abstractmethod
    def fit(self, x: Any, y: Any = None) -> "Preprocessor":
        """Learn from training examples, and return itself; `y` is there for pipelines, and not looked at.

        Raises:
            InputError: Examples or options are not usable.
        """

    @abc.abstractmethod
    def transform(self, x: Any) -> np.ndarray:
        """The transformed examples.

        Raises:
            InputError: It is not fitted, or the examples are shaped otherwise than those it is fitted to.
        """

    def fit_transform(self, x: Any, y: Any = None) -> np.ndarray:
        """`fit`, and the transformed training examples."""
        return self.fit(x, y).transform(x)


def checked(who: Preprocessor, x: Any) -> tuple[np.ndarray, np.dtype]:
    """Examples in double precision, and the type of what is made of them."""
    x = check_batch(x, f"{type(who).__name__}: x")
    return x.astype(np.float64, copy=False), working_dtype(x, None)


def checked_images(who: Preprocessor, x: Any) -> tuple[np.ndarray, np.dtype]:
    """The same of images (n, height, width, channels)."""
    x, dtype = checked(who, x)
    if x.ndim != 4:
        raise InputError(
            f"{type(who).__name__}: needs images, (n, height, width, channels); found shape {x.shape}. For grey images use "
            "x[..., None]"
        )
    return x, dtype


def fitted(who: Preprocessor, name: str) -> Any:
    """What `fit` left under a name.

    Raises:
        InputError: It has not been called.
    """
    if not hasattr(who, name):
        raise InputError(f"{type(who).__name__} is not fitted: call fit with the training examples first")
    return getattr(who, name)


def check_number(who: Preprocessor, name: str, least: float = 0.0) -> float:
    """An option that is a finite number of at least `least`."""
    value = getattr(who, name)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < least:
        raise InputError(
            f"{type(who).__name__}: {name} must be a finite number of at least {least:g}, found {value!r}"
        )
    return float(value)
