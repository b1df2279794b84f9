"""The graph data sets of the papers: graphs, labels and folds."""

from typing import NamedTuple

import numpy as np

import ntkit as nk
import record
from ntkit import datasets

DATA = record.ROOT.parent / "shared" / "data"


class GraphSet(NamedTuple):
    """Graphs, their classes, and the fold 0…9 in which each is a test graph (−1: in none)."""

    graphs: nk.Graphs
    labels: np.ndarray
    folds: np.ndarray


def load(name: str) -> GraphSet:
    """A set by the name of its file; nodes have one-hot tags, or one-hot degrees where all tags are alike."""
    place = DATA / f"graphs-{name}.npz"
    data = datasets.load(place)
    assert isinstance(data.x, nk.Graphs)
    with np.load(place, allow_pickle=False) as arrays:
        return GraphSet(data.x, data.y, arrays["test_fold"])
