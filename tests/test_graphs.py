"""Batches of graphs: against dense algebra, the exact reference values, and what makes two graphs equal."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkit as nk
from graph_batches import graphs_of, random_graphs
from ntkit.errors import InputError
from oracle_cases import CASES, load, relative_error

READOUT = nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(1, b_std=0.2)
NETWORKS = {
    "sum": nk.Aggregate(self_loops=1.0) >> nk.Dense(64, 1.3, 0.2) >> READOUT,
    "mean": nk.Dense(64) >> nk.Relu() >> nk.Aggregate("mean", 1.0) >> nk.Dense(64, 1.3, 0.2) >> READOUT,
    "symmetric": nk.Aggregate("symmetric", 1.0) >> nk.Dense(64, 1.3) >> nk.Erf() >> nk.Dense(64) >> READOUT,
    "pagerank": nk.Dense(64)
    >> nk.Relu()
    >> nk.Aggregate("symmetric", 1.0, 4, 0.2)
    >> nk.Dense(64)
    >> READOUT,
    "mean readout": nk.Aggregate(self_loops=0.5)
    >> nk.Dense(64)
    >> nk.Relu()
    >> nk.GlobalAvgPool()
    >> nk.Dense(1),
}
networks = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize("engine", ["reference", "fused"])
@pytest.mark.parametrize("case", [c for c in CASES if c["family"] == "graph"], ids=lambda c: c["name"])
def test_exact_values(case, engine):
    arrays, net = load(case), nk.from_spec(case["spec"])
    x1, x2 = (graphs_of(arrays[f"x{k}"], arrays[f"pattern{k}"]) for k in (1, 2))
    cross, own = nk.kernel(net, x1, x2, engine=engine), nk.kernel(net, x1, engine=engine)
    alone = nk.kernels.diagonal(net, x1)
    for name in ("nngp", "ntk"):
        rows, columns = arrays[f"{name}_diag1"], arrays[f"{name}_diag2"]
        assert relative_error(getattr(cross, name), arrays[name], rows, columns) <= 1e-9
        assert relative_error(getattr(own, name), arrays[f"{name}_self"], rows, rows) <= 1e-9
        np.testing.assert_allclose(getattr(alone, name), rows, rtol=1e-9)


@networks
@pytest.mark.every(2)
def test_batches_are_single_graphs(name):
    """One kernel of graphs of many sizes is the kernels of its pairs."""
    net, x = NETWORKS[name], random_graphs(sizes=(3, 6, 2, 5))
    whole = nk.kernel(net, x)
    for i, j in ((0, 1), (2, 3), (3, 0)):
        for k, pair in zip(whole, nk.kernel(net, x[i], x[j]), strict=True):
            np.testing.assert_allclose(pair[0, 0], k[i, j], rtol=1e-12, atol=1e-13 * np.abs(k).max())
    assert np.linalg.eigvalsh(whole.ntk)[0] > -1e-12 * np.trace(whole.ntk)


@networks
@pytest.mark.every(2)
def test_order_of_nodes_does_not_matter(name):
    net, x = NETWORKS[name], random_graphs(sizes=(5, 4))
    order = np.random.default_rng(1).permutation(5)
    place = np.argsort(order)
    edges = x.edges[: x.edge_offsets[1]]
    turned = nk.Graphs(x.values[:5][order], [0, 5], place[edges], directed=True)
    for a, b in zip(nk.kernel(net, x, turned), nk.kernel(net, x, x[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@networks
@pytest.mark.every(4)
def test_finite_networks_have_the_kernel(name):
    net, x = NETWORKS[name], random_graphs(sizes=(3, 4))
    k = nk.kernel(net, x)
    found = nk.sample(net, x, key=jax.random.key(2), count=300, units=1, dtype=np.float32)
    for which in ("nngp", "ntk"):
        exact, mean, error = getattr(k, which), getattr(found, which), getattr(found, f"{which}_error")
        assert (np.abs(mean - exact) <= 4.5 * error + 0.1 * exact.max()).all()


def test_nodes_of_one_graph():
    """A network without readout gives the kernel of nodes: for a linear network, algebra says it all."""
    x = random_graphs(sizes=(6,))
    a = x.padded(6, np.float64).pattern[0]
    k = nk.nngp(nk.Aggregate() >> nk.Dense(1), x)
    gram = x.values @ x.values.T / x.channels
    np.testing.assert_allclose(k, a.T @ gram @ a, rtol=1e-12)
    for normalisation, m in (
        ("mean", ((a + np.eye(6)) / (a + np.eye(6)).sum(0)).T),
        ("symmetric", ((a + np.eye(6)) / np.sqrt(np.outer(*[(a + np.eye(6)).sum(d) for d in (1, 0)]))).T),
    ):
        once = nk.nngp(nk.Aggregate(normalisation, 1.0) >> nk.Dense(1), x)
        np.testing.assert_allclose(once, m @ gram @ m.T, rtol=1e-12)
        ranks = 0.3 * (0.7 * m @ m * 0 + np.eye(6)) + 0.7 * 0.3 * m + 0.49 * m @ m
        twice = nk.nngp(nk.Aggregate(normalisation, 1.0, 2, 0.3) >> nk.Dense(1), x)
        np.testing.assert_allclose(twice, ranks @ gram @ ranks.T, rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_equal_graphs_have_equal_kernels(seed):
    x = random_graphs(sizes=(4, 4), seed=seed)
    twice = nk.Graphs(
        np.concatenate([x.values, x.values]),
        [0, 4, 8, 12, 16],
        np.concatenate([x.edges, x.edges]),
        np.concatenate([x.edge_offsets, x.edge_offsets[1:] + len(x.edges)]),
        directed=True,
    )
    k = nk.ntk(NETWORKS["sum"], twice)
    np.testing.assert_allclose(k[2:, :2], k[:2, :2], rtol=1e-9)
    np.testing.assert_allclose(k[2:, 2:], k[:2, :2], rtol=1e-9)


def test_undirected_edges_and_weights():
    x = nk.Graphs(np.ones((3, 1)), [0, 3], [[0, 1], [2, 2]], weights=[2.0, 5.0])
    pattern = x.padded(3, np.float64).pattern[0]
    np.testing.assert_array_equal(pattern, [[0, 2, 0], [2, 0, 0], [0, 0, 5]])
    assert x.shape == (1, None, 1)
    assert len(x[0]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [[0, 1], [1, 3]]}, r"edge \[1, 3\] \(row 1\) of graph 1 leads out of its 2 nodes"),
        ({"edges": [[0, -1], [0, 1]]}, r"edge \[0, -1\] \(row 0\) of graph 0 leads out of its 3 nodes"),
        ({"edges": [[0.0, 1.0], [0.0, 1.0]]}, "edges must be shaped"),
        ({"edges": [0, 1]}, "edges must be shaped"),
        ({"node_offsets": [0, 3, 3, 5], "edge_offsets": [0, 1, 1, 2]}, "example 1 is empty"),
        ({"node_offsets": [0, 4, 3, 5]}, "node_offsets are not sorted: example 1 begins at 4 and ends at 3"),
        ({"node_offsets": [0, 3]}, "must begin with 0 and end with 5"),
        ({"node_offsets": [0.5, 5]}, "must be whole numbers"),
        ({"edge_offsets": None}, "edge_offsets must be given"),
        ({"edge_offsets": [0, 2]}, "describe 2 graphs, edge_offsets 1"),
        ({"edge_offsets": [1, 1, 2]}, "edge_offsets must begin with 0"),
        ({"values": np.ones(5)}, "values must be shaped"),
        ({"values": np.full((5, 1), np.inf)}, "in row 0; remove or impute"),
        ({"weights": [1.0]}, "weights must be 2 finite numbers"),
    ],
)
def test_bad_graphs(change, message):
    good = {
        "values": np.ones((5, 1)),
        "node_offsets": [0, 3, 5],
        "edges": [[0, 1], [0, 1]],
        "edge_offsets": [0, 1, 2],
    }
    nk.Graphs(**good)
    with pytest.raises(InputError, match=message):
        nk.Graphs(**{**good, **change})


def test_isolated_nodes_under_a_normalisation():
    x = nk.Graphs(np.ones((5, 1)), [0, 2, 5], [[0, 1], [0, 1]], [0, 1, 2])
    with pytest.raises(
        InputError, match="node 2 of graph 1 of x1 has degree 0, by which normalisation='mean'"
    ):
        nk.kernel(nk.Aggregate("mean") >> nk.Dense(8) >> READOUT, x)
    with pytest.raises(InputError, match="of x2 has degree 0, by which normalisation='symmetric'"):
        nk.kernel(nk.Aggregate("symmetric") >> nk.Dense(8) >> READOUT, x[0], x)
    nk.kernel(nk.Aggregate("mean", self_loops=1.0) >> nk.Dense(8) >> READOUT, x)


def test_networks_that_graphs_do_not_go_through():
    x = random_graphs(sizes=(3, 4))
    with pytest.raises(InputError, match="ends with nodes, and there are 2 and 2 graphs"):
        nk.kernel(nk.Aggregate() >> nk.Dense(8), x)
    ordered = [nk.Conv(8, 3), nk.RNN(8), nk.Dense(8) >> nk.PositionalEncoding(), nk.AvgPool(2)]
    ordered += [nk.Dense(8) >> nk.SelfAttention(8, causal=True)]
    for net in [*(net >> READOUT for net in ordered), nk.Last() >> nk.Dense(1)]:
        for engine in ("auto", "reference"):
            with pytest.raises(InputError, match="nodes of a graph have no order"):
                nk.kernel(net, x, engine=engine)
    with pytest.raises(InputError, match="normalisation must be one of"):
        nk.Aggregate("max")
