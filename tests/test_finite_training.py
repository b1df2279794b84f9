"""Expansions of functions around their parameters, and training of functions, networks and their linearisations alike."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntkit as nk
from finite_functions import FUNCTIONS, X1
from ntkit.errors import InputError, NumericalError
from ntkit.finite import centre, empirical, linearize, scale, taylor, train
from ntkit.losses import cross_entropy, squared

PARAMS, F = FUNCTIONS["layer norm"]
STEP = jax.tree.map(lambda p: 0.01 * np.cos(np.arange(p.size)).reshape(p.shape), PARAMS)


def moved(t: float):
    return jax.tree.map(lambda p, s: p + t * s, PARAMS, STEP)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_remainder_falls_with_the_order(order: int):
    with jax.enable_x64(True):
        polynomial = taylor(F, PARAMS, order)
        off = [np.max(np.abs(F(moved(t), X1) - polynomial(moved(t), X1))) for t in (1.0, 0.5)]
    assert off[0] / off[1] == pytest.approx(2 ** (order + 1), rel=0.15)


def test_a_linearisation_has_the_kernel_of_its_function_everywhere():
    with jax.enable_x64(True):
        found = empirical.ntk(linearize(F, PARAMS), moved(30.0), X1, method="jacobian")
        structured = empirical.ntk(linearize(F, PARAMS), moved(30.0), X1, method="structured")
    expected = empirical.ntk(F, PARAMS, X1)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_allclose(structured, expected, atol=1e-10 * np.abs(expected).max())


def test_centred_and_scaled():
    with jax.enable_x64(True):
        assert np.max(np.abs(centre(F, PARAMS)(PARAMS, X1))) == 0
    expected = empirical.ntk(F, PARAMS, X1)
    np.testing.assert_allclose(empirical.ntk(centre(F, PARAMS), PARAMS, X1), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(empirical.ntk(scale(F, 3.0), PARAMS, X1), 9 * expected, rtol=1e-9, atol=1e-9)


X, Y = np.random.default_rng(0).normal(size=(6, 3)), np.random.default_rng(1).normal(size=(6, 2))
NET = nk.Dense(30, w_lr=0.5) >> nk.Erf() >> nk.Dense(2, b_std=0.3)


def start():
    with jax.enable_x64(True):
        return NET.init(jax.random.key(0), (3,))[0]


def test_descent_is_descent():
    params, rates = start(), NET.rates(start())
    found = train(
        NET.apply,
        params,
        X,
        Y,
        steps=7,
        learning_rate=0.1,
        rates=rates,
        record=range(8),
        watch={"test": X[:2] + 1},
    )
    with jax.enable_x64(True):
        p = params
        for k in range(8):
            np.testing.assert_allclose(found.outputs["train"][k], NET.apply(p, X), rtol=1e-9)
            np.testing.assert_allclose(found.outputs["test"][k], NET.apply(p, X[:2] + 1), rtol=1e-9)
            assert found.loss[k] == pytest.approx(float(squared(NET.apply(p, X), Y)))
            gradient = jax.grad(lambda p: squared(NET.apply(p, X), Y))(p)
            last, p = p, jax.tree.map(lambda w, g, r: w - 0.1 * r * g, p, gradient, rates)
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert found.moved[0] == 0
    assert np.all(np.diff(found.moved) > 0)


def test_a_linearisation_moves_as_its_kernel_says():
    params, rates = start(), NET.rates(start())
    theta = empirical.ntk(NET.apply, params, X, rates=rates).transpose(0, 2, 1, 3).reshape(12, 12)
    found = train(
        linearize(NET.apply, params), params, X, Y, steps=50, learning_rate=0.2, rates=rates, record=[0, 50]
    )
    error = (found.outputs["train"][0] - Y).ravel()
    expected = Y.ravel() + np.linalg.matrix_power(np.eye(12) - 0.2 / 6 * theta, 50) @ error
    np.testing.assert_allclose(found.outputs["train"][-1].ravel(), expected, rtol=1e-8, atol=1e-10)


def test_an_optimiser_a_loss_and_batches():
    params, labels = start(), np.array([0, 1, 1, 0, 1, 0])
    options = {"optimiser": optax.adam(0.01), "loss": "cross_entropy", "batch_size": 2, "steps": 40}
    one, two, other = (train(NET.apply, params, X, labels, **options, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.loss, two.loss)
    assert one.loss[-1] != other.loss[-1]
    assert one.loss[-1] < one.loss[0]
    shares = np.eye(2)[labels]
    assert float(cross_entropy(X[:, :2], labels)) == pytest.approx(float(cross_entropy(X[:, :2], shares)))


def test_snapshots_of_kernels():
    params = start()
    found = train(
        NET.apply,
        params,
        X,
        Y,
        steps=10,
        learning_rate=0.1,
        record=[5],
        kernel=lambda p, x: empirical.ntk(NET.apply, p, x, form="trace"),
        kernels_at=[0, 10],
    )
    assert found.steps.tolist() == [5, 10]
    assert found.kernels_at.tolist() == [0, 10]
    np.testing.assert_allclose(found.kernels[0], empirical.ntk(NET.apply, params, X, form="trace"))
    np.testing.assert_allclose(found.kernels[1], empirical.ntk(NET.apply, found.params, X, form="trace"))


def test_divergence():
    with pytest.raises(NumericalError, match="the training diverged before step"):
        train(
            lambda w, x: x * w**3, np.ones(1), np.ones((2, 1)), np.zeros((2, 1)), steps=50, learning_rate=10.0
        )


GOOD = {"steps": 3, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 3}, "give a learning_rate, for plain descent, or an optimiser of optax"),
        ({**GOOD, "optimiser": optax.sgd(1.0)}, "and not both"),
        ({"steps": 3, "optimiser": 3}, "optimiser must be one of optax"),
        ({**GOOD, "learning_rate": -1.0}, "learning_rate must be positive"),
        ({**GOOD, "steps": 0}, "steps must be a whole number of at least 1"),
        ({**GOOD, "loss": "absolute"}, "loss must be one of squared, huber, cross_entropy"),
        ({**GOOD, "batch_size": 9}, "batch_size must lie between 1 and 6"),
        ({**GOOD, "record": [4]}, "record must hold steps between 0 and 3"),
        (
            {**GOOD, "kernel": lambda p, x: 0, "kernels_at": [-1]},
            "kernels_at must hold steps between 0 and 3",
        ),
        ({**GOOD, "watch": {"train": X}}, "the name 'train' is that of the training examples"),
        ({**GOOD, "y": Y[:, 0]}, r"the outputs are shaped \(6, 2\) and the targets \(6,\)"),
        ({**GOOD, "y": Y[:2]}, "y must hold the targets of 6 examples"),
    ],
)
def test_options_of_training(options, message):
    options = {"y": Y, **options}
    with pytest.raises(InputError, match=message):
        train(NET.apply, start(), X, **options)


@pytest.mark.parametrize("order", [-1, 1.5, True])
def test_orders(order):
    with pytest.raises(InputError, match="order must be a whole number"):
        taylor(lambda w, x: w * jnp.asarray(x), 1.0, order)
