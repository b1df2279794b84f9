"""Kernels that differ between outputs, or couple them, as problems with one kernel of points.

Empirical kernels of finite networks come as (n, n, o), a kernel for each output, or (n, n, o, o), outputs acting on
one another.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import Numbers, finite_array


@dataclasses.dataclass(frozen=True, eq=False)
class SeparateOutputs:
    """Outputs that are trained side by side, each with a kernel of its own.

    Attributes:
        curves: one for each output.
    """

    curves: tuple[TrainingCurve, ...]

    def train(self, times: Numbers) -> Float64[np.ndarray, "*times n o"]:
        """Outputs at the training points, as `TrainingCurve.train`."""
        return np.stack([curve.train(times) for curve in self.curves], axis=-1)

    def test(
        self, times: Numbers, k_test_train: ArrayLike, f0_test: ArrayLike | None = None
    ) -> Float64[np.ndarray, "*times m o"]:
        """Outputs at test points, as `TrainingCurve.test`, with k_test_train of (m, n, o)."""
        cross = _with_axes(k_test_train, 3, len(self.curves), "k_test_train")
        starts = _columns(f0_test, len(self.curves), "f0_test")
        parts = [
            curve.test(times, cross[..., i], start)
            for i, (curve, start) in enumerate(zip(self.curves, starts, strict=True))
        ]
        return np.stack(parts, axis=-1)

    def train_loss(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        """Squared loss on the training points, the sum over outputs, as `TrainingCurve.train_loss`."""
        return np.asarray(np.sum([curve.train_loss(times) for curve in self.curves], axis=0))


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledOutputs:
    """Outputs that act on one another in training: every output of every point is a point.

    Attributes:
        curve: of n · o points with one output.
        outputs: o.
    """

    curve: TrainingCurve
    outputs: int

    def train(self, times: Numbers) -> Float64[np.ndarray, "*times n o"]:
        """Outputs at the training points, as `TrainingCurve.train`."""
        return self._apart(self.curve.train(times))

    def test(
        self, times: Numbers, k_test_train: ArrayLike, f0_test: ArrayLike | None = None
    ) -> Float64[np.ndarray, "*times m o"]:
        """Outputs at test points, as `TrainingCurve.test`, with k_test_train of (m, n, o, o)."""
        cross = _with_axes(k_test_train, 4, self.outputs, "k_test_train")
        start = None if f0_test is None else finite_array(f0_test, "f0_test").ravel()
        return self._apart(self.curve.test(times, _joined(cross), start))

    def train_loss(self, times: Numbers) -> Float64[np.ndarray, "*times"]:
        """Squared loss on the training points, as `TrainingCurve.train_loss`."""
        return np.asarray(self.outputs * self.curve.train_loss(times))

    def _apart(self, outputs: Float64[np.ndarray, "*times no"]) -> Float64[np.ndarray, "*times n o"]:
        return outputs.reshape(*outputs.shape[:-1], -1, self.outputs)


def separate_outputs(
    rule: Callable[..., TrainingCurve],
    k_train_train: ArrayLike,
    y: ArrayLike,
    *,
    f0_train: ArrayLike | None = None,
    **options: Any,
) -> SeparateOutputs:
    """Training with a kernel for each output, such as `nk.finite.empirical.ntk(…, form="diagonal")`.

    Args:
        rule: `gradient_flow` or `gradient_descent`.
        k_train_train: (n, n, o) tangent kernels.
        y: (n, o) targets.
        f0_train: (n, o) initial outputs; None stands for zero.
        options: of the rule.

    Raises:
        InputError: a shape is wrong; and what the rule raises.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import gradient_flow, separate_outputs
        >>> kernels = np.stack([np.eye(2), 2 * np.eye(2)], axis=-1)
        >>> separate_outputs(gradient_flow, kernels, np.ones((2, 2))).train(np.inf).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    targets = _two_axes(y)
    kernels = _with_axes(k_train_train, 3, targets.shape[1], "k_train_train")
    starts = _columns(f0_train, targets.shape[1], "f0_train")
    return SeparateOutputs(
        tuple(
            rule(kernels[..., i], targets[:, i], f0_train=start, **options) for i, start in enumerate(starts)
        )
    )


def coupled_outputs(
    rule: Callable[..., TrainingCurve],
    k_train_train: ArrayLike,
    y: ArrayLike,
    *,
    learning_rate: float = 1.0,
    f0_train: ArrayLike | None = None,
    **options: Any,
) -> CoupledOutputs:
    """Training with a kernel of all pairs of outputs, such as `nk.finite.empirical.ntk(…, form="full")`.

    Args:
        rule: `gradient_flow` or `gradient_descent`.
        k_train_train: (n, n, o, o) tangent kernel.
        y: (n, o) targets.
        learning_rate: of the rule.
        f0_train: (n, o) initial outputs; None stands for zero.
        options: of the rule, other than weights.

    Raises:
        InputError: a shape is wrong; and what the rule raises.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import coupled_outputs, gradient_flow
        >>> kernel = np.eye(2)[:, :, None, None] * np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> np.round(
        ...     coupled_outputs(gradient_flow, kernel, [[1.0, 0.0], [0.0, 1.0]]).train(np.inf), 12
        ... ).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    targets = _two_axes(y)
    kernel = _with_axes(k_train_train, 4, targets.shape[1], "k_train_train")
    start = None if f0_train is None else finite_array(f0_train, "f0_train").ravel()
    # Each output of a point counts as a point, by whose number the rule divides.
    rate = learning_rate * targets.shape[1]
    curve = rule(_joined(kernel), targets.ravel(), learning_rate=rate, f0_train=start, **options)
    return CoupledOutputs(curve, targets.shape[1])


def _joined(kernel: Float64[np.ndarray, "m n o o"]) -> Float64[np.ndarray, "mo no"]:
    m, n, o, _ = kernel.shape
    return kernel.transpose(0, 2, 1, 3).reshape(m * o, n * o)


def _two_axes(y: ArrayLike) -> Float64[np.ndarray, "n o"]:
    targets = finite_array(y, "y")
    if targets.ndim != 2:
        raise InputError(f"y has shape {targets.shape}; expected (n, outputs).")
    return targets


def _with_axes(kernel: ArrayLike, axes: int, outputs: int, name: str) -> Float64[np.ndarray, "..."]:
    array = finite_array(kernel, name)
    expected = ("m", "n", *[str(outputs)] * (axes - 2))
    if array.ndim != axes or array.shape[2:] != (outputs,) * (axes - 2):
        raise InputError(f"{name} has shape {array.shape}; expected ({', '.join(expected)}).")
    return array


def _columns(values: ArrayLike | None, outputs: int, name: str) -> list[Float64[np.ndarray, " n"] | None]:
    if values is None:
        return [None] * outputs
    array = finite_array(values, name)
    if array.ndim != 2 or array.shape[1] != outputs:
        raise InputError(f"{name} has shape {array.shape}; expected a column for each of {outputs} outputs.")
    return list(array.T)
