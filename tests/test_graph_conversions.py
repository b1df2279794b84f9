"""Graphs from lists, from networkx and from PyTorch Geometric: the same graphs give the same kernel."""

import types

import networkx
import numpy as np
import pytest
import torch

import ntkit as nk
from graph_batches import random_graphs
from ntkit.errors import InputError

NET = nk.Aggregate(self_loops=1.0) >> nk.Dense(8) >> nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(1)


def halves(x: nk.Graphs) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(values, edges, weights) of each graph, every edge once."""
    found = []
    for i in range(len(x)):
        one = x[i]
        up = one.edges[:, 0] < one.edges[:, 1]
        found.append((one.values, one.edges[up], one.weights[up]))
    return found


@pytest.fixture(scope="module")
def graphs() -> nk.Graphs:
    return random_graphs((4, 6, 2, 5))


def same(a: nk.Graphs, b: nk.Graphs) -> None:
    np.testing.assert_allclose(nk.ntk(NET, a), nk.ntk(NET, b), rtol=1e-12)


def test_from_a_list(graphs) -> None:
    same(nk.Graphs.from_list(halves(graphs)), graphs)
    same(nk.Graphs.from_list([(v, e) for v, e, _ in halves(graphs)]), graphs)
    both = [(graphs[i].values, graphs[i].edges) for i in range(len(graphs))]
    same(nk.Graphs.from_list(both, directed=True), graphs)


@pytest.mark.parametrize("kind", [networkx.Graph, networkx.DiGraph, networkx.MultiGraph])
def test_from_networkx(graphs, kind) -> None:
    made = []
    for values, edges, _ in halves(graphs):
        g = kind()
        for i, row in enumerate(values):
            g.add_node(f"atom {i}", x=row, first=float(row[0]))
        g.add_edges_from((f"atom {a}", f"atom {b}", {"bond": 2.0}) for a, b in edges)
        made.append(g)
    directed = kind is networkx.DiGraph
    expected = nk.Graphs.from_list(halves(graphs), directed=directed)
    same(nk.Graphs.from_networkx(made), expected)
    doubled = nk.Graphs.from_list([(v, e, 2.0 * w) for v, e, w in halves(graphs)], directed=directed)
    same(nk.Graphs.from_networkx(made, weight="bond"), doubled)
    same(nk.Graphs.from_networkx(made, features="first"), expected.with_values(expected.values[:, :1]))
    degree = nk.Graphs.from_networkx(made, lambda g, v: [g.degree(v), 1.0])
    assert degree.channels == 2
    assert degree.values[:, 0].sum() == 2 * sum(len(e) for _, e, _ in halves(graphs))


def stand_in(values, edge_index, **more):
    return types.SimpleNamespace(x=torch.as_tensor(values), edge_index=torch.as_tensor(edge_index), **more)


def test_from_objects_as_pytorch_geometric_has_them(graphs) -> None:
    each = [(graphs[i].values, graphs[i].edges.T) for i in range(len(graphs))]
    same(nk.Graphs.from_pyg([stand_in(*g) for g in each]), graphs)
    weighted = [stand_in(v, e, edge_weight=torch.full((e.shape[1],), 2.0)) for v, e in each]
    columns = [stand_in(v, e, edge_attr=torch.full((e.shape[1], 1), 2.0)) for v, e in each]
    doubled = nk.Graphs.from_list([(v, e, 2.0 * w) for v, e, w in halves(graphs)])
    same(nk.Graphs.from_pyg(weighted), doubled)
    same(nk.Graphs.from_pyg(columns, weights="edge_attr"), doubled)
    same(nk.Graphs.from_pyg(columns), graphs)


def test_from_pytorch_geometric(graphs) -> None:
    data = pytest.importorskip("torch_geometric.data")
    each = [
        data.Data(x=torch.tensor(graphs[i].values), edge_index=torch.tensor(graphs[i].edges.T))
        for i in range(len(graphs))
    ]
    same(nk.Graphs.from_pyg(each), graphs)
    with pytest.raises(InputError, match="found one; pass"):
        nk.Graphs.from_pyg(each[0])


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ([], "there is no graph"),
        (
            [(np.eye(2), [[0, 1]]), (np.eye(3), [])],
            "nodes of graph 1 have 3 features, those of graph 0 have 2",
        ),
        ([np.eye(2)], r"graph 0 must be a tuple \(values, edges\) or .* found ndarray"),
        ([(np.eye(2),)], "found tuple of 1"),
        ([(np.eye(2), [[0, 1]]), (np.zeros((0, 2)), [])], "graph 1 is empty"),
        ([(np.eye(2), [[0, 1]]), (np.eye(2), [[0, 2]])], "of graph 1 leads out of its 2 nodes"),
        ([(np.eye(2), [0, 1])], r"edges of graph 0 must be shaped \(edges, 2\)"),
        ([(np.eye(2), [[0, 1]], [1, 2])], "weights of graph 0 must be 1 numbers"),
        ([(np.eye(2) * np.nan, [[0, 1]])], "values of graph 0 hold"),
    ],
)
def test_bad_lists_name_the_graph(items, match) -> None:
    with pytest.raises(InputError, match=match):
        nk.Graphs.from_list(items)


def test_bad_graphs_of_networkx() -> None:
    path, arrows = networkx.path_graph(3), networkx.path_graph(3, networkx.DiGraph)
    with pytest.raises(InputError, match="node 0 of graph 0 has no attribute 'x'; it has"):
        nk.Graphs.from_networkx([path])
    with pytest.raises(InputError, match="graph 0 is not directed, graph 1 is directed"):
        nk.Graphs.from_networkx([path, arrows], lambda g, v: [1.0])
    with pytest.raises(InputError, match="nodes of graph 0 have 1 to 2 features"):
        nk.Graphs.from_networkx([path], lambda g, v: [1.0] * g.degree(v))
    with pytest.raises(InputError, match=r"found one; pass \[graph\]"):
        nk.Graphs.from_networkx(path)


def test_bad_graphs_of_pytorch_geometric() -> None:
    good = stand_in(np.eye(2), [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="graph 1 has no x; give its nodes features"):
        nk.Graphs.from_pyg([good, types.SimpleNamespace(x=None, edge_index=good.edge_index)])
    with pytest.raises(InputError, match="graph 0 has no edge_index"):
        nk.Graphs.from_pyg([types.SimpleNamespace(x=good.x)])
    with pytest.raises(
        InputError, match=r"edge_index of graph 0 must be shaped \(2, edges\), found \(1, 2\)"
    ):
        nk.Graphs.from_pyg([stand_in(np.eye(2), [[0, 1]])])
    with pytest.raises(InputError, match="nodes of graph 1 have 3 features, those of graph 0 have 2"):
        nk.Graphs.from_pyg([good, stand_in(np.eye(3), [[0, 1], [1, 0]])])
