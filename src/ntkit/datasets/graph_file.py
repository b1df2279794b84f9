"""Graphs in an ``.npz`` file: tables of nodes and edges with offsets, one target a graph."""

from pathlib import Path

import numpy as np

from ntkit.batches import Graphs
from ntkit.datasets.dataset import Dataset
from ntkit.datasets.target import code_target
from ntkit.errors import InputError

Arrays = dict[str, np.ndarray]

LAYOUT = ("node_offsets", "edge_offsets", "edges")
TEST_FOLD = 0  # the one that tests, of a file with folds


def holds_graphs(arrays: Arrays) -> bool:
    """Whether any array bears a name that only files of graphs have."""
    return bool({"node_offsets", "edge_offsets", "node_tags"} & set(arrays))


def load_graphs(arrays: Arrays, path: Path, task: str | None) -> Dataset:
    """The data set of a file with one target a graph; graphs of fold 0 test where the file has folds.

    Args:
        arrays: Of the file: what `read_graphs` reads, ``labels`` (G,), and perhaps ``label_values`` (C,), names of classes
            0 … C−1, and ``test_fold`` (G,), the fold in which a graph tests.
        path: The file, for messages.
        task: ``"classification"``, ``"regression"`` or None (find out).

    Raises:
        InputError: Arrays are missing or do not fit together; the message names the array, the graph or the node.
    """
    if "labels" not in arrays:
        raise InputError(
            f"{path}: a file of graphs needs labels, one a graph; it holds {', '.join(sorted(arrays))}"
        )
    graphs, note = read_graphs(arrays, path)
    labels = _one_a_graph(arrays, "labels", len(graphs), path)
    task, y, class_names = code_target(labels, "labels", task)
    names = arrays.get("label_values")
    if task == "classification" and names is not None and names.ndim == 1:
        known = labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < len(names)
        class_names = tuple(str(names[int(c)]) for c in class_names) if known else class_names
    given_test, notes = None, [note]
    if "test_fold" in arrays:
        given_test = _one_a_graph(arrays, "test_fold", len(graphs), path) == TEST_FOLD
        if not 0 < given_test.sum() < len(graphs):
            raise InputError(
                f"{path}: {given_test.sum()} of {len(graphs)} graphs have test_fold {TEST_FOLD}, the fold that tests: "
                "number folds from 0, or leave test_fold out"
            )
        notes.append(f"The {given_test.sum()} graphs of test fold {TEST_FOLD} of the file test.")
    return Dataset(path.stem, task, graphs, y, "labels", class_names, given_test, tuple(notes))


def read_graphs(arrays: Arrays, path: Path) -> tuple[Graphs, str]:
    """The graphs of a file, and one sentence on what their nodes hold.

    Args:
        arrays: ``node_offsets`` (G + 1,), ``edge_offsets`` (G + 1,), ``edges`` (E, 2), each edge once, with numbers of nodes
            from 0 within its graph; ``weights`` (E,) of the edges or none; and ``values`` (N, C), features of nodes, or
            ``node_tags`` (N,), whole numbers 0 … T−1. Tags become one-hot; a single tag gives way to the degree, one-hot too.
        path: The file, for messages.

    Raises:
        InputError: Arrays are missing or do not fit together; the message names the array, the graph or the node.
    """
    missing = [name for name in LAYOUT if name not in arrays]
    if missing or not {"values", "node_tags"} & set(arrays):
        raise InputError(
            f"{path}: a file of graphs needs {', '.join(LAYOUT)}, and values or node_tags; "
            f"it holds {', '.join(sorted(arrays))}"
        )
    try:
        offsets = arrays["node_offsets"]
        edges = arrays["edges"], arrays["edge_offsets"], arrays.get("weights")
        if "values" in arrays:
            graphs = Graphs(arrays["values"], offsets, *edges)
            what = f"Nodes have the {graphs.channels} features of values"
        else:
            tags = _checked_tags(arrays["node_tags"], arrays.get("tag_values"))
            graphs = Graphs(tags[:, None], offsets, *edges)
            several = int(tags.max()) > 0
            graphs = graphs.with_values(one_hot(tags) if several else degrees(graphs))
            what = (
                f"Nodes have their {'tags' if several else 'degrees (there is one tag)'} as one-hot features"
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    _check_once(arrays, path)
    return graphs, f"{what}."


def one_hot(tags: np.ndarray) -> np.ndarray:
    """(N, T): 1 in the column of each tag.

    Example:
        >>> one_hot(np.array([1, 0])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return np.eye(int(tags.max()) + 1)[tags]


def degrees(graphs: Graphs) -> np.ndarray:
    """(N, different degrees): the number of edges at each node, one-hot among the numbers that occur."""
    count = np.bincount(graphs.ends[1], minlength=len(graphs.values))
    return one_hot(np.unique(count, return_inverse=True)[1])


def _checked_tags(tags: np.ndarray, names: np.ndarray | None) -> np.ndarray:
    if tags.ndim != 1 or len(tags) == 0 or tags.dtype.kind not in "iu":
        raise InputError(
            f"node_tags must be whole numbers, one a node; found shape {tags.shape} of {tags.dtype}"
        )
    most = len(names) if names is not None else len(tags)
    wrong = (tags < 0) | (tags >= most)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"node_tags holds {tags[row]} in row {row}: tags are numbered 0 … {most - 1}"
            + (", one for each of tag_values" if names is not None else "")
        )
    return tags.astype(np.int64)


def _check_once(arrays: Arrays, path: Path) -> None:
    """Refuse files that list an edge twice, such as once in each direction: it would count double."""
    edges, offsets = np.sort(arrays["edges"].reshape(-1, 2), axis=1), arrays["edge_offsets"]
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    _, first, count = np.unique(
        np.column_stack([owner, edges]), axis=0, return_index=True, return_counts=True
    )
    if (count > 1).any():
        row = int(first[np.argmax(count > 1)])
        raise InputError(
            f"{path}: graph {owner[row]} has the edge {edges[row].tolist()} more than once: "
            "list each undirected edge once, not once in each direction"
        )


def _one_a_graph(arrays: Arrays, name: str, count: int, path: Path) -> np.ndarray:
    array = arrays[name]
    if array.shape != (count,) or array.dtype.kind not in "fiubUS":
        raise InputError(
            f"{path}: {name} has shape {array.shape} of {array.dtype} for {count} graphs: give one a graph"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        graph = int(np.argmin(np.isfinite(array)))
        raise InputError(f"{path}: {name} holds {array[graph]} for graph {graph}: leave the graph out")
    return array.astype(str) if array.dtype.kind in "US" else array
