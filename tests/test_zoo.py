"""Every network of the zoo, finite and infinite, and the names that it refuses."""

import inspect
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import ntkit as nk
from graph_batches import random_graphs
from ntkit.errors import InputError
from ntkit.zoo import ZOO, activation
from reference import dense_graphs as reference

CASES = Path(__file__).parent / "oracle" / "cases.json"
SHAPES = {"mlp": (6,), "transformer": (5, 3), "rnn": (5, 3)}
GRAPHS = ("gntk", "graph_resnet")
NODES = ("gcn", "appnp", "gcnii")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] * (n in ("resnet", "myrtle5")))
        for n in ZOO
        if n not in GRAPHS + NODES
    ],
)
@pytest.mark.every(3)
def test_a_network_of_the_zoo_has_both_readings(name):
    shape = SHAPES.get(name, (8, 8, 3))
    net = ZOO[name](width=4, outputs=2)
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    params, out = net.init(jax.random.key(0), shape)
    assert out == (2,)
    assert net.apply(params, x).shape == (3, 2)
    kernel = nk.kernel(net, x)
    for k in kernel:
        assert k.shape == (3, 3)
        assert np.linalg.eigvalsh(k)[0] > 0


@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_the_zoo_is_a_specification(name):
    net = ZOO[name]()
    assert nk.from_spec(nk.to_spec(net)) == net


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_described_and_have_defaults(name):
    assert inspect.getdoc(ZOO[name])
    assert all(p.default is not p.empty for p in inspect.signature(ZOO[name]).parameters.values())


def weights(net: nk.Layer) -> int:
    """How many layers with weights a network has."""
    if isinstance(net, nk.Serial):
        return sum(weights(layer) for layer in net.layers)
    if isinstance(net, nk.Repeat):
        return net.times * weights(net.body)
    return int(isinstance(net, nk.Dense | nk.Conv))


@pytest.mark.parametrize(("name", "count"), [("myrtle5", 5), ("myrtle7", 7), ("myrtle10", 10)])
def test_myrtle_networks_have_the_weight_layers_of_their_name(name, count):
    assert weights(ZOO[name]()) == count


@pytest.mark.parametrize("name", ["mlp", "cnn", "cnn_gap"])
def test_depth_counts_the_hidden_layers(name):
    assert [weights(ZOO[name](depth=d)) for d in (1, 2, 5)] == [2, 3, 6]


def test_activations_go_by_any_case():
    assert activation("RELU") == activation("relu") == nk.Relu()


def test_an_unknown_activation_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="unknown activation 'rely'; did you mean 'relu'"):
        activation("rely")


@pytest.mark.parametrize(("name", "option"), [("mlp", "depth"), ("cnn", "depth"), ("resnet", "blocks")])
def test_a_count_below_one_is_refused(name, option):
    with pytest.raises(InputError, match=f"{option} must be a whole number of at least 1"):
        ZOO[name](**{option: 0})


@pytest.mark.parametrize("name", GRAPHS + NODES)
@pytest.mark.every(2)
def test_a_network_of_graphs_has_both_readings(name):
    net = ZOO[name](width=4, outputs=2)
    x = random_graphs((5, 3, 6) if name in GRAPHS else (6,))
    params, out = net.init(jax.random.key(0), (None, 3))
    y = net.apply(params, x.padded(6, np.float32))
    if name in GRAPHS:
        assert (out, y.shape) == ((2,), (3, 2))
    else:
        assert (out, y.values.shape) == ((None, 2), (1, 6, 2))
    for fused, plain in zip(nk.kernel(net, x), nk.kernel(net, x, engine="reference"), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-9, atol=1e-12)
        assert np.linalg.eigvalsh(fused)[0] > -1e-12


@pytest.mark.parametrize("name", ["transformer", pytest.param("rnn", marks=pytest.mark.slow)])
def test_sequence_networks_read_lengths_of_their_own(name):
    sequences = [np.random.default_rng(n).standard_normal((n, 3)) for n in (4, 2)]
    net = ZOO[name](depth=1)
    both = nk.nngp(net, nk.Sequences(sequences))
    alone = [nk.nngp(net, s[None])[0, 0] for s in sequences]
    np.testing.assert_allclose(np.diag(both), alone, rtol=1e-10)


def names(spec):
    """Only the names of layers, in their nesting."""
    if isinstance(spec, list):
        return [names(part) for part in spec]
    return [spec["layer"], *(names(spec[k]) for k in ("layers", "branches") if k in spec)]


