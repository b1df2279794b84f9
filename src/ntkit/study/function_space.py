"""How the infinite network converges: its modes, the best steps, when to stop, another loss, and how far networks scatter."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkit.analysis import convergence, early_stopping, optimal_step
from ntkit.predict import ensemble, gradient_flow
from ntkit.study.examples import Examples
from ntkit.study.infinite import Modes
from ntkit.study.kernels import Kernels
from ntkit.study.preprocessing import ClassCoding, NumberCoding

Numbers = dict[str, Any]

LISTED = 8  # modes in the table
TIMES = 40
TURNS = 3e4  # time constants of the fastest mode up to which cross-entropy is followed
TOLERANCE = 1e-2  # of its outputs: far less than a line is wide


def convergence_table(kernels: Kernels, modes: Modes, examples: Examples, curves: Numbers) -> Numbers:
    """The modes that hold most of the targets with their times, the largest and the best steps, and when to stop.

    Args:
        kernels: of the study.
        modes: their decompositions.
        examples: of the study.
        curves: the losses along the flow, from `learning_curves`.
    """
    found = convergence(modes.ntk, examples.train.coded)
    order = found.order()
    heavy = sorted(order, key=lambda mode: -mode.power)[:LISTED]
    start = float(found.loss(0.0))
    reached = {
        str(part): found.time_to_loss(part * start) if part * start > found.least_loss else None
        for part in (0.5, 0.1, 0.01)
    }
    steps = {
        method: optimal_step(modes.ntk, method=method)._asdict()
        for method in ("descent", "heavy_ball", "nesterov")
    }
    stop = early_stopping(kernels.ntk_train, examples.train.coded)
    return {
        "modes": [_plain(mode) for mode in sorted(heavy, key=lambda mode: mode.number)],
        "share_of_listed": float(sum(mode.power for mode in heavy)),
        "time_to_loss": reached,
        "largest_learning_rate": found.largest_learning_rate,
        "optimal_step": steps,
        "smallest_eigenvalue": float(modes.ntk.values[-1]),
        "early_stopping": {
            "time": stop.time if np.isfinite(stop.time) else None,
            "predicted_loss": stop.loss,
            "best_time": curves["best_time"],
            "test_loss_there": float(_test_loss(kernels, modes, examples, stop.time)),
        },
    }


def _plain(mode: Any) -> Numbers:
    constant = mode.time_constant if np.isfinite(mode.time_constant) else None
    return {**mode._asdict(), "time_constant": constant}


def _test_loss(kernels: Kernels, modes: Modes, examples: Examples, time: float) -> Float64[np.ndarray, ""]:
    flow = gradient_flow(modes.ntk, examples.train.coded)
    return examples.test.loss(flow.test(time, kernels.ntk_test))


def cross_entropy_curves(kernels: Kernels, modes: Modes, examples: Examples) -> Numbers | None:
    """Training on cross-entropy beside that on the squared loss, at the same times; None where targets are no classes.

    Raises:
        NumericalError: The flow could not be followed.
    """
    if not isinstance(examples.train.coding, ClassCoding):
        return None
    from ntkit.predict import loss_flow
    from ntkit.predict.chebyshev import Chebyshev

    unit = len(modes.ntk.values) / float(modes.ntk.values[0])
    times = np.geomspace(0.1 * unit, TURNS * unit, TIMES)
    flow = loss_flow(
        kernels.ntk_train,
        np.eye(examples.train.coding.classes)[examples.train.y],
        times,
        loss="cross_entropy",
        tolerance=TOLERANCE,
        solver=Chebyshev(),
    )
    test = flow.test(kernels.ntk_test)
    squared = gradient_flow(modes.ntk, examples.train.coded)
    pairs = {
        "cross_entropy": (flow.train, test),
        "squared": (squared.train(times), squared.test(times, kernels.ntk_test)),
    }
    scores = {
        f"{loss}_{part}_score": [truth.score(outputs) for outputs in at]
        for loss, both in pairs.items()
        for part, truth, at in (("train", examples.train, both[0]), ("test", examples.test, both[1]))
    }
    losses = [_cross_entropy(outputs, examples.test.y) for outputs in test]
    best = int(np.argmin(losses))
    return {
        "time": times.tolist(),
        "train_loss": flow.loss.tolist(),
        "test_loss": losses,
        "best_time": float(times[best]),
        "best_loss": losses[best],
        "steps": flow.steps,
        **scores,
    }


def _cross_entropy(outputs: Float64[np.ndarray, "m classes"], y: np.ndarray) -> float:
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]))


def scatter(kernels: Kernels, modes: Modes, examples: Examples, curves: Numbers) -> Numbers:
    """How far networks of different initial weights scatter about their mean during training, at three test rows.

    The rows are those of the least, the median and the largest variance at the last time; of classes, the output of
    the true one.

    Args:
        kernels: of the study.
        modes: their decompositions.
        examples: of the study.
        curves: whose times span training, from `learning_curves`.
    """
    networks = ensemble(gradient_flow(modes.ntk, examples.train.coded), kernels.nngp_train)
    times = np.geomspace(curves["time"][0], curves["time"][-1], TIMES)
    final = networks.test_variance(times[-1], kernels.ntk_test, kernels.nngp_test, kernels.nngp_test_diagonal)
    rows = np.argsort(final, kind="stable")[[0, len(final) // 2, len(final) - 1]]
    means = networks.curve.test(times, kernels.ntk_test[rows])
    variance = networks.test_variance(
        times, kernels.ntk_test[rows], kernels.nngp_test[rows], kernels.nngp_test_diagonal[rows]
    )
    coding = examples.test.coding
    found = []
    for i, row in enumerate(rows):
        mean, deviation, truth = means[:, i], np.sqrt(variance[:, i]), examples.test.y[row]
        if isinstance(coding, NumberCoding):
            mean, deviation = coding.decode(mean), coding.deviation * deviation
        else:
            mean, truth = mean[:, truth], examples.test.coded[row, truth]
        found.append(
            {
                "row": int(examples.split.test[row]),
                "truth": float(truth),
                "mean": mean.tolist(),
                "deviation": deviation.tolist(),
            }
        )
    return {
        "time": times.tolist(),
        "rows": found,
        "mean_deviation_start": float(np.mean(np.sqrt(kernels.nngp_test_diagonal))),
        "mean_deviation_end": float(np.mean(np.sqrt(final))),
    }
