"""Learning curves by experiment: kernel regression on rows drawn from a kernel matrix, its loss over all of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.loss import squared_loss
from ntkit.predict.ridge import kernel_regression
from ntkit.predict.targets import training_targets
from ntkit.solve.arrays import symmetric_kernel


class MeasuredLoss(NamedTuple):
    """Losses of repeated draws; means over all rows of ½‖f − y‖².

    Attributes:
        losses: (sizes, draws).
        mean: (sizes,) over draws.
        deviation: (sizes,) standard deviation of one draw.
    """

    losses: Float64[np.ndarray, "sizes draws"]
    mean: Float64[np.ndarray, " sizes"]
    deviation: Float64[np.ndarray, " sizes"]


def measured_loss(
    kernel: ArrayLike,
    y: ArrayLike,
    sizes: Sequence[int],
    *,
    ridge: float = 0.0,
    draws: int = 20,
    seed: int = 0,
) -> MeasuredLoss:
    r"""What `expected_loss` expects, measured: rows are drawn without replacement, the loss is over all rows.

    Args:
        kernel: (m, m) of all points.
        y: (m,) or (m, o) their targets.
        sizes: numbers of training rows.
        ridge: absolute, at least 0.
        draws: repetitions of each, at least 2.
        seed: of the draws.

    Raises:
        InputError: a shape or a value is wrong, or draws is less than 2.
        NumericalError: the kernel of some rows has no inverse at this ridge.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import measured_loss
        >>> measured_loss(np.eye(4), np.ones(4), [1, 4], draws=2).mean.tolist()
        [0.375, 0.0]
    """
    k = symmetric_kernel(kernel, "the kernel")
    m = len(k)
    targets = training_targets(y, m, None).y
    if draws < 2:
        raise InputError(f"draws is {draws}; expected at least 2, for a deviation.")
    wrong = [
        n for n in sizes if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= m
    ]
    if wrong:
        raise InputError(f"sizes holds {wrong[0]}; expected whole numbers from 1 to {m}.")
    losses = np.empty((len(sizes), draws))
    for i, n in enumerate(sizes):
        for j in range(draws):
            rows = np.random.default_rng([seed, i, j]).permutation(m)[:n]
            fit = kernel_regression(k[np.ix_(rows, rows)], targets[rows], ridge=ridge)
            losses[i, j] = squared_loss(fit.predict(k[:, rows]), targets)
    return MeasuredLoss(losses, losses.mean(axis=1), losses.std(axis=1, ddof=1))
