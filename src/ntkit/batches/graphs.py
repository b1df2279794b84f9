"""`Graphs`, a batch of graphs of different sizes: one table of nodes, one of edges."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ntkit.batches.conversions import of_networkx, of_pyg, tables
from ntkit.batches.padded import Padded
from ntkit.batches.ragged import Ragged, check_offsets, check_values
from ntkit.errors import InputError


class Graphs(Ragged):
    """Graphs whose nodes have as many features each, laid out one after another.

    Args:
        values: (nodes of all graphs, C), features of nodes; graph g has the rows node_offsets[g] … node_offsets[g+1] − 1.
        node_offsets: (n + 1,), whole numbers that begin with 0 and end with the number of all nodes.
        edges: (edges of all graphs, 2), numbers of nodes within their graph, from and to.
        edge_offsets: (n + 1,), the same for the rows of `edges`; None for one graph.
        weights: (edges of all graphs,), of the edges; None for 1 each.
        directed: Whether an edge leads one way only; else it stands for both ways, and is listed once.

    Raises:
        InputError: A graph is empty, an edge leads to a node that there is not, offsets are not sorted, or values are not
            finite numbers; the message names the graph or the row.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> path, triangle = [[0, 1], [1, 2]], [[0, 1], [1, 2], [0, 2]]
        >>> x = nk.Graphs(np.ones((6, 1)), [0, 3, 6], path + triangle, [0, 2, 5])
        >>> x.sizes.tolist()
        [3, 3]
    """

    def __init__(
        self,
        values: Any,
        node_offsets: Any,
        edges: Any,
        edge_offsets: Any = None,
        weights: Any = None,
        *,
        directed: bool = False,
    ):
        self.values = check_values(values, "Graphs", "values")
        self.offsets = check_offsets(node_offsets, len(self.values), "Graphs", "node_offsets", empty=False)
        edges = np.asarray(edges)
        edges = edges.reshape(0, 2) if edges.size == 0 else edges
        if edges.ndim != 2 or edges.shape[1] != 2 or (edges.size and edges.dtype.kind not in "iu"):
            raise InputError(
                f"Graphs: edges must be shaped (edges, 2) and hold numbers of nodes; found shape {edges.shape} of {edges.dtype}"
            )
        edges = edges.astype(np.int64)
        if edge_offsets is None:
            if len(self) > 1:
                raise InputError("Graphs: edge_offsets must be given where there is more than one graph")
            edge_offsets = [0, len(edges)]
        edge_offsets = check_offsets(edge_offsets, len(edges), "Graphs", "edge_offsets", empty=True)
        if len(edge_offsets) != len(self.offsets):
            raise InputError(
                f"Graphs: node_offsets describe {len(self)} graphs, edge_offsets {len(edge_offsets) - 1}"
            )
        owner = np.repeat(np.arange(len(self)), np.diff(edge_offsets))
        _check_ends(edges, owner, self.sizes)
        strengths = np.ones(len(edges)) if weights is None else _checked_weights(weights, len(edges))
        if not directed:
            back = np.flatnonzero(edges[:, 0] != edges[:, 1])
            edges = np.concatenate([edges, edges[back, ::-1]])
            owner, strengths = (
                np.concatenate([owner, owner[back]]),
                np.concatenate([strengths, strengths[back]]),
            )
        order = np.argsort(owner, kind="stable")
        self.edges, self.weights = edges[order], strengths[order]
        self.edge_offsets = np.searchsorted(owner[order], np.arange(len(self) + 1))

    @classmethod
    def from_list(cls, graphs: Iterable[Sequence[Any]], *, directed: bool = False) -> "Graphs":
        """Graphs one by one.

        Args:
            graphs: (values, edges) or (values, edges, weights) of each: (nodes, C), (edges, 2), (edges,).
            directed: Whether an edge leads one way only; else it stands for both ways, and is listed once.

        Raises:
            InputError: A graph is empty, has another number of features, or an edge that leads nowhere; the message names it.

        Example:
            >>> import numpy as np, ntkit as nk
            >>> x = nk.Graphs.from_list([(np.eye(2), [[0, 1]]), (np.ones((3, 2)), [[0, 1], [1, 2]])])
            >>> x.sizes.tolist()
            [2, 3]
        """
        return cls(*tables(graphs), directed=directed)

    @classmethod
    def from_networkx(
        cls,
        graphs: Iterable[Any],
        features: str | Callable[[Any, Any], Any] = "x",
        *,
        weight: str | None = None,
    ) -> "Graphs":
        """Graphs of networkx; nodes keep the order in which they were added.

        Args:
            graphs: Of one kind, directed or not.
            features: Name of the attribute of nodes that holds their features, a number or several; or a function of graph
                and node that gives them, such as `lambda g, v: [g.degree(v)]`.
            weight: Name of the attribute of edges that holds their weights, 1 where one has none; None for 1 each.

        Raises:
            InputError: A node has no such attribute or another number of features; the message names the graph.
        """
        found, directed = of_networkx(graphs, features, weight)
        return cls.from_list(found, directed=directed)

    @classmethod
    def from_pyg(cls, data: Iterable[Any], *, weights: str = "edge_weight") -> "Graphs":
        """Graphs of PyTorch Geometric, where `edge_index` lists either way of an edge by itself.

        Args:
            data: Objects with `x`, (nodes, C), and `edge_index`, (2, edges): a list of `Data`, or a data set.
            weights: The attribute that holds weights of edges, (edges,) or (edges, 1), used where there is one. Other features
                of edges are not read.

        Raises:
            InputError: A graph has no features of nodes or another number of them; the message names it.
        """
        return cls.from_list(of_pyg(data, weights), directed=True)

    @property
    def tables(self) -> dict[str, np.ndarray]:
        names = ("values", "offsets", "edges", "edge_offsets", "weights")
        return {name: getattr(self, name) for name in names}

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each edge comes from and leads to, each way by itself, as rows of `values`."""
        start = np.repeat(self.offsets[:-1], np.diff(self.edge_offsets))
        return self.edges[:, 0] + start, self.edges[:, 1] + start

    def take(self, rows: np.ndarray) -> "Graphs":
        nodes, edges = _ranges(self.offsets, rows), _ranges(self.edge_offsets, rows)
        return Graphs(
            self.values[nodes],
            np.concatenate([[0], np.cumsum(self.sizes[rows])]),
            self.edges[edges],
            np.concatenate([[0], np.cumsum(np.diff(self.edge_offsets)[rows])]),
            self.weights[edges],
            directed=True,
        )

    def with_values(self, values: np.ndarray) -> "Graphs":
        return Graphs(values, self.offsets, self.edges, self.edge_offsets, self.weights, directed=True)

    def padded(self, positions: int, dtype: Any) -> Padded:
        mask = np.arange(positions) < self.sizes[:, None]
        values = np.zeros((len(self), positions, self.channels), dtype)
        values[mask] = self.values
        pattern = np.zeros((len(self), positions, positions), dtype)
        owner = np.repeat(np.arange(len(self)), np.diff(self.edge_offsets))
        np.add.at(pattern, (owner, self.edges[:, 0], self.edges[:, 1]), self.weights)
        return Padded(values, mask.astype(np.float32), pattern)  # type: ignore[arg-type]


def _ranges(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of a table that belong to these examples, one after another."""
    parts = [np.arange(offsets[i], offsets[i + 1]) for i in rows]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _check_ends(edges: np.ndarray, owner: np.ndarray, sizes: np.ndarray) -> None:
    wrong = ((edges < 0) | (edges >= sizes[owner][:, None])).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        graph = int(owner[row])
        raise InputError(
            f"Graphs: edge {edges[row].tolist()} (row {row}) of graph {graph} leads out of its {sizes[graph]} nodes, which are "
            f"numbered 0 … {sizes[graph] - 1} within each graph"
        )


def _checked_weights(weights: Any, count: int) -> np.ndarray:
    array = np.asarray(weights)
    if array.shape != (count,) or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(
            f"Graphs: weights must be {count} finite numbers, one an edge; found shape {array.shape}"
        )
    return array.astype(np.float64)
