"""A study of graphs, from their file to the report, and what is refused."""

import html
import json
import re

import numpy as np
import pytest

import ntkit as nk
from ntkit import datasets
from ntkit.errors import InputError
from ntkit.study import Options, run
from ntkit.study.graph_histograms import histograms
from ntkit.study.kernel_file import write_kernel
from ntkit.study.network import build
from ntkit.study.report import render

NET = {"depth": "1", "mlp_layers": "1"}


def parts(count: int = 40) -> dict[str, np.ndarray]:
    """Graphs with three tags: paths, and of the second class rings."""
    draw = np.random.default_rng(0)
    sizes, labels = draw.integers(4, 9, count), np.arange(count) % 2
    edges = [
        np.stack([np.arange(n - 1), np.arange(1, n)], axis=1).tolist() + [[0, n - 1]] * ring
        for n, ring in zip(sizes.tolist(), labels.tolist(), strict=True)
    ]
    return {
        "node_offsets": np.concatenate([[0], np.cumsum(sizes)]),
        "edge_offsets": np.concatenate([[0], np.cumsum([len(e) for e in edges])]),
        "edges": np.concatenate(edges).astype(np.int32),
        "node_tags": draw.integers(0, 3, sizes.sum()),
        "labels": labels,
        "tag_values": np.array([6, 7, 8]),
        "label_values": np.array([-1, 1]),
    }


def written(folder, **changes) -> str:
    """A file of these arrays, some changed, or left out where None."""
    arrays = {k: v for k, v in {**parts(), **changes}.items() if v is not None}
    np.savez(folder / "molecules.npz", **arrays)
    return str(folder / "molecules.npz")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("graphs")
    return run(Options(written(place), "gntk", NET, finite=16, steps=5))


@pytest.mark.slow
def test_kernels_are_those_of_the_network(study) -> None:
    p = parts()
    graphs = nk.Graphs(np.eye(3)[p["node_tags"]], p["node_offsets"], p["edges"], p["edge_offsets"])
    train, test = (graphs[study.arrays[name]] for name in ("index_train", "index_test"))
    net = nk.from_spec(study.results["network"]["spec"])
    assert net == nk.zoo.gntk(blocks=1, mlp_layers=1, outputs=2)
    for name, (nngp, ntk) in {"train": nk.kernel(net, train), "test": nk.kernel(net, test, train)}.items():
        np.testing.assert_allclose(study.arrays[f"nngp_{name}"], nngp, rtol=1e-12)
        np.testing.assert_allclose(study.arrays[f"ntk_{name}"], ntk, rtol=1e-12)
    np.testing.assert_allclose(
        study.arrays["nngp_test_diagonal"], nk.kernels.diagonal(net, test).nngp, rtol=1e-12
    )
    assert np.array_equal(study.arrays["y_train"], p["labels"][study.arrays["index_train"]])


def test_the_report_speaks_of_graphs(study) -> None:
    text = html.unescape(re.sub(r"<(script|style)[\s\S]*?</\1>|<[^>]+>", "", render(study.results)))
    edges, nodes = (np.diff(parts()[f"{name}_offsets"]) for name in ("edge", "node"))
    assert f"between {nodes.min()} and {nodes.max()} nodes ({nodes.mean():.3g} on average" in text
    assert f"with {edges.mean():.3g} edges), and each node has 3 features; the target is labels" in text
    assert "without preprocessing" in text
    assert "Nodes have their tags as one-hot features." in text
    assert text.count("of histograms of node features and degrees") == 2
    assert "A real network beside it" in text
    assert "None" not in text
    assert study.results["data"]["classes"] == ["-1", "1"]
    assert json.loads(json.dumps(study.results, allow_nan=False)) == study.results


def test_a_finite_network_of_graphs_begins_where_its_prediction_does(study) -> None:
    found = study.results["finite"]
    assert found["test_loss"][0] == pytest.approx(found["predicted_test_loss"][0], rel=1e-6)
    assert found["train_loss"][-1] < found["train_loss"][0]
    assert found["regime"]["examples"] == 30


def test_histograms_tell_rings_from_paths(study) -> None:
    scores = {m["id"]: m["test"]["score"] for m in study.results["methods"]}
    assert scores["svm"] == scores["ridge"] == 1.0


def test_histograms_do_not_change_with_the_order_of_nodes_and_see_no_test_graph() -> None:
    path = nk.Graphs(np.eye(3), [0, 3], [[0, 1], [1, 2]])
    turned = nk.Graphs(np.eye(3)[::-1], [0, 3], [[2, 1], [1, 0]])
    star = nk.Graphs(np.ones((5, 3)), [0, 5], [[0, k] for k in range(1, 5)])
    both = nk.Graphs(
        np.concatenate([np.eye(3), np.ones((2, 3))]), [0, 3, 5], [[0, 1], [1, 2], [0, 1]], [0, 2, 3]
    )
    rows, first = histograms(both, path)
    assert np.array_equal(first, histograms(both, turned)[1])
    assert np.array_equal(first[0], rows[0])
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-15)
    assert np.array_equal(histograms(both, star)[0], rows)


def test_a_fold_of_the_file_tests(tmp_path) -> None:
    folds = np.repeat([-1, 1, 0, 2], 10)
    data = datasets.load(written(tmp_path, test_fold=folds))
    assert np.array_equal(data.given_test, folds == 0)
    assert "The 10 graphs of test fold 0 of the file test." in data.notes


