"""The graph data sets of the papers as `nk.Graphs`, with their labels and folds."""

from typing import NamedTuple

import numpy as np

import ntkit as nk
import record

DATA = record.ROOT.parent / "shared" / "data"


class GraphSet(NamedTuple):
    """Graphs, their classes, and the fold 0…9 in which each is a test graph (−1: in none)."""

    graphs: nk.Graphs
    labels: np.ndarray
    folds: np.ndarray


def load(name: str, dtype: type = np.float64) -> GraphSet:
    """A set by the name of its file; nodes have one-hot tags, or one-hot degrees where all tags are alike."""
    with np.load(DATA / f"graphs-{name}.npz", allow_pickle=False) as d:
        nodes = d["node_offsets"]
        if len(d["tag_values"]) > 1:
            kinds, count = d["node_tags"], len(d["tag_values"])
        else:
            start = np.repeat(nodes[:-1], np.diff(d["edge_offsets"]))
            degrees = np.bincount((d["edges"] + start[:, None]).ravel(), minlength=nodes[-1])
            values, kinds = np.unique(degrees, return_inverse=True)
            count = len(values)
        graphs = nk.Graphs(np.eye(count, dtype=dtype)[kinds], nodes, d["edges"], d["edge_offsets"])
        return GraphSet(graphs, d["labels"], d["test_fold"])
