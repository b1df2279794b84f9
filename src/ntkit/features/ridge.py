"""Ridge regression on features, from a stream of blocks: the memory does not grow with the number of examples."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkit.errors import InputError
from ntkit.predict.targets import training_targets
from ntkit.solve import cholesky
from ntkit.solve.arrays import finite_array, non_negative

ROWS = 2048


class NormalEquations:
    """ΨᵀΨ and Ψᵀy of all examples seen so far; (ΨᵀΨ + ridge·I) w = Ψᵀy.

    Sums within a block are taken in the dtype of the features, sums of blocks in float64.

    Example:
        >>> import numpy as np
        >>> from ntkit.features import NormalEquations
        >>> seen = NormalEquations()
        >>> seen.add(np.array([[1.0, 0.0]]), [2.0])
        >>> seen.add(np.array([[0.0, 1.0]]), [4.0])
        >>> seen.solve(1.0)[:, 0].round(9).tolist()
        [1.0, 2.0]
    """

    def __init__(self) -> None:
        self.gram: Float64[np.ndarray, "m m"] | None = None
        self.moments: Float64[np.ndarray, "m o"] | None = None
        self.rows = 0

    def add(self, features: Any, y: Any) -> None:
        """Add a block of examples.

        Args:
            features: (b, m).
            y: (b,) or (b, o).

        Raises:
            InputError: A shape differs from that of the first block, or a value is not finite.
        """
        block = np.asarray(features)
        finite_array(block, "features")
        if block.ndim != 2 or len(block) == 0:
            raise InputError(f"features has shape {block.shape}; expected (b, m), at least one row.")
        targets = training_targets(y, len(block)).y
        if self.gram is None or self.moments is None:
            self.gram = np.zeros((block.shape[1],) * 2)
            self.moments = np.zeros((block.shape[1], targets.shape[1]))
        expected = len(self.gram), self.moments.shape[1]
        if (block.shape[1], targets.shape[1]) != expected:
            raise InputError(
                f"a block of {block.shape[1]} features and {targets.shape[1]} outputs; the first had {expected[0]} and "
                f"{expected[1]}."
            )
        self.gram += block.T @ block
        self.moments += block.T @ targets.astype(block.dtype, copy=False)
        self.rows += len(block)

    def solve(self, ridge: float) -> Float64[np.ndarray, "m o"]:
        """The weights w.

        Args:
            ridge: Absolute, at least 0; that of kernel regression with the features' kernel.

        Raises:
            InputError: No block was added, or the ridge is negative.
            NumericalError: The features are linearly dependent and the ridge is 0, or nearly so.
        """
        if self.gram is None or self.moments is None:
            raise InputError("no examples have been added.")
        return cholesky(self.gram, ridge=non_negative(ridge, "ridge")).solve(self.moments)


class FeatureRidge:
    """A linear model of features; see `feature_ridge`.

    Attributes:
        weights: (m, o).
    """

    def __init__(self, features: Callable, weights: Float64[np.ndarray, "m o"], *, flat: bool):
        self.features, self.weights, self._flat = features, weights, flat

    def predict(self, x: Any) -> np.ndarray:
        """(n,) or (n, o), like y, of (n, …) examples."""
        parts = [self.features(block) @ self.weights for block in _blocks(x)]
        outputs = np.concatenate(parts)
        return outputs[:, 0] if self._flat else outputs


def feature_ridge(features: Callable, x: Any, y: Any, ridge: float) -> FeatureRidge:
    r"""Kernel ridge regression with the kernel ψ(x)·ψ(x'), in O(n m²) time and O(m²) memory beside the data.

    Args:
        features: x → (n, m), such as `nk.features.sketch(…).ntk`.
        x: (n, …) training examples; features are computed block by block, and none is kept.
        y: (n,) or (n, o).
        ridge: Absolute, as that of `nk.predict.kernel_regression`. For several ridges at the price of one, use
            `NormalEquations`.

    Raises:
        InputError: A shape is wrong, a value is not finite, or the ridge is negative.
        NumericalError: The features are linearly dependent and the ridge is 0, or nearly so.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x, y = np.eye(3), np.array([1.0, 0.0, -1.0])
        >>> features = nk.features.sketch(nk.Dense(1) >> nk.Erf() >> nk.Dense(1), (3,), 1024)
        >>> model = nk.features.feature_ridge(features.ntk, x, y, ridge=1e-6)
        >>> bool(np.abs(model.predict(x) - y).max() < 1e-3)
        True

    References:
        Rahimi and Recht, "Random features for large-scale kernel machines", 2007, section 1.
    """
    targets = training_targets(y, len(x))
    seen, start = NormalEquations(), 0
    for block in _blocks(x):
        seen.add(features(block), targets.y[start : start + len(block)])
        start += len(block)
    return FeatureRidge(features, seen.solve(ridge), flat=targets.flat)


def _blocks(x: Any) -> Iterable[Any]:
    return (x[start : start + ROWS] for start in range(0, len(x), ROWS))
