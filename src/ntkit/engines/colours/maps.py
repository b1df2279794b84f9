"""Linear maps of nodes as sparse matrices: of aggregations, of readouts, and between colours."""

import dataclasses

import numpy as np
import scipy.sparse

from ntkit.batches import Graphs
from ntkit.moments.neighbours import Neighbours


@dataclasses.dataclass(frozen=True)
class Map:
    """y = M x, row after row of M.

    Attributes:
        begins: (rows + 1,), where the entries of each row begin.
        columns: Of each entry.
        weights: Of each entry.
        width: How many columns M has.
    """

    begins: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.begins) - 1

    def entries(self, rows: np.ndarray) -> np.ndarray:
        """Where the entries of some rows lie, one row after another."""
        lengths = (self.begins[1:] - self.begins[:-1])[rows]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(self.begins[rows] - ends + lengths, lengths)

    def at(self, rows: np.ndarray) -> "Map":
        """Some of its rows."""
        where = self.entries(rows)
        begins = np.concatenate([[0], np.cumsum((self.begins[1:] - self.begins[:-1])[rows])])
        return Map(begins.astype(np.int64), self.columns[where], self.weights[where], self.width)

    def scaled(self, rows: np.ndarray, columns: np.ndarray) -> "Map":
        """diag(rows) M diag(columns)."""
        weights = self.weights * columns[self.columns] * np.repeat(rows, np.diff(self.begins))
        return dataclasses.replace(self, weights=weights)


def selection(columns: np.ndarray, weight: float, width: int) -> Map:
    """The rows of `columns`, one each, times a weight."""
    count = len(columns)
    return Map(np.arange(count + 1, dtype=np.int64), columns, np.full(count, weight), width)


def _from_scipy(m: scipy.sparse.csr_array) -> Map:
    m.sum_duplicates()
    return Map(m.indptr.astype(np.int64), m.indices.astype(np.int64), m.data.astype(np.float64), m.shape[1])


def aggregation(neighbours: Neighbours, graphs: list[Graphs]) -> Map:
    """The matrix of an aggregation over the nodes of all graphs of some batches, one batch behind the other."""
    nodes = np.cumsum([0] + [len(g.values) for g in graphs])
    ends = [np.stack(g.ends) + start for g, start in zip(graphs, nodes, strict=False)]
    (source, target), weights = np.concatenate(ends, axis=1), np.concatenate([g.weights for g in graphs])
    n, loops = int(nodes[-1]), float(neighbours.self_loops)
    out, into = neighbours.degrees((source, target), weights, n)
    own = np.full(n, loops)
    if neighbours.normalisation == "mean":
        inverse = _inverse(into)
        weights, own = weights * inverse[target], own * inverse
    elif neighbours.normalisation == "symmetric":
        # One root of the product, so that equal degrees are divided out exactly.
        weights = weights * np.sqrt(_inverse(into[target] * out[source]))
        own = own * np.sqrt(_inverse(into * out))
    rows, columns = target, source
    if loops != 0:
        every = np.arange(n)
        rows, columns = np.concatenate([rows, every]), np.concatenate([columns, every])
        weights = np.concatenate([weights, own])
    step = scipy.sparse.csr_array((weights, (rows, columns)), shape=(n, n))
    return _from_scipy(_repeated(step, neighbours.steps, float(neighbours.teleport)))


def _repeated(step: scipy.sparse.csr_array, times: int, teleport: float) -> scipy.sparse.csr_array:
    """M ← (1 − α) Ā M + α, from the unit matrix on."""
    if times == 1 and teleport == 0:
        return step
    unit = scipy.sparse.eye_array(step.shape[0], format="csr")
    m = unit
    for _ in range(times):
        m = (1 - teleport) * (step @ m) + teleport * unit
    return scipy.sparse.csr_array(m)


def readout(graphs: list[Graphs], *, mean: bool) -> Map:
    """The sum over the nodes of each graph, or their mean."""
    sizes = np.concatenate([g.sizes for g in graphs])
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    nodes = int(begins[-1])
    weights = np.repeat(1 / sizes, sizes) if mean else np.ones(nodes)
    return Map(begins, np.arange(nodes, dtype=np.int64), weights, nodes)


def _inverse(degree: np.ndarray) -> np.ndarray:
    return np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
