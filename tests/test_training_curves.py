"""Training curves against the oracle, matrix exponentials, matrix powers and a step-by-step run."""

import pathlib

import hypothesis
import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import scipy.linalg

from ntkit.errors import InputError, NumericalError
from ntkit.predict import (
    flow_ensemble,
    gradient_descent,
    gradient_flow,
    kernel_regression,
    largest_learning_rate,
    posterior,
    squared_loss,
)
from ntkit.solve import eigendecomposition

DYNAMICS = dict(np.load(pathlib.Path(__file__).parent / "oracle" / "dynamics.npz"))
TIMES = [0.0, 0.1, 1.0, 10.0, 100.0]
OUTPUTS = 2  # the oracle's loss is a mean over outputs too
K, K_TEST = DYNAMICS["ntk_train_train"], DYNAMICS["ntk_test_train"]
Y, F0, F0_TEST = DYNAMICS["y_train"], DYNAMICS["f_train_0"], DYNAMICS["f_test_0"]
RIDGES = {"": 0.0, "_reg_relative": 0.01 * np.trace(K) / len(K), "_reg_absolute": 0.05}


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def problem(seed, n=8, m=3, outputs=2):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n + m, 4))
    k = np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1)) + 0.1 * x @ x.T
    f = draw.normal(size=(n + m, outputs))
    return k[:n, :n], k[n:, :n], k[n:, n:], draw.normal(size=(n, outputs)), f[:n], f[n:]


problems = st.builds(
    problem, st.integers(0, 10_000), st.integers(1, 10), st.integers(1, 4), st.integers(1, 3)
)


def by_substitution(decayed, k, k_test, y, f0, f0_test, ridge):
    """The closed form, from E as a matrix."""
    gain = np.linalg.solve(k + ridge * np.eye(len(k)), np.eye(len(k)) - decayed) @ (y - f0)
    return f0 + k @ gain, f0_test + k_test @ gain


@pytest.mark.parametrize("name", RIDGES)
def test_flow_is_that_of_the_oracle(name):
    curve = gradient_flow(K, Y, f0_train=F0, ridge=RIDGES[name], learning_rate=1 / OUTPUTS)
    train = np.concatenate([DYNAMICS[f"mse{name}_train"], DYNAMICS[f"mse{name}_train_inf"][None]])
    test = np.concatenate([DYNAMICS[f"mse{name}_test"], DYNAMICS[f"mse{name}_test_inf"][None]])
    close(curve.test([*TIMES, np.inf], K_TEST, F0_TEST), test)
    # With a ridge the oracle's training outputs still go to y; ΘΘ̃⁻¹ of their way is what the penalty allows.
    shrink = K @ np.linalg.inv(K + RIDGES[name] * np.eye(len(K)))
    close(curve.train([*TIMES, np.inf]), F0 + shrink @ (train - F0))


def test_flow_is_the_solution_of_its_differential_equation():
    times = [0.0, 0.1, 1.0, 10.0, 100.0, 300.0]
    curve = gradient_flow(K, Y, f0_train=F0, learning_rate=0.5 / OUTPUTS)
    close(curve.train(times), DYNAMICS["mse_ode_lr05_train_tight"])
    close(curve.test(times, K_TEST, F0_TEST), DYNAMICS["mse_ode_lr05_test_tight"])


@hypothesis.given(problems, st.floats(0, 100), st.floats(0.1, 3), st.sampled_from([0.0, 0.3]))
def test_flow_is_the_matrix_exponential(case, time, rate, ridge):
    k, k_test, _, y, f0, f0_test = case
    decayed = scipy.linalg.expm(-rate * time / len(k) * (k + ridge * np.eye(len(k))))
    train, test = by_substitution(decayed, k, k_test, y, f0, f0_test, ridge)
    curve = gradient_flow(k, y, f0_train=f0, ridge=ridge, learning_rate=rate)
    np.testing.assert_allclose(curve.train(time), train, atol=1e-8)
    np.testing.assert_allclose(curve.test(time, k_test, f0_test), test, atol=1e-8)
    np.testing.assert_allclose(curve.train_loss(time), squared_loss(train, y), rtol=1e-7, atol=1e-12)


