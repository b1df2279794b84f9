"""Kernel matrices of graphs and of sequences in tiles, and `kernel_fn` of either."""

import numpy as np
import pytest

import ntkit as nk
from graph_batches import random_graphs
from ntkit.errors import InputError

NET = nk.Dense(8) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
OF_GRAPHS = nk.Aggregate(self_loops=1.0) >> NET


def sequences(*lengths: int) -> nk.Sequences:
    draw = np.random.default_rng(0)
    return nk.Sequences([draw.normal(size=(n, 3)) for n in lengths])


CASES = [
    pytest.param(OF_GRAPHS, random_graphs((4, 2, 6, 3, 5)), id="graphs"),
    pytest.param(NET, sequences(3, 1, 4, 2, 5), id="sequences"),
]


@pytest.mark.every(2)
@pytest.mark.parametrize(("net", "x"), CASES)
def test_tiles_are_those_of_the_whole_kernel(net, x, tmp_path) -> None:
    whole = nk.kernel(net, x)
    for made in (nk.gram.compute(net, x, tile=2), nk.gram.compute(net, x, tile=2, out=tmp_path / "k")):
        np.testing.assert_allclose(made.ntk, whole.ntk, rtol=1e-12)
        np.testing.assert_allclose(made.nngp, whole.nngp, rtol=1e-12)
        assert np.array_equal(made.ntk, made.ntk.T)
    part = nk.gram.compute(net, x[:2], x[2:], kernels=["ntk"])
    np.testing.assert_allclose(part.ntk, whole.ntk[:2, 2:], rtol=1e-12)


@pytest.mark.parametrize(("net", "x"), CASES)
def test_a_kernel_function_reads_them(net, x) -> None:
    k = nk.kernel_fn(net)
    np.testing.assert_allclose(np.diag(k(x).ntk), k.diag(x).ntk, rtol=1e-12)
    np.testing.assert_allclose(k(x[1:3], x).nngp, k(x).nngp[1:3], rtol=1e-12)
    fit = nk.predict.kernel_regression(k(x).ntk, np.arange(5.0)[:, None], ridge=1e-3)
    assert fit.predict(k(x[:2], x).ntk).shape == (2, 1)


def test_a_folder_is_of_its_graphs(tmp_path) -> None:
    x = random_graphs((4, 2, 6))
    nk.gram.compute(OF_GRAPHS, x, out=tmp_path / "k")
    edges, offsets = x.edges.copy(), x.edge_offsets
    edges[0], edges[1] = [0, 0], [1, 1]
    others = {
        "values": x.with_values(x.values + 1.0),
        "edges": nk.Graphs(x.values, x.offsets, edges, offsets, x.weights, directed=True),
        "weights": nk.Graphs(x.values, x.offsets, x.edges, offsets, 2 * x.weights, directed=True),
    }
    for other in others.values():
        with pytest.raises(InputError, match="other data"):
            nk.gram.compute(OF_GRAPHS, other, out=tmp_path / "k")
    nk.gram.compute(OF_GRAPHS, x, out=tmp_path / "k")


def test_a_matrix_of_graphs_needs_a_readout_and_one_kind() -> None:
    x = random_graphs((4, 2))
    with pytest.raises(InputError, match="a kernel with positions has no matrix"):
        nk.gram.compute(nk.Aggregate() >> nk.Dense(1), x)
    with pytest.raises(InputError, match="batches of one kind"):
        nk.gram.compute(OF_GRAPHS, x, np.ones((2, 3)))