def test_a_transformer_has_the_block_of_the_reference_case():
    cases = {c["name"]: c for c in json.loads(CASES.read_text())["cases"]}
    _, *block = cases["attention_transformer_block"]["spec"]["layers"]
    made = nk.to_spec(nk.zoo.transformer(depth=1))["layers"]
    around = [part["layer"] for part in made]
    assert around == ["Dense", "PositionalEncoding", "Repeat", "GlobalAvgPool", "Dense"]
    body = made[2]["body"]["layers"]
    assert names(body) == names(block[: len(body)])


@pytest.mark.slow
def test_a_recurrent_network_reads_both_ways():
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    both, one = nk.zoo.rnn(), nk.zoo.rnn(both_ways=False)
    (forth, back), (way, other) = ([nk.nngp(net, y) for y in (x, x[:, ::-1])] for net in (both, one))
    np.testing.assert_allclose(forth, back, rtol=1e-10)
    assert not np.allclose(way, other, rtol=1e-3)
    np.testing.assert_allclose(forth, (way + other) / 2, rtol=1e-10)


def test_appnp_without_steps_back_is_the_smoothed_mlp():
    x = random_graphs((6,))
    a = x.padded(6, np.float64).pattern[0] + np.eye(6)
    d = a.sum(axis=0)
    smooth = np.linalg.matrix_power(a / np.sqrt(np.outer(d, d)), 2)
    mlp = nk.kernel(nk.zoo.mlp(depth=1, b_std=0.0), x.values)
    made = nk.kernel(nk.zoo.appnp(steps=2, teleport=0.0), x)
    for k, plain in zip(made, mlp, strict=True):
        np.testing.assert_allclose(k, smooth @ plain @ smooth, rtol=1e-10)


def test_gcnii_by_dense_algebra():
    x, alpha = random_graphs((6,)), 0.3
    m = reference.aggregation(x, "symmetric", 1.0)
    first = k = reference.relu(reference.dense(reference.start(x), 1.0))
    for _ in range(3):
        deeper = reference.dense(reference.mapped(k, m), (1 - alpha) * 2**0.5)
        skip = reference.dense(first, alpha * 2**0.5)
        k = reference.relu(tuple(a + b for a, b in zip(deeper, skip, strict=True)))
    made = nk.kernel(nk.zoo.gcnii(depth=3, alpha=alpha), x)
    for found, exact in zip(made, reference.dense(k, 1.0), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-9)
    with pytest.raises(InputError, match="alpha must lie between 0 and 1, found"):
        nk.zoo.gcnii(alpha=1.5)


@pytest.mark.slow
def test_gcnii_is_the_limit_of_a_network_whose_skips_share_their_first_layer():
    x, width, depth, alpha = random_graphs((4,)), 256, 2, 0.5
    one = x.padded(4, np.float64)
    a = one.pattern[0] + np.eye(4)
    smooth = a / np.sqrt(np.outer(a.sum(axis=0), a.sum(axis=0)))
    fans = (x.channels, *[width] * 2 * depth, width)

    def init(key, shape):
        keys = jax.random.split(key, len(fans))
        outs = (*[width] * (len(fans) - 1), 1)
        return [jax.random.normal(k, s) for k, s in zip(keys, zip(fans, outs, strict=True), strict=True)], (
            4,
            1,
        )

    def apply(params, values):
        first, *pairs, last = [w / fan**0.5 for w, fan in zip(params, fans, strict=True)]
        h = start = jax.nn.relu(values @ first)
        for w, v in zip(pairs[::2], pairs[1::2], strict=True):
            both = (1 - alpha) * (smooth @ h) @ w + alpha * start @ v
            h = jax.nn.relu(2**0.5 * both)
        return h @ last

    sampled = nk.sample((init, apply), one.values, key=jax.random.key(0), count=400)
    exact = nk.kernel(nk.zoo.gcnii(depth=depth, alpha=alpha), x)
    for found, error, k in (
        (sampled.nngp, sampled.nngp_error, exact.nngp),
        (sampled.ntk, sampled.ntk_error, exact.ntk),
    ):
        assert (np.abs(found.reshape(4, 4) - k) < 5 * error.reshape(4, 4) + 0.02 * np.abs(k)).all()


def test_a_graph_convolution_is_an_aggregation_and_a_dense_layer():
    net = nk.zoo.graph_conv(8, normalisation="mean", self_loops=0.5, w_std=1.2, b_std=0.1)
    assert net == nk.Aggregate("mean", 0.5) >> nk.Dense(8, 1.2, 0.1)
    assert nk.from_spec(nk.to_spec(net)) == net
    with pytest.raises(InputError, match="normalisation must be one of"):
        nk.zoo.graph_conv(8, normalisation="max")