@hypothesis.given(problems, st.integers(0, 300), st.floats(0.01, 0.99), st.sampled_from([0.0, 0.3]))
def test_descent_is_the_matrix_power(case, steps, fraction, ridge):
    k, k_test, _, y, f0, f0_test = case
    rate = fraction * largest_learning_rate(k, ridge=ridge)
    one = np.eye(len(k)) - rate / len(k) * (k + ridge * np.eye(len(k)))
    train, test = by_substitution(np.linalg.matrix_power(one, steps), k, k_test, y, f0, f0_test, ridge)
    curve = gradient_descent(k, y, f0_train=f0, ridge=ridge, learning_rate=rate)
    np.testing.assert_allclose(curve.train(steps), train, atol=1e-8)
    np.testing.assert_allclose(curve.test(steps, k_test, f0_test), test, atol=1e-8)
    np.testing.assert_allclose(curve.train_loss(steps), squared_loss(train, y), rtol=1e-7, atol=1e-12)


def test_descent_is_descent():
    """A linear model f₀ + J δ trained by gradient steps on its own loss, with penalty."""
    draw = np.random.default_rng(0)
    jacobian, jacobian_test = draw.normal(size=(6, 9)), draw.normal(size=(3, 9))
    y, f0, f0_test = draw.normal(size=6), draw.normal(size=6), draw.normal(size=3)
    rate, ridge, weights = 0.1, 0.7, np.zeros(9)
    curve = gradient_descent(jacobian @ jacobian.T, y, f0_train=f0, learning_rate=rate, ridge=ridge)
    for step in range(30):
        np.testing.assert_allclose(curve.train(step), f0 + jacobian @ weights, atol=1e-12)
        predicted = curve.test(step, jacobian_test @ jacobian.T, f0_test)
        np.testing.assert_allclose(predicted, f0_test + jacobian_test @ weights, atol=1e-12)
        weights -= rate / 6 * (jacobian.T @ (f0 + jacobian @ weights - y) + ridge * weights)


def test_small_steps_are_the_flow():
    times = np.array([0, 1000, 10_000])
    flow, steps = gradient_flow(K, Y, learning_rate=1e-5), gradient_descent(K, Y, learning_rate=1e-5)
    np.testing.assert_allclose(flow.test(times, K_TEST), steps.test(times, K_TEST), atol=1e-6)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
@pytest.mark.parametrize("rule", [gradient_flow, gradient_descent])
def test_the_ends_of_training(rule, ridge):
    curve = rule(K, Y, f0_train=F0, ridge=ridge, learning_rate=0.5 * largest_learning_rate(K, ridge=ridge))
    np.testing.assert_allclose(curve.train(0), F0, atol=1e-14)
    np.testing.assert_array_equal(curve.test(0, K_TEST, F0_TEST), F0_TEST)
    fit = kernel_regression(K, Y, ridge=ridge, f0_train=F0)
    np.testing.assert_allclose(curve.train(np.inf), fit.predict(K, F0), atol=1e-10)
    np.testing.assert_allclose(curve.test(np.inf, K_TEST, F0_TEST), fit.predict(K_TEST, F0_TEST), atol=1e-10)
    np.testing.assert_allclose(
        curve.test(1e300, K_TEST, F0_TEST), curve.test(np.inf, K_TEST, F0_TEST), atol=1e-10
    )


def test_shapes_follow_times_and_targets():
    times = np.ones((2, 3))
    curve, flat = gradient_flow(K, Y), gradient_flow(K, Y[:, 0])
    assert curve.train(times).shape == (2, 3, 10, 2)
    assert curve.test(times, K_TEST).shape == (2, 3, 6, 2)
    assert curve.train(1.0).shape == (10, 2)
    assert flat.train([1, 2]).shape == (2, 10)
    assert flat.test(1, K_TEST).shape == (6,)
    assert flat.train_loss(times).shape == (2, 3)
    np.testing.assert_allclose(flat.train(1.0), curve.train(1.0)[:, 0], atol=1e-14)
    np.testing.assert_array_equal(gradient_flow(eigendecomposition(K), Y).train(1.0), curve.train(1.0))


def test_training_loss_falls_far_below_rounding_of_the_outputs():
    curve = gradient_flow(np.diag([1.0, 2.0]), [1.0, 0.0])
    np.testing.assert_allclose(
        curve.train_loss([0.0, 100.0, 400.0]), [0.25, 0.25 * np.exp(-100), 0.25 * np.exp(-400)]
    )


