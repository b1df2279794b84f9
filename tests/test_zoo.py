"""Every network of the zoo, finite and infinite, and the names that it refuses."""

import inspect

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError
from ntkit.zoo import ZOO, activation

SHAPES = {"mlp": (6,)}
GRAPHS = ("gntk", "gcn")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] * (n in ("resnet", "myrtle5")))
        for n in ZOO
        if n not in GRAPHS
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
