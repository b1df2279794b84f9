"""Frozen layers (`w_lr = b_lr = 0`) against the NTKs with fixed leading layers of section 7 of the oracle."""

import json

import numpy as np
import pytest

import ntkit as nk
from oracle_cases import ORACLE, relative_error

INDEX = json.loads((ORACLE / "fixed_layers.json").read_text())
with np.load(ORACLE / "fixed_layers.npz", allow_pickle=False) as arrays:
    X, KERNELS = arrays["x"], arrays["kernel"]


def network(depth: int, fixed: int) -> nk.Layer:
    """`depth` bias-free weight layers, a Relu between any two, the first `fixed` of them frozen; no 1/d at the input."""
    rates = [0.0 if layer < fixed else 1.0 for layer in range(depth)]
    net = nk.Serial((nk.Dense(64, w_std=X.shape[1] ** 0.5, w_lr=rates[0], b_lr=rates[0]),))
    for rate in rates[1:]:
        net = net >> nk.Relu() >> nk.Dense(64, w_std=1.0, w_lr=rate, b_lr=rate)
    return net


@pytest.mark.parametrize("fixed", INDEX["fixed"])
@pytest.mark.parametrize("depth", INDEX["depths"])
def test_frozen_layers_add_nothing(depth: int, fixed: int) -> None:
    exact = KERNELS[depth - 1, fixed]
    scale = np.diag(KERNELS[depth - 1, 0])
    assert relative_error(nk.ntk(network(depth, fixed), X), exact, scale, scale) <= INDEX["rtol"]


@pytest.mark.parametrize("depth", INDEX["depths"])
def test_training_the_last_layer_alone_gives_the_nngp(depth: int) -> None:
    kernels = nk.kernel(network(depth, depth - 1), X)
    np.testing.assert_allclose(kernels.ntk, kernels.nngp, rtol=1e-15)


def test_a_network_frozen_throughout_has_no_tangent_kernel() -> None:
    np.testing.assert_array_equal(nk.ntk(network(3, 3), X), 0.0)


def test_rates_scale_what_a_layer_adds() -> None:
    def ntk(w_lr: float, b_lr: float) -> np.ndarray:
        return nk.ntk(nk.Dense(8) >> nk.Relu() >> nk.Dense(1, b_std=0.7, w_lr=w_lr, b_lr=b_lr), X)

    below = ntk(0.0, 0.0)
    weights, biases = ntk(1.0, 0.0) - below, ntk(0.0, 1.0) - below
    np.testing.assert_allclose(ntk(0.3, 2.0), below + 0.3 * weights + 2.0 * biases, rtol=1e-12)
    np.testing.assert_allclose(biases, 0.7**2, rtol=1e-12)