@pytest.mark.parametrize("rule", [gradient_flow, gradient_descent])
def test_equal_rows_with_different_targets_are_learnt_at_their_mean(rule):
    k = np.array([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0], [1.0, 1.0, 3.0]])
    curve = rule(k, [0.0, 1.0, 5.0], learning_rate=0.5)
    for time in (1e6, 1e15, 1e18, 1e200, np.inf):
        np.testing.assert_allclose(curve.train(time), [0.5, 0.5, 5.0], atol=1e-12)
        np.testing.assert_allclose(curve.test(time, k), [0.5, 0.5, 5.0], atol=1e-6)


@pytest.mark.parametrize("rule", [gradient_flow, gradient_descent])
def test_a_kernel_of_zero_learns_nothing(rule):
    curve = rule(np.zeros((2, 2)), [1.0, 2.0], learning_rate=1.0)
    for time in (0, 1, np.inf):
        np.testing.assert_array_equal(curve.train(time), [0, 0])
        np.testing.assert_array_equal(curve.test(time, np.zeros((1, 2))), [0])


@pytest.mark.parametrize("time", [1, 1000, 10**9])
@pytest.mark.parametrize("value", [1.0, 1e-4, 1e-8, 1e-12])
def test_gains_keep_their_digits_where_eigenvalues_are_tiny(value, time):
    with mpmath.workdps(50):
        rate = mpmath.mpf(value) / 4
        by_flow = (1 - mpmath.exp(-rate * time)) / value
        by_steps = (1 - (1 - rate) ** time) / value
    k = np.diag([1.5, 1.0, 1.0, value])
    np.testing.assert_allclose(gradient_flow(k, np.ones(4)).gains(time)[3], float(by_flow), rtol=1e-13)
    gains = gradient_descent(k, np.ones(4), learning_rate=1.0).gains(time)
    np.testing.assert_allclose(gains[3], float(by_steps), rtol=1e-13)


def test_rounding_of_float32_does_not_grow_with_time():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 10))
    k = x @ x.T  # rank 10: fifty eigenvalues are rounding, half of them negative in float32
    y = x @ draw.normal(size=10)
    exact = gradient_flow(k, y).train([1.0, np.inf])
    rounded = gradient_flow(k.astype(np.float32), y)
    np.testing.assert_allclose(rounded.train([1.0, np.inf]), exact, atol=1e-4)
    np.testing.assert_allclose(rounded.test([1e3, 1e12, np.inf], k), np.broadcast_to(y, (3, 60)), atol=1e-3)


def test_largest_learning_rate_is_where_descent_turns():
    limit = largest_learning_rate(K)
    np.testing.assert_allclose(limit, 2 * len(K) / np.linalg.eigvalsh(K).max())
    falls = gradient_descent(K, Y, learning_rate=0.999 * limit).train_loss([100, 1000, 10_000])
    assert np.all(np.diff(falls) < 0)
    rises = gradient_descent(K, Y, learning_rate=1.01 * limit).train_loss([1000, 2000, 3000])
    assert np.all(np.diff(rises) > 0)
    with pytest.raises(InputError, match="no step changes the outputs"):
        largest_learning_rate(np.zeros((2, 2)))


def test_divergence_is_an_error_not_a_nan():
    curve = gradient_descent(K, Y, learning_rate=3 * largest_learning_rate(K))
    for act in (curve.train, curve.train_loss, lambda steps: curve.test(steps, K_TEST)):
        with pytest.raises(
            NumericalError, match="where gradient descent diverges, use a learning rate below"
        ):
            act(10_000)
    with pytest.raises(NumericalError, match="no limit: its learning rate is 3 times largest_learning_rate"):
        curve.train([1.0, np.inf])


@pytest.mark.parametrize("name", RIDGES)
def test_ensemble_is_that_of_the_oracle(name):
    blocks = ("train_train", "test_train", "test_test")
    nngp, nngp_cross, nngp_test = (DYNAMICS[f"nngp_{block}"] for block in blocks)
    times, ridge = [*TIMES, np.inf], RIDGES[name]
    ensemble = flow_ensemble(K, nngp, Y, ridge=ridge, learning_rate=1 / OUTPUTS)
    mean, covariance = ensemble.test(times, K_TEST, nngp_cross, nngp_test)
    close(mean, DYNAMICS[f"ensemble{name}_ntk_test_mean"])
    close(covariance, DYNAMICS[f"ensemble{name}_ntk_test_cov"])
    variance = ensemble.test_variance(times, K_TEST, nngp_cross, np.diag(nngp_test))
    np.testing.assert_allclose(variance, np.diagonal(covariance, axis1=1, axis2=2), atol=1e-12)
    if ridge == 0:
        close(ensemble.train(times).mean, DYNAMICS["ensemble_ntk_train_mean"])
        close(ensemble.train(times).covariance, DYNAMICS["ensemble_ntk_train_cov"])


