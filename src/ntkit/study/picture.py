"""The picture of the kernel: its correlations between some training rows, in the order of their targets."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ntkit.study.examples import Examples
from ntkit.study.preprocessing import ClassCoding
from ntkit.study.words import number

ROWS = 120


def kernel_picture(ntk: Float[np.ndarray, "n n"], examples: Examples, classes: list[str]) -> dict[str, Any]:
    """Correlations Θ(x, x') / √(Θ(x, x) Θ(x', x')) of at most 120 training rows, and their means over all rows.

    Args:
        ntk: The tangent kernel of the training rows.
        examples: The examples of the study.
        classes: The names of the classes; empty for a regression.
    """
    y = examples.train.y
    scale = np.sqrt(np.maximum(np.diag(ntk).astype(np.float64), np.finfo(np.float64).tiny))
    correlation = ntk / scale[:, None] / scale
    shown = np.arange(min(ROWS, len(y)))  # the rows are in random order, classes in proportion
    shown = shown[np.argsort(y[shown], kind="stable")]
    classify = isinstance(examples.train.coding, ClassCoding)
    if classify:
        near = y[:, None] == y
        blocks = [np.flatnonzero(y[shown] == c) for c in range(len(classes))]
        ticks = [(float(b.mean()), classes[c]) for c, b in enumerate(blocks) if len(b)]
        labels = [classes[c] for c in y[shown]]
    else:
        distance = np.abs(y[:, None] - y)
        near = distance <= np.quantile(distance, 0.1)
        places = np.linspace(0, len(shown) - 1, 6).round().astype(int)
        ticks = [(float(p), number(y[shown][p])) for p in places]
        labels = [number(value) for value in y[shown]]
    off = ~np.eye(len(y), dtype=bool)
    far = off & ~near if classify else off
    return {
        "rows": examples.split.train[shown].tolist(),
        "labels": labels,
        "correlation": np.round(correlation[np.ix_(shown, shown)], 4).tolist(),
        "tick_positions": [place for place, _ in ticks],
        "tick_labels": [label for _, label in ticks],
        "mean_near": float(np.mean(correlation[off & near])) if np.any(off & near) else 1.0,
        "mean_far": float(np.mean(correlation[far])) if np.any(far) else 1.0,
    }
