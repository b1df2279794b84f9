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
    ensemble,
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


def test_largest_learning_rate():
    limit = largest_learning_rate(K)
    np.testing.assert_allclose(limit, 2 * len(K) / np.linalg.eigvalsh(K).max())
    with pytest.raises(InputError, match="no step changes the outputs"):
        largest_learning_rate(np.zeros((2, 2)))


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_a_step_above_the_largest_is_refused_with_the_largest(options):
    limit = largest_learning_rate(K, ridge=0.1, **options)
    message = f"diverges; the largest stable one is {limit:.6g}"
    with pytest.raises(InputError, match=message):
        gradient_descent(K, Y, ridge=0.1, learning_rate=1.01 * limit, **options)
    with pytest.raises(NumericalError, match="no limit: its learning rate is that of largest_learning_rate"):
        gradient_descent(K, Y, ridge=0.1, learning_rate=limit, **options).train([1.0, np.inf])


def test_outputs_out_of_range_are_an_error_not_an_infinity():
    curve = gradient_flow(K, 1e200 * Y)
    with pytest.raises(NumericalError, match="leave the range of float64: scale the targets"):
        curve.test(np.inf, 1e200 * K_TEST)


@hypothesis.given(problems, st.floats(0, 30), st.sampled_from([0.0, 0.3]), st.integers(0, 99))
def test_weights_are_those_of_the_losses(case, time, ridge, seed):
    k, k_test, _, y, f0, f0_test = case
    n, weights = len(k), np.random.default_rng(seed).uniform(0.1, 3, len(k))
    # dg/dt = -(1/n) [(Θ W + ridge) g - Θ W r]
    flow = k * weights + ridge * np.eye(n)
    decayed = scipy.linalg.expm(-time / n * flow)
    train = f0 + (np.eye(n) - decayed) @ np.linalg.solve(flow, k @ (weights[:, None] * (y - f0)))
    curve = gradient_flow(k, y, f0_train=f0, ridge=ridge, weights=weights)
    np.testing.assert_allclose(curve.train(time), train, atol=1e-8)
    np.testing.assert_allclose(curve.test(time, k, f0), train, atol=1e-7)
    np.testing.assert_allclose(
        curve.train_loss(time), np.mean(weights * np.sum((train - y) ** 2, axis=1)) / 2, rtol=1e-6, atol=1e-12
    )
    end = kernel_regression(k, y, ridge=1e-9 + ridge / weights, f0_train=f0)
    if ridge:
        np.testing.assert_allclose(
            curve.test(np.inf, k_test, f0_test), end.predict(k_test, f0_test), atol=1e-6
        )


def test_weights_are_checked():
    for bad in (np.ones(3), np.zeros(10), -np.ones(10)):
        with pytest.raises(InputError, match=r"weights has shape .*; expected \(10,\), a positive weight"):
            gradient_flow(K, Y, weights=bad)
    with pytest.raises(InputError, match="weights change the eigenvectors of the kernel"):
        gradient_flow(eigendecomposition(K), Y, weights=np.ones(10))


@pytest.mark.parametrize("name", RIDGES)
def test_ensemble_is_that_of_the_oracle(name):
    blocks = ("train_train", "test_train", "test_test")
    nngp, nngp_cross, nngp_test = (DYNAMICS[f"nngp_{block}"] for block in blocks)
    times, ridge = [*TIMES, np.inf], RIDGES[name]
    networks = ensemble(gradient_flow(K, Y, ridge=ridge, learning_rate=1 / OUTPUTS), nngp)
    mean, covariance = networks.test(times, K_TEST, nngp_cross, nngp_test)
    close(mean, DYNAMICS[f"ensemble{name}_ntk_test_mean"])
    close(covariance, DYNAMICS[f"ensemble{name}_ntk_test_cov"])
    variance = networks.test_variance(times, K_TEST, nngp_cross, np.diag(nngp_test))
    np.testing.assert_allclose(variance, np.diagonal(covariance, axis1=1, axis2=2), atol=1e-12)
    if ridge == 0:
        close(networks.train(times).mean, DYNAMICS["ensemble_ntk_train_mean"])
        close(networks.train(times).covariance, DYNAMICS["ensemble_ntk_train_cov"])


