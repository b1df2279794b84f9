"""Weight decay, kernels of each output and of all pairs, and random batches: against training that is written out."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.predict import (
    coupled_outputs,
    gradient_descent,
    gradient_flow,
    kernel_regression,
    largest_learning_rate,
    separate_outputs,
    stochastic_gradient_descent,
    weight_decay_descent,
    weight_decay_flow,
)
from ntkit.solve import eigendecomposition


def linear_model(seed, n=6, m=3, weights=9, outputs=2):
    """f = c + J θ: features of training and test points, constants, weights at the start, targets."""
    draw = np.random.default_rng(seed)
    features, constants = draw.normal(size=(n + m, weights)), draw.normal(size=(n + m, outputs))
    return (
        features[:n],
        features[n:],
        constants[:n],
        constants[n:],
        draw.normal(size=(weights, outputs)),
        (draw.normal(size=(n, outputs))),
    )


models = st.builds(
    linear_model,
    st.integers(0, 9999),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(1, 3),
)


@hypothesis.given(models, st.floats(0, 40), st.sampled_from([0.0, 0.2, 2.0]), st.booleans())
def test_weight_decay_is_the_flow_of_the_weights(model, time, ridge, weighted):
    j, j_test, c, c_test, theta, y = model
    n, p = j.shape
    w = np.linspace(0.5, 2, n) if weighted else np.ones(n)
    # dθ/dt = -(1/n) [Jᵀ W (J θ + c - y) + ridge θ], with a row for the constant
    linear = -(j.T * w @ j + ridge * np.eye(p)) / n
    whole = np.zeros((p + y.shape[1], p + y.shape[1]))
    whole[:p, :p], whole[:p, p:] = linear, j.T * w @ (y - c) / n
    power = scipy.linalg.expm(time * whole)
    end = power[:p, :p] @ theta + power[:p, p:]
    curve = weight_decay_flow(
        j @ j.T,
        y,
        ridge=ridge,
        f0_train=c + j @ theta,
        tangent_train=j @ theta,
        weights=w if weighted else None,
    )
    np.testing.assert_allclose(curve.train(time), c + j @ end, atol=1e-8)
    found = curve.test(time, j_test @ j.T, c_test + j_test @ theta, j_test @ theta)
    np.testing.assert_allclose(found, c_test + j_test @ end, atol=1e-7)
    loss = np.mean(w * np.sum((c + j @ end - y) ** 2, axis=1)) / 2
    np.testing.assert_allclose(curve.train_loss([[time]]), [[loss]], rtol=1e-6, atol=1e-9)


def test_weight_decay_in_steps_is_optax():
    net = nk.Dense(16) >> nk.Erf() >> nk.Dense(1)
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(1), (7, 4), jnp.float64)
        params = jax.tree.map(lambda p: p.astype(jnp.float64), net.init(jax.random.key(0), (4,))[0])
        f, y = nk.finite.linearize(net.apply, params), np.arange(7.0)[:, None] / 3
        kernel = nk.finite.empirical.ntk(net.apply, params, x, form="trace")
        start, tangent = jax.jvp(lambda p: net.apply(p, x), (params,), (params,))
        rule = optax.chain(optax.add_decayed_weights(0.5 / 7), optax.sgd(0.4))
        real = nk.finite.train(f, params, x, y, steps=200, optimiser=rule, record=[0, 1, 20, 200])
    curve = weight_decay_descent(
        kernel, y, ridge=0.5, learning_rate=0.4, f0_train=start, tangent_train=tangent
    )
    np.testing.assert_allclose(curve.train(real.steps), real.outputs["train"], atol=1e-10)
    again = curve.test(real.steps, kernel, start, tangent)
    np.testing.assert_allclose(again, real.outputs["train"], atol=1e-9)


def test_weight_decay_of_a_linear_model_ends_at_ridge_regression_towards_zero():
    j, j_test, _, _, theta, y = linear_model(3)
    curve = weight_decay_flow(j @ j.T, y[:, 0], ridge=0.7, f0_train=(j @ theta)[:, 0])
    expected = kernel_regression(j @ j.T, y[:, 0], ridge=0.7)
    np.testing.assert_allclose(curve.train(np.inf), expected.predict(j @ j.T), atol=1e-10)
    found = curve.test([1.0, np.inf], j_test @ j.T, (j_test @ theta)[:, 0])
    np.testing.assert_allclose(found[1], expected.predict(j_test @ j.T), atol=1e-10)
    nothing = weight_decay_flow(eigendecomposition(j @ j.T), y, ridge=0.7)
    np.testing.assert_allclose(
        nothing.train(2.0), gradient_flow(j @ j.T, y, ridge=0.7).train(2.0), atol=1e-12
    )


def test_weight_decay_is_checked():
    with pytest.raises(InputError, match=r"tangent_train has shape \(3,\); expected \(2,\), like f0_train"):
        weight_decay_flow(np.eye(2), [1.0, 1.0], ridge=0.1, tangent_train=np.ones(3))
    with pytest.raises(InputError, match=r"a step would take all of the weights; expected less than .* 2"):
        weight_decay_descent(np.eye(2), [1.0, 1.0], ridge=4.0, learning_rate=0.5)
    with pytest.raises(InputError, match=r"ridge is -1\.0"):
        weight_decay_descent(np.eye(2), [1.0, 1.0], ridge=-1.0, learning_rate=0.5)


def full_kernel(seed, n=5, m=3, outputs=3):
    """Of a model with its own features for each output: (n, n, o, o), (m, n, o, o), targets, starts."""
    draw = np.random.default_rng(seed)
    j = draw.normal(size=(n + m, outputs, 20))
    kernel = np.einsum("iap,jbp->ijab", j, j[:n])
    f = draw.normal(size=(n + m, outputs))
    return kernel[:n], kernel[n:], draw.normal(size=(n, outputs)), f[:n], f[n:]


@hypothesis.given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 3), st.floats(0, 20))
def test_coupled_outputs_are_the_matrix_exponential(seed, n, outputs, time):
    kernel, cross, y, f0, f0_test = full_kernel(seed, n, 2, outputs)
    joined = kernel.transpose(0, 2, 1, 3).reshape(n * outputs, -1)
    residual = (scipy.linalg.expm(-0.5 * time / n * joined) @ (f0 - y).ravel()).reshape(n, outputs)
    curve = coupled_outputs(gradient_flow, kernel, y, f0_train=f0, learning_rate=0.5)
    np.testing.assert_allclose(curve.train(time), y + residual, atol=1e-8)
    np.testing.assert_allclose(curve.train_loss(time), np.sum(residual**2) / (2 * n), rtol=1e-6, atol=1e-12)
    alpha = np.linalg.solve(joined, (y + residual - f0).ravel()).reshape(n, outputs)
    expected = f0_test + np.einsum("mnab,nb->ma", cross, alpha)
    np.testing.assert_allclose(curve.test(time, cross, f0_test), expected, atol=1e-6)


def test_separate_outputs_are_coupled_ones_that_do_not_act_on_one_another():
    kernel, cross, y, f0, f0_test = full_kernel(0)
    apart, apart_test = (np.einsum("ijaa->ija", k) for k in (kernel, cross))
    back, back_test = (k[..., None] * np.eye(3) for k in (apart, apart_test))
    rate = 0.3 * largest_learning_rate(back.transpose(0, 2, 1, 3).reshape(15, 15)) / 3
    one = separate_outputs(gradient_descent, apart, y, f0_train=f0, learning_rate=rate, momentum=0.5)
    two = coupled_outputs(gradient_descent, back, y, f0_train=f0, learning_rate=rate, momentum=0.5)
    for steps in (3, [0, 50]):
        np.testing.assert_allclose(one.train(steps), two.train(steps), atol=1e-10)
        np.testing.assert_allclose(
            one.test(steps, apart_test, f0_test), two.test(steps, back_test, f0_test), atol=1e-9
        )
        np.testing.assert_allclose(one.train_loss(steps), two.train_loss(steps), atol=1e-12)
    plain = separate_outputs(gradient_flow, apart, y)
    np.testing.assert_allclose(plain.test(np.inf, apart, None), y, atol=1e-8)


def test_kernels_of_outputs_are_checked():
    with pytest.raises(InputError, match=r"k_train_train has shape \(2, 2\); expected \(m, n, 3\)"):
        separate_outputs(gradient_flow, np.eye(2), np.ones((2, 3)))
    with pytest.raises(InputError, match=r"y has shape \(2,\); expected \(n, outputs\)"):
        coupled_outputs(gradient_flow, np.eye(2), np.ones(2))
    with pytest.raises(
        InputError, match=r"f0_train has shape \(2,\); expected a column for each of 3 outputs"
    ):
        separate_outputs(gradient_flow, np.ones((2, 2, 3)), np.ones((2, 3)), f0_train=np.ones(2))


def test_the_mean_of_runs_on_random_batches_is_full_batch_descent():
    draw = np.random.default_rng(0)
    j, y, f0 = draw.normal(size=(8, 6)), draw.normal(size=(8, 2)), draw.normal(size=(8, 2))
    weights = np.linspace(0.5, 1.5, 8)
    descent = stochastic_gradient_descent(
        j @ j.T, y, learning_rate=0.3, batch_size=3, f0_train=f0, weights=weights
    )
    steps = [0, 1, 7, 30]
    runs = [descent.run(steps, seed=s) for s in range(2000)]
    found = np.array([run.train for run in runs])
    error = found.std(axis=0) / len(runs) ** 0.5
    assert np.all(np.abs(found.mean(axis=0) - descent.mean.train(steps)) <= 4.5 * error + 1e-12)
    np.testing.assert_allclose(runs[0].test(j @ j.T, f0), runs[0].train, atol=1e-12)
    again = descent.run(30, seed=5)
    np.testing.assert_array_equal(again.train[0], runs[5].train[-1])


def test_all_examples_in_a_batch_are_full_batch_descent():
    descent = stochastic_gradient_descent(np.diag([1.0, 2.0]), [1.0, 1.0], learning_rate=0.5, batch_size=2)
    np.testing.assert_allclose(descent.run([3, 9]).train, descent.mean.train([3, 9]), atol=1e-14)


def test_batches_are_checked():
    for bad in (0, 3, 1.5):
        with pytest.raises((InputError, TypeError), match=r"batch_size"):
            stochastic_gradient_descent(np.eye(2), [1.0, 1.0], learning_rate=0.5, batch_size=bad)
    descent = stochastic_gradient_descent(np.eye(2), [1.0, 1.0], learning_rate=3.9, batch_size=1)
    for bad in (-1, [3, 2], [0.5]):
        with pytest.raises((InputError, TypeError), match=r"steps"):
            descent.run(bad)
    with pytest.raises(NumericalError, match=r"batches of 1 need a smaller step than the mean does.* 4"):
        descent.run(5000)