def test_a_single_tag_gives_way_to_degrees_and_values_are_taken(tmp_path) -> None:
    p = parts()
    data = datasets.load(written(tmp_path, node_tags=0 * p["node_tags"], tag_values=None))
    x = data.x
    assert x.channels == 2  # ends of paths, and all others
    assert np.array_equal(np.argmax(x.values, axis=1) + 1, np.bincount(x.ends[1]))
    assert "degrees" in data.notes[0]
    values = np.random.default_rng(1).normal(size=(len(p["node_tags"]), 2))
    data = datasets.load(written(tmp_path, values=values, labels=np.linspace(0, 1, 40)))
    assert (data.task, data.x.shape) == ("regression", (40, None, 2))
    assert np.array_equal(data.x.values, values)


def test_kernels_of_a_file_of_graphs(tmp_path) -> None:
    file, out = written(tmp_path, labels=None), tmp_path / "kernel.npz"
    plain = {"target": None, "dtype": None, "overwrite": False, "show_progress": False}
    said = write_kernel(tmp_path / "molecules.npz", "gntk", out, standardise=False, **plain)
    assert "(40, 40), float64" in said
    graphs = datasets.load(written(tmp_path)).x
    np.testing.assert_allclose(np.load(out)["ntk"], nk.ntk(nk.zoo.gntk(), graphs), rtol=1e-12)
    with pytest.raises(InputError, match="--standardise is for tables and images"):
        write_kernel(tmp_path / "molecules.npz", "gntk", tmp_path / "k.npz", standardise=True, **plain)
    assert file.endswith("molecules.npz")


# ---- what is refused ----


def changed(name: str, place, value) -> dict[str, np.ndarray]:
    array = parts()[name].copy()
    array[place] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": None}, "needs labels, one a graph"),
        ({"edges": None}, "needs node_offsets, edge_offsets, edges, and values or node_tags; it holds"),
        ({"node_tags": None}, "and values or node_tags; it holds"),
        ({"labels": np.zeros(3)}, r"labels has shape \(3,\) of float64 for 40 graphs"),
        ({"labels": np.full(40, np.nan)}, "labels holds nan for graph 0"),
        ({"test_fold": np.ones(40)}, "0 of 40 graphs have test_fold 0"),
        ({"node_tags": np.zeros(200)}, "node_tags must be whole numbers, one a node"),
        (changed("node_tags", 7, 5), "node_tags holds 5 in row 7: tags are numbered 0 … 2, one for each"),
        ({**changed("node_tags", 7, -1), "tag_values": None}, "node_tags holds -1 in row 7"),
        (changed("edges", (3, 1), 99), r"edge \[\d+, 99\] \(row 3\) of graph 0 leads out of its 8 nodes"),
        (changed("node_offsets", 2, 3), "node_offsets are not sorted: example 1 begins at 8 and ends at 3"),
        (changed("node_offsets", 1, 0), "example 0 is empty"),
        (changed("edge_offsets", -1, 5), "edge_offsets must begin with 0 and end with"),
        (changed("edges", 1, [1, 0]), r"graph 0 has the edge \[0, 1\] more than once"),
        ({"values": np.ones((3, 2))}, "node_offsets must begin with 0 and end with 3, the number of rows"),
    ],
)
def test_bad_files_name_the_array_or_the_graph(tmp_path, changes, match) -> None:
    with pytest.raises(InputError, match=match):
        datasets.load(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("net", "match"),
    [
        ("gcn", "does not take graphs whose nodes have 3 features .* an output for each node"),
        ("mlp", r"--net gntk\): it gives an output for each node"),
        ("cnn", "network 'cnn' does not take graphs"),
        ("rnn", "RNN: nodes of a graph have no order"),
        ("transformer", "network 'transformer' does not take graphs"),
    ],
)
def test_networks_that_read_no_graphs(tmp_path, net, match) -> None:
    with pytest.raises(InputError, match=match):
        run(Options(written(tmp_path), net))


def test_a_node_without_neighbours_is_named_as_in_the_file(tmp_path) -> None:
    p = parts()
    offsets = p["edge_offsets"]
    edges = np.delete(p["edges"], np.s_[offsets[5] : offsets[6]], axis=0)
    lonely = np.concatenate([offsets[:6], offsets[6:] - (offsets[6] - offsets[5])])
    net = nk.Aggregate("mean") >> nk.Dense(8) >> nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(2)
    (tmp_path / "net.json").write_text(json.dumps(nk.to_spec(net)))
    file = written(tmp_path, edges=edges, edge_offsets=lonely)
    with pytest.raises(InputError, match="node 0 of graph 5 of molecules has degree 0"):
        run(Options(file, str(tmp_path / "net.json")))


def test_graph_networks_refuse_what_is_no_graph() -> None:
    with pytest.raises(InputError, match="network 'gntk' does not take rows of 4 columns"):
        run(Options("iris", "gntk"))


def test_yes_or_no_options_are_words() -> None:
    assert build("gntk", {"jumping": "False"}) == nk.zoo.gntk(jumping=False)
    with pytest.raises(InputError, match="--jumping must be true or false, found '2'"):
        build("gntk", {"jumping": "2"})
