"""Graphs as plain rows, for methods that read nothing else: histograms."""

import numpy as np
from jaxtyping import Float

from ntkit.batches import Graphs

NAME = "histograms of node features and degrees"


def histograms(
    train: Graphs, test: Graphs
) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, "m columns"]]:
    """Sums of node features, how many nodes have each degree, and logarithms of how many nodes and edges there are.

    Sums of one-hot tags count them. Columns are standardised over the training graphs; a constant one is left out. Degrees
    above the largest of the training graphs count as that one.

    Args:
        train: The training graphs.
        test: The test graphs.

    Example:
        >>> path = Graphs(np.ones((3, 1)), [0, 3], [[0, 1], [1, 2]])
        >>> pair = Graphs(np.ones((5, 1)), [0, 3, 5], [[0, 1], [1, 2], [0, 1]], [0, 2, 3])
        >>> histograms(pair, path)[1].round(9).tolist()  # as the first of the pair in each column
        [[1.0, 1.0, 1.0, 1.0]]
    """
    most = int(_degrees(train).max())
    rows, others = _columns(train, most), _columns(test, most)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    kept = deviation > 1e-12 * np.abs(rows).max(axis=0)
    return tuple((x[:, kept] - mean[kept]) / deviation[kept] for x in (rows, others))


def _degrees(x: Graphs) -> np.ndarray:
    return np.bincount(x.ends[1], minlength=len(x.values))


def _columns(x: Graphs, most: int) -> np.ndarray:
    sums = np.add.reduceat(x.values.astype(np.float64), x.offsets[:-1], axis=0)
    counts = np.zeros((len(x), most + 1))
    np.add.at(counts, (np.repeat(np.arange(len(x)), x.sizes), np.minimum(_degrees(x), most)), 1.0)
    sizes = np.log1p(np.stack([x.sizes, np.diff(x.edge_offsets)], axis=1))
    return np.concatenate([sums, counts, sizes], axis=1)
