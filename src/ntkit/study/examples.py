"""The examples of a study: loaded, split, preprocessed and shaped for the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkit.batches import Graphs
from ntkit.datasets import Dataset, Table
from ntkit.study.graph_histograms import histograms
from ntkit.study.network import Network
from ntkit.study.preprocessing import fit_channels, fit_table, fit_target
from ntkit.study.scores import Targets
from ntkit.study.split import Split

BINS = 16


@dataclass(frozen=True)
class Examples:
    """Training and test examples as the network reads them, and as plain rows for the other methods.

    Args:
        split: Which rows of the data set they are.
        x_train: (n, …) in the type of the kernels, or n graphs.
        x_test: (m, …).
        train: Training targets.
        test: Test targets.
        preprocessing: What was done, one sentence each.
        columns: The names of the columns; empty for images.
    """

    split: Split
    x_train: np.ndarray | Graphs
    x_test: np.ndarray | Graphs
    train: Targets
    test: Targets
    preprocessing: tuple[str, ...]
    columns: tuple[str, ...]

    def as_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and test examples as plain float64 rows; of graphs, their histograms."""
        if isinstance(self.x_train, Graphs) and isinstance(self.x_test, Graphs):
            return histograms(self.x_train, self.x_test)
        return tuple(np.reshape(x, (len(x), -1)).astype(np.float64) for x in (self.x_train, self.x_test))  # type: ignore[return-value, arg-type]


@dataclass(frozen=True)
class Scaled:
    """All examples of a split after preprocessing, not yet shaped for a network."""

    train: np.ndarray | Graphs
    test: np.ndarray | Graphs
    notes: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of one example; None where it is open."""
        return self.train.shape[1:]


def scale(data: Dataset, split: Split) -> Scaled:
    """Preprocess the rows of a split, with what is learnt from the training rows alone."""
    if isinstance(data.x, Table):
        rows = data.x.rows(split.train)
        table = fit_table(rows)
        return Scaled(table(rows), table(data.x.rows(split.test)), table.notes, table.names)
    if isinstance(data.x, Graphs):
        return Scaled(data.x[split.train], data.x[split.test], (), ())
    x = data.x if data.x.ndim != 3 else data.x[..., None] if _is_grey(data.x) else data.x
    channels = fit_channels(x[split.train])
    return Scaled(channels(x[split.train]), channels(x[split.test]), channels.notes, ())


def shape(
    data: Dataset, split: Split, scaled: Scaled, network: Network, dtype: type[np.floating]
) -> Examples:
    """The examples in the shape and type in which the network reads them, with their coded targets."""
    x_train, x_test = (_as_read(x, network, dtype) for x in (scaled.train, scaled.test))
    y_train, y_test = data.y[split.train], data.y[split.test]
    coding = fit_target(y_train, data.task, len(data.class_names))
    train, test = (Targets(y, coding(y), coding) for y in (y_train, y_test))
    return Examples(split, x_train, x_test, train, test, scaled.notes, scaled.columns)


def describe(data: Dataset, examples: Examples, network: Network) -> dict[str, Any]:
    """The facts of the data that the report shows."""
    y_train, y_test = examples.train.y, examples.test.y
    facts: dict[str, Any] = {
        "name": data.name,
        "task": data.task,
        "target": data.target_name,
        "rows": len(data),
        "n_train": len(y_train),
        "n_test": len(y_test),
        "example_shape": shape_names(
            data.x.numbers.shape[1:] if isinstance(data.x, Table) else data.x.shape[1:]
        ),
        "input_shape": shape_names(network.input_shape),
        "columns": list(examples.columns),
        "classes": list(data.class_names),
        "notes": list(data.notes),
        "preprocessing": list(examples.preprocessing),
    }
    if isinstance(data.x, Table):
        facts["example_shape"] = [data.x.numbers.shape[1] + data.x.categories.shape[1]]
    if isinstance(data.x, Graphs):
        facts["graphs"] = _describe_graphs(data.x)
    if data.task == "classification":
        counts = [np.bincount(y, minlength=len(data.class_names)).tolist() for y in (y_train, y_test)]
    else:
        edges = np.histogram_bin_edges(np.concatenate([y_train, y_test]), BINS)
        counts = [np.histogram(y, edges)[0].tolist() for y in (y_train, y_test)]
        facts["bins"] = ((edges[:-1] + edges[1:]) / 2).tolist()
        facts["target_range"] = [float(data.y.min()), float(data.y.max())]
        facts["target_mean_train"], facts["target_deviation_train"] = (
            float(y_train.mean()),
            float(y_train.std()),
        )
    facts["counts_train"], facts["counts_test"] = counts
    return facts


def shape_names(shape: tuple[int | None, ...]) -> list[int | str]:
    """A shape as JSON has it; the open extent of graphs by its name.

    Example:
        >>> shape_names((None, 7))
        ['nodes', 7]
    """
    return ["nodes" if extent is None else extent for extent in shape]


def _as_read(x: np.ndarray | Graphs, network: Network, dtype: type[np.floating]) -> np.ndarray | Graphs:
    if isinstance(x, Graphs):
        return x.with_values(x.values.astype(dtype))
    return np.reshape(x, (len(x), *network.input_shape)).astype(dtype)  # type: ignore[type-var]


def _describe_graphs(x: Graphs) -> dict[str, Any]:
    """How large the graphs are; an edge that leads both ways, which stands in them twice, counts once."""
    loops = int((x.edges[:, 0] == x.edges[:, 1]).sum())
    return {
        "nodes_least": int(x.sizes.min()),
        "nodes_mean": float(x.sizes.mean()),
        "nodes_most": int(x.sizes.max()),
        "edges_mean": (len(x.edges) + loops) / 2 / len(x),
    }


def _is_grey(x: np.ndarray) -> bool:
    """Whether (rows, a, b) looks like grey images without a channel axis rather than sequences of channels."""
    return x.shape[1] == x.shape[2]