def test_ensemble_that_trains_the_last_layer_is_that_of_the_oracle():
    blocks = ("train_train", "test_train", "test_test")
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in blocks)
    times = [*TIMES, np.inf]
    networks = ensemble(gradient_flow(nngp, Y, learning_rate=1 / OUTPUTS), nngp)
    for got, place in ((networks.train(times), "train"), (networks.test(times, cross, cross, test), "test")):
        close(got.mean, DYNAMICS[f"ensemble_nngp_{place}_mean"])
        close(got.covariance, DYNAMICS[f"ensemble_nngp_{place}_cov"])
    np.testing.assert_allclose(
        networks.test(np.inf, cross, cross, test).covariance,
        posterior(nngp, Y).covariance(cross, test),
        atol=1e-10,
    )


def test_ensemble_at_the_end_of_training_with_ridge_is_that_of_the_oracle():
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in ("train_train", "test_train", "test_test"))
    got = ensemble(gradient_flow(K, Y, ridge=RIDGES["_reg_relative"]), nngp).test(np.inf, K_TEST, cross, test)
    close(got.mean, DYNAMICS["gp_ntk_mean"])
    close(got.covariance, DYNAMICS["gp_ntk_cov"])


def test_ensemble_with_ridge_on_the_training_points():
    """As if they were test points."""
    nngp = DYNAMICS["nngp_train_train"]
    networks = ensemble(gradient_flow(K, Y, ridge=0.3), nngp)
    for got, expected in zip(
        networks.train([0.0, 2.0, np.inf]), networks.test([0.0, 2.0, np.inf], K, nngp, nngp), strict=True
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


def test_variances_are_the_diagonals_of_covariances():
    blocks = ("train_train", "test_train", "test_test")
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in blocks)
    weights = np.linspace(0.5, 2, len(K))
    for curve in (
        gradient_flow(K, Y, ridge=0.1, weights=weights),
        gradient_descent(K, Y, learning_rate=2.0, momentum=0.5),
    ):
        networks, times = ensemble(curve, nngp), np.array([[0.0, 3.0], [20.0, np.inf]])
        covariance = networks.train(times).covariance
        np.testing.assert_allclose(
            networks.train_variance(times), np.diagonal(covariance, axis1=-2, axis2=-1), atol=1e-12
        )
        # The training points as test points.
        again = networks.test(times, K, nngp, nngp)
        np.testing.assert_allclose(again.covariance, covariance, atol=1e-9)
        np.testing.assert_allclose(again.mean, networks.train(times).mean, atol=1e-9)
        covariance = networks.test(times, K_TEST, cross, test).covariance
        variance = networks.test_variance(times, K_TEST, cross, np.diag(test))
        np.testing.assert_allclose(variance, np.diagonal(covariance, axis1=-2, axis2=-1), atol=1e-12)


def test_functions_are_drawn_from_the_ensemble():
    nngp, cross, test = (DYNAMICS[f"nngp_{block}"] for block in ("train_train", "test_train", "test_test"))
    found = ensemble(gradient_flow(K, Y), nngp).test([0.0, 5.0], K_TEST, cross, test)
    drawn = found.sample(20_000, seed=1)
    assert drawn.shape == (20_000, 2, 6, 2)
    np.testing.assert_allclose(drawn.mean(axis=0), found.mean, atol=0.05)
    centred = drawn - found.mean
    np.testing.assert_allclose(
        np.einsum("stio,stjo->tij", centred, centred) / (2 * len(drawn)), found.covariance, atol=0.05
    )
    with pytest.raises(InputError, match="count is 0; expected at least 1"):
        found.sample(0)
    with pytest.raises(NumericalError, match="the covariance has an eigenvalue of -1"):
        found._replace(covariance=-np.eye(6)[None]).sample(1)


def test_ensembles_are_checked():
    with pytest.raises(InputError, match="the curve has an f0_train, the outputs of one network"):
        ensemble(gradient_flow(K, Y, f0_train=F0), K)
    with pytest.raises(InputError, match=r"nngp_train_train has shape \(3, 3\); expected \(10, 10\)"):
        ensemble(gradient_flow(K, Y), np.eye(3))
    networks = ensemble(gradient_flow(K, Y), K)
    with pytest.raises(InputError, match="ntk_test_train has 6 test points, nngp_test_train 5"):
        networks.test(1.0, K_TEST, K_TEST[:5], np.eye(6))
    with pytest.raises(InputError, match=r"of the test points shape \(5, 5\); expected the same"):
        networks.test(1.0, K_TEST, K_TEST, np.eye(5))
    with pytest.raises(InputError, match=r"of the test points shape \(5,\); expected the same"):
        networks.test_variance(1.0, K_TEST, K_TEST, np.ones(5))
