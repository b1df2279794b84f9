"""Targets and initial outputs as matrices (rows, outputs), whether or not the caller keeps an axis of outputs."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """What the network is to learn, and what it says before it has learnt anything.

    Attributes:
        y: (n, o) targets of the training points.
        start: (n, o) outputs of the network there at the start, f₀(X).
        given: whether the caller gave these outputs; otherwise they are zero.
        flat: whether the caller's targets were (n,); then predictions are (m,).
    """

    y: Float64[np.ndarray, "n o"]
    start: Float64[np.ndarray, "n o"]
    given: bool
    flat: bool

    @property
    def residual(self) -> Float64[np.ndarray, "n o"]:
        """What is to be learnt: y − f₀(X)."""
        return self.y - self.start

    def start_at(self, f0_test: ArrayLike | None, rows: int) -> Float64[np.ndarray, "m o"]:
        """f₀ at test points, as a matrix.

        Raises:
            InputError: the shape is wrong, or f₀ is known at the training points or at the test points but not both.
        """
        if (f0_test is not None) != self.given:
            have, lack = ("f0_train", "f0_test") if self.given else ("f0_test", "f0_train")
            raise InputError(
                f"{have} was given but {lack} was not. Both are outputs of one network at the start: give both, or "
                "neither (an initial output of zero)."
            )
        if f0_test is None:
            return np.zeros((rows, self.y.shape[1]))
        return _as_matrix(f0_test, (rows, *self.y.shape[1:]), self.flat, "f0_test", "test")

    def restore(self, outputs: Float64[np.ndarray, "*times m o"]) -> Float64[np.ndarray, "..."]:
        """Outputs with or without an axis of outputs, like the caller's targets."""
        return outputs[..., 0] if self.flat else outputs


def training_targets(y: ArrayLike, rows: int, f0_train: ArrayLike | None = None) -> Targets:
    """Checks targets and initial outputs of the training points.

    Args:
        y: (n,) or (n, o).
        rows: n, the size of the kernel.
        f0_train: of the shape of y, or None for zero.

    Raises:
        InputError: a shape is wrong, or a value is not finite.

    Example:
        >>> from ntkit.predict.targets import training_targets
        >>> training_targets([1.0, -1.0], 2).y.shape
        (2, 1)
        >>> training_targets([1.0, -1.0], 3)
        Traceback (most recent call last):
        ntkit.errors.InputError: y has shape (2,); expected (3,) or (3, outputs), a row for each training point.
    """
    values = finite_array(y, "y")
    flat = values.ndim == 1
    if values.ndim not in (1, 2) or len(values) != rows or (not flat and values.shape[1] == 0):
        raise InputError(
            f"y has shape {values.shape}; expected ({rows},) or ({rows}, outputs), a row for each training point."
        )
    matrix = values[:, None] if flat else values
    if f0_train is None:
        return Targets(matrix, np.zeros_like(matrix), False, flat)
    return Targets(matrix, _as_matrix(f0_train, matrix.shape, flat, "f0_train", "training"), True, flat)


def _as_matrix(
    values: ArrayLike, shape: tuple[int, ...], flat: bool, name: str, points: str
) -> Float64[np.ndarray, "m o"]:
    array = finite_array(values, name)
    expected = shape[:1] if flat else shape
    if array.shape != expected:
        raise InputError(
            f"{name} has shape {array.shape}; expected {expected}: a row for each {points} point, like y."
        )
    return array[:, None] if flat else array
