"""Tables of nodes and edges from lists of graphs: of arrays, of networkx, of PyTorch Geometric. Neither library is imported."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ntkit.batches.ragged import check_values
from ntkit.errors import InputError


class Tables(NamedTuple):
    """What `Graphs` is made of: all nodes, all edges, and where each graph begins."""

    values: np.ndarray
    node_offsets: np.ndarray
    edges: np.ndarray
    edge_offsets: np.ndarray
    weights: np.ndarray


def tables(items: Iterable[Sequence[Any]]) -> Tables:
    """Of tuples (values, edges) or (values, edges, weights), one a graph.

    Raises:
        InputError: There is no graph, or one is no such tuple or has another number of features; the message names it.
    """
    parts = [_checked(item, number) for number, item in enumerate(items)]
    if not parts:
        raise InputError("Graphs: there is no graph")
    channels = parts[0][0].shape[1]
    for number, (values, _, _) in enumerate(parts):
        if values.shape[1] != channels:
            raise InputError(
                f"Graphs: nodes of graph {number} have {values.shape[1]} features, those of graph 0 have {channels}"
            )
    values, edges, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Tables(values, _offsets([p[0] for p in parts]), edges, _offsets([p[1] for p in parts]), weights)


def _checked(item: Any, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise InputError(
            f"Graphs: graph {number} must be a tuple (values, edges) or (values, edges, weights), found "
            f"{type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
        )
    values = check_values(item[0], "Graphs", f"values of graph {number}")
    if len(values) == 0:
        raise InputError(f"Graphs: graph {number} is empty, it has no nodes; leave it out")
    edges = np.asarray(item[1])
    edges = np.zeros((0, 2), np.int64) if edges.size == 0 else edges
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise InputError(
            f"Graphs: edges of graph {number} must be shaped (edges, 2) and hold numbers of nodes; found shape {edges.shape} "
            f"of {edges.dtype}"
        )
    weights = np.ones(len(edges)) if len(item) == 2 or item[2] is None else np.asarray(item[2])
    if weights.shape != (len(edges),):
        raise InputError(
            f"Graphs: weights of graph {number} must be {len(edges)} numbers, one an edge; found shape {weights.shape}"
        )
    return values, edges, weights


def _offsets(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(a) for a in arrays])])


def of_networkx(
    graphs: Iterable[Any], features: str | Callable[[Any, Any], Any], weight: str | None
) -> tuple[list[tuple], bool]:
    """The tuples of `tables`, and whether edges lead one way only.

    Raises:
        InputError: A node has no such features; some graphs are directed and some are not.
    """
    if hasattr(graphs, "adj"):
        raise InputError("Graphs: expected a list of networkx graphs, found one; pass [graph]")
    graphs = list(graphs)
    kinds = [bool(g.is_directed()) for g in graphs]
    if len(set(kinds)) > 1:
        odd = kinds.index(not kinds[0])
        raise InputError(
            f"Graphs: graph 0 is {'' if kinds[0] else 'not '}directed, graph {odd} is {'' if kinds[odd] else 'not '}directed: "
            "bring all to one kind, with to_directed or to_undirected"
        )
    found = []
    for number, graph in enumerate(graphs):
        place = {node: i for i, node in enumerate(graph.nodes)}
        values = [_features(graph, node, features, number) for node in graph.nodes]
        widths = {len(v) for v in values}
        if len(widths) > 1:
            raise InputError(f"Graphs: nodes of graph {number} have {min(widths)} to {max(widths)} features")
        edges = [(place[a], place[b]) for a, b in graph.edges()]
        weights = None if weight is None else [w for _, _, w in graph.edges(data=weight, default=1.0)]
        found.append((np.reshape(values, (len(values), -1)), edges, weights))
    return found, any(kinds)


def _features(graph: Any, node: Any, features: str | Callable[[Any, Any], Any], number: int) -> np.ndarray:
    if callable(features):
        return np.atleast_1d(features(graph, node))
    attributes = graph.nodes[node]
    if features not in attributes:
        raise InputError(
            f"Graphs: node {node!r} of graph {number} has no attribute {features!r}; it has {sorted(map(str, attributes))}. "
            "Pass features= with the name of one, or a function of graph and node"
        )
    return np.atleast_1d(attributes[features])


def of_pyg(data: Iterable[Any], weights: str) -> list[tuple]:
    """The tuples of `tables`; edges of PyTorch Geometric lead one way and are listed both ways.

    Raises:
        InputError: A graph has no node features or no edge_index.
    """
    if hasattr(data, "edge_index"):
        raise InputError("Graphs: expected a list of graphs, found one; pass [data]")
    found = []
    for number, graph in enumerate(data):
        for name in ("x", "edge_index"):
            if getattr(graph, name, None) is None:
                raise InputError(
                    f"Graphs: graph {number} has no {name}; "
                    + ("give its nodes features, such as their degrees" if name == "x" else "give it edges")
                )
        edges, strengths = _array(graph.edge_index), getattr(graph, weights, None)
        if edges.ndim != 2 or edges.shape[0] != 2:
            raise InputError(
                f"Graphs: edge_index of graph {number} must be shaped (2, edges), found {edges.shape}"
            )
        found.append((_array(graph.x), edges.T, None if strengths is None else _one_each(strengths)))
    return found


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)


def _one_each(strengths: Any) -> np.ndarray:
    """(E,), also of (E, 1)."""
    array = _array(strengths)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
