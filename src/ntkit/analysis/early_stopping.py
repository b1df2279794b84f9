"""When to stop, from the training points alone: the time at which the test loss that cross-validation predicts is least."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.cross_validation import fold_labels
from ntkit.predict.gradient_flow import gradient_flow
from ntkit.predict.targets import training_targets
from ntkit.predict.training_curve import TrainingCurve
from ntkit.solve.arrays import symmetric_kernel

TIMES = 200
SLOWEST = 1e-10  # modes slower than this, relative to the fastest, are not waited for


@dataclasses.dataclass(frozen=True, eq=False)
class EarlyStopping:
    """The best time and the whole curve.

    Attributes:
        time: at which the predicted loss is least; of a descent, a number of steps. Infinite where it falls to the end.
        loss: predicted there.
        times: (t,) all times looked at, the last of them infinite.
        losses: (t,) predicted test losses, mean over examples of ½‖f(x) − y‖², noise in y included.
    """

    time: float
    loss: float
    times: Float64[np.ndarray, " t"]
    losses: Float64[np.ndarray, " t"]


def early_stopping(
    k_train_train: ArrayLike,
    y: ArrayLike,
    *,
    folds: int | ArrayLike = 5,
    rule: Callable[..., TrainingCurve] = gradient_flow,
    f0_train: ArrayLike | None = None,
    **options: Any,
) -> EarlyStopping:
    r"""The time of the least predicted test loss.

    Every fold is predicted by training on all others, at every time: cross-validation of the whole curve, exactly. A
    mean over examples in the loss makes times of fewer examples comparable. Costs a decomposition for each fold.

    Args:
        k_train_train: (n, n) tangent kernel of the training points.
        y: (n,) or (n, o) targets.
        folds: k of at least 2 folds, row i being in fold i mod k; or (n,) whole numbers, the fold of each row.
        rule: `gradient_flow` or `gradient_descent`.
        f0_train: initial outputs at the training points, of the shape of y; None stands for zero.
        options: of the rule, other than weights.

    Raises:
        InputError: a shape is wrong, a value is not finite, the folds are not usable, or the kernel is zero.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import early_stopping
        >>> x, draw = np.linspace(-1, 1, 60), np.random.default_rng(0)
        >>> k = np.exp(-2 * np.subtract.outer(x, x) ** 2)
        >>> found = early_stopping(k, np.sin(3 * x) + 0.3 * draw.normal(size=60))
        >>> bool(found.loss < 0.06), bool(np.isfinite(found.time))
        (True, True)

    References:
        Ali, Kolter and Tibshirani, "A continuous-time view of early stopping for least squares regression", 2019, on
        what stopping does.
    """
    symmetric_kernel(k_train_train, "the kernel")
    kernel = np.asarray(k_train_train)  # in its own dtype, whose rounding the rule has to know
    targets = training_targets(y, len(kernel), f0_train)
    labels = fold_labels(folds, len(kernel))
    times, losses = np.empty(0), np.zeros(1)
    for fold in np.unique(labels):
        out, rest = np.flatnonzero(labels == fold), np.flatnonzero(labels != fold)
        curve = rule(kernel[np.ix_(rest, rest)], targets.y[rest], f0_train=targets.start[rest], **options)
        if times.size == 0:
            times = _times(curve)
        predicted = curve.test(times, kernel[np.ix_(out, rest)], targets.start[out])
        losses = losses + np.sum((predicted - targets.y[out]) ** 2, axis=(1, 2)) / (2 * len(kernel))
    best = int(np.argmin(losses))
    return EarlyStopping(float(times[best]), float(losses[best]), times, losses)


def _times(curve: TrainingCurve) -> Float64[np.ndarray, " t"]:
    """Zero, times from before the fastest mode to behind the slowest one, and infinity."""
    rates = curve.rates[curve.rates > 0]
    if rates.size == 0:
        raise InputError("the kernel is zero: nothing is ever learnt.")
    slowest = max(float(rates[-1]), SLOWEST * float(rates[0]))
    times = np.geomspace(0.01 / rates[0], 10 / slowest, TIMES)
    if np.isfinite(curve.decay.limit):
        times = np.round(times)
    return np.unique(np.concatenate([[0.0], times, [np.inf]]))
