"""What the training rows alone say of errors on others: the learning curve, estimates of the risk, and bounds."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkit.analysis import expected_loss, interpolation_bound, kare, measured_loss, population
from ntkit.errors import NumericalError
from ntkit.predict import kernel_regression
from ntkit.study.examples import Examples
from ntkit.study.infinite import Modes
from ntkit.study.kernels import Kernels

Numbers = dict[str, Any]

LEAST, MOST = 8, 1000  # training rows of the experiments
SIZES, DRAWS = 5, 8
FAILURE = 0.05


def generalisation(kernels: Kernels, modes: Modes, examples: Examples, path: Numbers) -> Numbers:
    """The section's numbers.

    Args:
        kernels: of the study.
        modes: their decompositions.
        examples: of the study.
        path: losses along the ridge, from `with_ridge`.
    """
    y = examples.train.coded
    return {
        "learning_curve": _learning_curve(kernels, modes, y, path["chosen"]),
        "risk": {
            "ridge": path["ridge"],
            "leave_one_out": path["leave_one_out_loss"],
            "kare": kare(modes.ntk, y, path["ridge"]).tolist(),
            "test": path["test_loss"],
        },
        "bounds": _bounds(kernels, examples),
    }


def _learning_curve(
    kernels: Kernels, modes: Modes, y: Float64[np.ndarray, "n outputs"], ridge: float
) -> Numbers:
    """Kernel regression on a part of the training rows, its loss over all of them: as expected, and as measured."""
    n = len(y)
    sizes = np.unique(np.geomspace(min(LEAST, n), min(MOST, max(n // 2, 1)), SIZES).astype(int))
    known = population(modes.ntk, y)
    along = np.union1d(np.geomspace(sizes[0], sizes[-1], 30).astype(int), sizes)
    measured = measured_loss(kernels.ntk_train, y, sizes.tolist(), ridge=ridge, draws=DRAWS)
    return {
        "ridge": ridge,
        "n": along.tolist(),
        "expected": [expected_loss(known, int(k), ridge=ridge).loss for k in along],
        "measured_n": sizes.tolist(),
        "measured": measured.mean.tolist(),
        "deviation": measured.deviation.tolist(),
        "draws": DRAWS,
    }


def _bounds(kernels: Kernels, examples: Examples) -> Numbers | None:
    """Of the interpolant, the mean over outputs, for the true targets and for shuffled ones; None where there is none."""
    y = examples.train.coded
    shuffled = np.random.default_rng(0).permutation(y)
    try:
        true, random = (
            float(
                np.mean(
                    [interpolation_bound(kernels.ntk_train, column, failure=FAILURE) for column in each.T]
                )
            )
            for each in (y, shuffled)
        )
        outputs = kernel_regression(kernels.ntk_train, y).predict(kernels.ntk_test)
    except NumericalError:
        return None
    clipped = np.minimum(1.0, np.abs(outputs - examples.test.coded))
    return {"true": true, "shuffled": random, "clipped_test_loss": float(clipped.mean()), "failure": FAILURE}
