"""A finite network of a study's architecture, trained, beside what the infinite one predicts for it."""

from typing import Any

import jax
import numpy as np

from ntkit.analysis.regime import LAZY, RICH, regime_report
from ntkit.batches import Graphs
from ntkit.errors import InputError
from ntkit.finite import TrainingRun, observe
from ntkit.layer import Layer
from ntkit.predict import gradient_descent, largest_learning_rate
from ntkit.study.examples import Examples
from ntkit.study.finite import Training, as_arrays, train
from ntkit.study.infinite import Modes, method
from ntkit.study.kernels import Kernels
from ntkit.study.network import Network, at_width
from ntkit.study.progress import Advance

ROWS = 100  # on which the regime is judged
SHARE = 0.5  # of the largest stable learning rate


def trained_beside(
    network: Network,
    examples: Examples,
    kernels: Kernels,
    modes: Modes,
    *,
    width: int,
    steps: int,
    seed: int,
    advance: Advance,
) -> tuple[list[dict[str, Any]], dict[str, Any], TrainingRun]:
    """Train a network of the given width and lay its outputs beside the predicted ones.

    The prediction is that of gradient descent with the same steps on the infinite network's NTK, from the finite
    network's own initial outputs f₀; step k is time t = k · learning rate.

    Returns:
        The lines of the table of methods: what was predicted for it, and what it reached; its curves; and the
        network before and after.

    Raises:
        InputError: The network has no width to set.
        NumericalError: The training diverged.
    """
    targets = examples.train.coded
    stable = largest_learning_rate(modes.ntk)
    layer = at_width(network.layer, width, targets.shape[1])
    run = train(
        layer, examples.x_train, targets, examples.x_test,
        learning_rate=SHARE * stable, steps=steps, seed=seed, advance=advance,
    )  # fmt: skip
    expected = gradient_descent(modes.ntk, targets, learning_rate=run.learning_rate, f0_train=run.train[0])
    expected_train = expected.train(run.steps)
    expected_test = expected.test(run.steps, kernels.ntk_test, run.test[0])
    distance = [_distance(a, b) for a, b in ((run.train, expected_train), (run.test, expected_test))]
    found: dict[str, Any] = {
        "width": width,
        "steps": steps,
        "seed": seed,
        "parameters": run.parameters,
        "learning_rate": run.learning_rate,
        "largest_stable_rate": stable,
        "relative_movement": run.relative_movement,
        "relative_distance_train": distance[0],
        "relative_distance_test": distance[1],
        "step": run.steps.tolist(),
        "time": run.times.tolist(),
    }
    for prefix, on_train, on_test in (
        ("", run.train, run.test),
        ("predicted_", expected_train, expected_test),
    ):
        for part, outputs, truth in (("train", on_train, examples.train), ("test", on_test, examples.test)):
            found[f"{prefix}{part}_loss"] = truth.loss(outputs).tolist()
            found[f"{prefix}{part}_score"] = [truth.score(o) for o in outputs]
    lines = [
        method(id, kind, name, what, examples.train.metrics(on_train[-1]), examples.test.metrics(on_test[-1]))
        for id, kind, name, what, on_train, on_test in (
            ("predicted", "infinite", f"predicted after {steps} steps",
             "what the infinite network says of the real one below, from the same initial outputs",
             expected_train, expected_test),
            ("finite", "finite", f"network of width {width}",
             f"a real network after {steps} steps of gradient descent", run.train, run.test),
        )
    ]  # fmt: skip
    seen = _observed(layer, run, examples)
    found["regime"] = _regime(seen)
    return lines, found, seen


def _observed(layer: Layer, run: Training, examples: Examples) -> TrainingRun:
    """The network before and after training, on some of the rows; rows were drawn at random already.

    Graphs often repeat, and the inverses of their kernels need float64.
    """
    dtype = np.float64 if isinstance(examples.x_train, Graphs) else np.float32
    x, x_test = as_arrays(examples.x_train[:ROWS], examples.x_test[:ROWS], dtype)
    y, y_test = (np.asarray(t.coded[:ROWS], dtype) for t in (examples.train, examples.test))
    start, end = (jax.tree.map(lambda w: np.asarray(w, dtype), p) for p in (run.start, run.end))
    rates = layer.rates(run.start)
    return observe(layer.apply, start, end, x, y, x_test=x_test, y_test=y_test, rates=rates)


def _regime(seen: TrainingRun) -> dict[str, Any] | None:
    """The verdict in plain numbers; None where the rows say nothing."""
    try:
        report = regime_report(seen)
    except InputError:
        return None
    plain = {k: v if isinstance(v, str) or np.isfinite(v) else None for k, v in report._asdict().items()}
    return {**plain, "examples": len(seen.targets), "lazy": [*LAZY], "rich": [*RICH]}


def _distance(measured: np.ndarray, predicted: np.ndarray) -> float:
    """‖f − f̂‖ / ‖f̂ − f₀‖ at the last step."""
    moved = float(np.linalg.norm(predicted[-1] - predicted[0]))
    return float(np.linalg.norm(measured[-1] - predicted[-1])) / moved if moved > 0 else 0.0