def test_ensemble_that_trains_the_last_layer_is_that_of_the_oracle():
    blocks = ("train_train", "test_train", "test_test")
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in blocks)
    times = [*TIMES, np.inf]
    ensemble = flow_ensemble(nngp, nngp, Y, learning_rate=1 / OUTPUTS)
    for got, place in ((ensemble.train(times), "train"), (ensemble.test(times, cross, cross, test), "test")):
        close(got.mean, DYNAMICS[f"ensemble_nngp_{place}_mean"])
        close(got.covariance, DYNAMICS[f"ensemble_nngp_{place}_cov"])
    np.testing.assert_allclose(
        ensemble.test(np.inf, cross, cross, test).covariance,
        posterior(nngp, Y).covariance(cross, test),
        atol=1e-10,
    )


def test_ensemble_at_the_end_of_training_with_ridge_is_that_of_the_oracle():
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in ("train_train", "test_train", "test_test"))
    got = flow_ensemble(K, nngp, Y, ridge=RIDGES["_reg_relative"]).test(np.inf, K_TEST, cross, test)
    close(got.mean, DYNAMICS["gp_ntk_mean"])
    close(got.covariance, DYNAMICS["gp_ntk_cov"])


def test_ensemble_with_ridge_on_the_training_points():
    """As if they were test points."""
    nngp = DYNAMICS["nngp_train_train"]
    ensemble = flow_ensemble(K, nngp, Y, ridge=0.3)
    for got, expected in zip(
        ensemble.train([0.0, 2.0, np.inf]), ensemble.test([0.0, 2.0, np.inf], K, nngp, nngp), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("bad", [-1.0, [0.0, -0.5]])
def test_times_before_the_start_are_refused(bad):
    with pytest.raises(InputError, match=r"times has a value of -.*; expected at least 0"):
        gradient_flow(K, Y).train(bad)
    with pytest.raises(InputError, match=r"steps has a value of -.*; expected at least 0"):
        gradient_descent(K, Y, learning_rate=0.1).test(bad, K_TEST)


def test_times_are_numbers():
    with pytest.raises(InputError, match="times has a value of nan at index 1"):
        gradient_flow(K, Y).train([0.0, np.nan])
    with pytest.raises(InputError, match="times has a value of -inf"):
        gradient_flow(K, Y).train_loss(-np.inf)
    with pytest.raises(InputError, match=r"steps has a value of 0\.5; expected whole numbers"):
        gradient_descent(K, Y, learning_rate=0.1).train([1, 0.5, np.inf])


def test_problems_are_checked():
    with pytest.raises(InputError, match="learning_rate is 0; expected a positive number"):
        gradient_flow(K, Y, learning_rate=0.0)
    with pytest.raises(InputError, match=r"learning_rate is -1\.0"):
        gradient_descent(K, Y, learning_rate=-1.0)
    with pytest.raises(InputError, match=r"ridge is -1\.0"):
        gradient_flow(K, Y, ridge=-1.0)
    with pytest.raises(NumericalError, match="not positive semi-definite"):
        gradient_flow(np.diag([1.0, -1.0]), [1.0, 1.0])
    with pytest.raises(InputError, match=r"y has shape \(10, 2\); expected \(3,\)"):
        gradient_flow(np.eye(3), Y)
    with pytest.raises(InputError, match="f0_train was given but f0_test was not"):
        gradient_flow(K, Y, f0_train=F0).test(1.0, K_TEST)


def test_ensembles_are_checked():
    with pytest.raises(InputError, match=r"nngp_train_train has shape \(3, 3\); expected \(10, 10\)"):
        flow_ensemble(K, np.eye(3), Y)
    ensemble = flow_ensemble(K, K, Y)
    with pytest.raises(InputError, match="ntk_test_train has 6 test points, nngp_test_train 5"):
        ensemble.test(1.0, K_TEST, K_TEST[:5], np.eye(6))
    with pytest.raises(InputError, match=r"of the test points shape \(5, 5\); expected the same"):
        ensemble.test(1.0, K_TEST, K_TEST, np.eye(5))
    with pytest.raises(InputError, match=r"of the test points shape \(5,\); expected the same"):
        ensemble.test_variance(1.0, K_TEST, K_TEST, np.ones(5))
