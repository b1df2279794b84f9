"""Batches of graphs for tests: from dense patterns, and at random."""

from pathlib import Path

import numpy as np

import ntkit as nk


def graphs_of(values: np.ndarray, patterns: np.ndarray) -> nk.Graphs:
    """Graphs from (n, V, C) values and (n, V, V) patterns, pattern[i, j] the weight from i to j."""
    n, nodes, channels = values.shape
    edges = [np.argwhere(p) for p in patterns]
    weights = [p[tuple(e.T)] for p, e in zip(patterns, edges, strict=True)]
    return nk.Graphs(
        values.reshape(-1, channels),
        nodes * np.arange(n + 1),
        np.concatenate(edges),
        np.concatenate([[0], np.cumsum([len(e) for e in edges])]),
        np.concatenate(weights),
        directed=True,
    )


def random_graphs(sizes: tuple[int, ...], seed: int = 0, channels: int = 3) -> nk.Graphs:
    """Connected graphs: a random tree and a few more edges; values are normal."""
    draw = np.random.default_rng(seed)
    edges = []
    for n in sizes:
        pairs = {(int(draw.integers(i)), i) for i in range(1, n)}
        pairs |= {tuple(sorted(draw.choice(n, 2, replace=False).tolist())) for _ in range(n // 2) if n > 1}
        edges.append(np.array(sorted(pairs)).reshape(-1, 2))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return nk.Graphs(
        draw.normal(size=(offsets[-1], channels)),
        offsets,
        np.concatenate(edges),
        np.concatenate([[0], np.cumsum([len(e) for e in edges])]),
    )


def mutag(path: Path) -> nk.Graphs:
    """The graphs of MUTAG in float64, with one-hot atoms."""
    with np.load(path, allow_pickle=False) as d:
        values = np.eye(len(d["tag_values"]))[d["node_tags"]]
        return nk.Graphs(values, d["node_offsets"], d["edges"], d["edge_offsets"])
