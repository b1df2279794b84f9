"""Regression and posteriors: the oracle, textbook formulas written out, and refits one by one."""

import json
import pathlib

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.predict import choose_ridge, ensemble, gradient_flow, kernel_regression, posterior, squared_loss
from ntkit.solve import eigendecomposition

ORACLE = pathlib.Path(__file__).parent / "oracle"
DYNAMICS = dict(np.load(ORACLE / "dynamics.npz"))
RELATIVE_RIDGE = next(
    e for e in json.loads((ORACLE / "dynamics.json").read_text())["entries"] if "gp_" in e["keys"]
)


def close(got, key):
    expected = DYNAMICS[key]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.abs(expected).max(), err_msg=key)


def problem(seed, n=9, m=4, outputs=2):
    """A kernel of n + m points in blocks, targets and initial outputs."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n + m, 5))
    k = np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1)) + 0.1 * x @ x.T
    f = draw.normal(size=(n + m, outputs))
    return k[:n, :n], k[n:, :n], k[n:, n:], draw.normal(size=(n, outputs)), f[:n], f[n:]


problems = st.builds(
    problem, st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 5), st.integers(1, 3)
)


@pytest.mark.parametrize("kind", ["nngp", "ntkgp"])
def test_posterior_is_that_of_the_oracle(kind):
    block = {
        name: DYNAMICS[f"{kind[:3] if kind == 'ntkgp' else kind}_{name}"]
        for name in ("train_train", "test_train", "test_test")
    }
    noise = RELATIVE_RIDGE["diag_reg"] * np.mean(np.diag(block["train_train"]))
    gp = posterior(block["train_train"], DYNAMICS["y_train"], noise=noise)
    close(gp.mean(block["test_train"]), f"gp_{kind}_mean")
    close(gp.covariance(block["test_train"], block["test_test"]), f"gp_{kind}_cov")
    diagonal = gp.variance(block["test_train"], np.diag(block["test_test"]))
    np.testing.assert_allclose(diagonal, np.diag(DYNAMICS[f"gp_{kind}_cov"]), atol=1e-9)


def test_regression_is_the_oracle_at_infinite_time():
    fit = kernel_regression(DYNAMICS["ntk_train_train"], DYNAMICS["y_train"], f0_train=DYNAMICS["f_train_0"])
    close(fit.predict(DYNAMICS["ntk_test_train"], DYNAMICS["f_test_0"]), "mse_test_inf")
    close(fit.predict(DYNAMICS["ntk_train_train"], DYNAMICS["f_train_0"]), "mse_train_inf")


@pytest.mark.parametrize("name", ["mse_reg_relative", "mse_reg_absolute"])
def test_ridge_regression_is_the_oracle_at_infinite_time(name):
    k = DYNAMICS["ntk_train_train"]
    ridge = 0.05 if name == "mse_reg_absolute" else 0.01 * np.trace(k) / len(k)
    fit = kernel_regression(k, DYNAMICS["y_train"], ridge=ridge, f0_train=DYNAMICS["f_train_0"])
    close(fit.predict(DYNAMICS["ntk_test_train"], DYNAMICS["f_test_0"]), f"{name}_test_inf")


@hypothesis.given(problems, st.floats(1e-3, 10))
def test_regression_is_the_formula(case, ridge):
    k, k_test, _, y, f0, f0_test = case
    expected = f0_test + k_test @ np.linalg.inv(k + ridge * np.eye(len(k))) @ (y - f0)
    np.testing.assert_allclose(
        kernel_regression(k, y, ridge=ridge, f0_train=f0).predict(k_test, f0_test), expected, atol=1e-8
    )


def test_without_ridge_the_targets_are_met():
    k, _, _, y, f0, _ = problem(0)
    np.testing.assert_allclose(kernel_regression(k, y, f0_train=f0).predict(k, f0), y, atol=1e-10)


def test_one_output_may_come_without_an_axis():
    k, k_test, k_test_test, y, f0, f0_test = problem(1)
    both = kernel_regression(k, y, f0_train=f0).predict(k_test, f0_test)
    flat = kernel_regression(k, y[:, 0], f0_train=f0[:, 0]).predict(k_test, f0_test[:, 0])
    np.testing.assert_allclose(flat, both[:, 0], atol=1e-12)
    assert posterior(k, y[:, 0]).mean(k_test).shape == (4,)
    assert posterior(k, y[:, 0]).covariance(k_test, k_test_test).shape == (4, 4)
    assert choose_ridge(k, y[:, 0], [0.1]).predictions.shape == (9,)


def test_arrays_of_jax_and_float32_are_taken():
    k, k_test, _, y, _, _ = problem(2)
    expected = kernel_regression(k, y, ridge=0.1).predict(k_test)
    got = kernel_regression(jnp.asarray(k), jnp.asarray(y), ridge=0.1).predict(jnp.asarray(k_test))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_jitter_is_added_on_request_and_reported():
    k = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(NumericalError, match="not positive definite"):
        kernel_regression(k, [1.0, 1.0, 2.0])
    fit = kernel_regression(k, [1.0, 1.0, 2.0], max_relative_jitter=1e-8)
    assert 0 < fit.factor.jitter < 1e-8
    assert "jitter of" in fit.factor.message
    np.testing.assert_allclose(fit.predict(k), [1, 1, 2], atol=1e-7)


@pytest.mark.parametrize("repeats", [2, 40])
def test_jitter_is_enough_for_equal_points_with_different_targets(repeats):
    k, _, _, y, _, _ = problem(6)
    k, y = np.tile(k, (repeats, repeats)), np.concatenate([y] * (repeats - 1) + [-y])
    fit = kernel_regression(k, y, max_relative_jitter=1e-6)
    assert fit.factor.jitter < 1e-8
    np.testing.assert_allclose(fit.predict(k)[:9], y[:9] * (repeats - 2) / repeats, atol=1e-3)


def test_a_solution_that_misses_its_targets_is_refused():
    x = np.linspace(0, 1, 30)
    k = np.exp(-(np.subtract.outer(x, x) ** 2))
    noisy = np.sign(np.random.default_rng(0).normal(size=30))
    with pytest.raises(NumericalError, match="misses its targets by"):
        kernel_regression(k, noisy, ridge=1e-12)


@hypothesis.given(problems, st.floats(1e-3, 10))
def test_posterior_is_the_conditional_gaussian(case, noise):
    k, k_test, k_test_test, y, _, _ = case
    shifted = k + noise * np.eye(len(k))
    gp = posterior(k, y, noise=noise)
    np.testing.assert_allclose(gp.mean(k_test), k_test @ np.linalg.solve(shifted, y), atol=1e-8)
    expected = k_test_test - k_test @ np.linalg.solve(shifted, k_test.T)
    np.testing.assert_allclose(gp.covariance(k_test, k_test_test), expected, atol=1e-8)
    np.testing.assert_allclose(gp.variance(k_test, np.diag(k_test_test)), np.diag(expected), atol=1e-8)
    density = scipy.stats.multivariate_normal(np.zeros(len(k)), shifted)
    np.testing.assert_allclose(
        gp.log_marginal_likelihood, np.sum([density.logpdf(column) for column in y.T]), rtol=1e-8
    )


def test_kernels_that_are_not_of_one_network_are_found_out_by_their_variance():
    networks = ensemble(gradient_flow([[1.0]], [1.0]), [[1.0]])
    with pytest.raises(NumericalError, match=r"the variance of test point 0 is -3"):
        networks.test_variance(np.inf, [[2.0]], [[2.0]], [1.0])


@pytest.mark.parametrize("seed", range(8))
def test_float32_kernels_without_an_inverse_are_refused_everywhere(seed):
    x = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    k, y = nk.nngp(nk.Dense(1), x), [0.0, 1.0, 2.0, 3.0]
    for fit in (kernel_regression, posterior):
        with pytest.raises(NumericalError, match="not positive definite"):
            fit(k, y)
    assert choose_ridge(k, y, [0.0, 1e-2]).losses[0] == np.inf


def test_variance_at_a_training_point_without_noise_is_zero():
    k, _, _, y, _, _ = problem(3)
    variance = posterior(k, y).variance(k, np.diag(k))
    assert np.all(variance >= 0)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


def test_kernels_of_two_networks_are_found_out():
    k, k_test, k_test_test, y, _, _ = problem(4)
    with pytest.raises(NumericalError, match=r"the variance of test point .* is -"):
        posterior(k, y).variance(3 * k_test, np.diag(k_test_test))
    with pytest.raises(NumericalError, match=r"the variance of test point .* is -"):
        posterior(k, y).covariance(3 * k_test, k_test_test)


@hypothesis.settings(max_examples=8)
@hypothesis.given(problems, st.booleans())
def test_leave_one_out_is_refitting_without_each_point(case, with_start):
    k, _, _, y, f0, _ = case
    f0 = f0 if with_start else None
    ridges = np.array([1e-2, 1.0, 10.0])
    expected = np.empty((len(ridges), *y.shape))
    for g, ridge in enumerate(ridges):
        for i in range(len(k)):
            rest = np.arange(len(k)) != i
            start = (None, None) if f0 is None else (f0[rest], f0[[i]])
            fit = kernel_regression(k[np.ix_(rest, rest)], y[rest], ridge=ridge, f0_train=start[0])
            expected[g, i] = fit.predict(k[[i]][:, rest], start[1])[0]
    losses = squared_loss(expected, y)
    choice = choose_ridge(k, y, ridges, f0_train=f0)
    np.testing.assert_allclose(choice.losses, losses, rtol=1e-8)
    assert choice.ridge == ridges[losses.argmin()]
    np.testing.assert_allclose(choice.predictions, expected[losses.argmin()], atol=1e-8)
    assert choice.at_edge == (losses.argmin() in (0, 2))


def test_the_default_grid_finds_the_noise():
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, 200)
    k = np.exp(-(np.subtract.outer(x, x) ** 2))
    choice = choose_ridge(k, np.sin(3 * x) + 0.3 * draw.normal(size=200))
    assert not choice.at_edge
    assert 0.005 < choice.ridge < 0.9
    assert len(choice.ridges) == len(choice.losses) == 49
    again = choose_ridge(eigendecomposition(k), np.sin(3 * x))
    np.testing.assert_allclose(again.ridges, choice.ridges)


def test_a_grid_for_float32_starts_above_its_rounding():
    k, _, _, y, _, _ = problem(5)
    assert choose_ridge(k.astype(np.float32), y).ridges[0] >= 2.0**-24
    assert choose_ridge(k, y).ridges[0] < 2e-8 * np.mean(np.diag(k))


def test_ridges_that_leave_the_kernel_singular_are_not_chosen():
    k = np.ones((3, 3))
    choice = choose_ridge(k, [1.0, 2.0, 3.0], [0.0, 1.0])
    assert choice.losses[0] == np.inf
    assert choice.ridge == 1.0
    with pytest.raises(NumericalError, match="no ridge of the grid makes the kernel regular"):
        choose_ridge(k, [1.0, 2.0, 3.0], [0.0])


def test_ridges_and_kernels_are_checked():
    with pytest.raises(InputError, match="at least 2 training points; found 1"):
        choose_ridge([[1.0]], [1.0])
    with pytest.raises(InputError, match="the kernel is zero"):
        choose_ridge(np.zeros((2, 2)), [1.0, 2.0])
    for bad in ([], [[1.0]], [-1.0]):
        with pytest.raises(InputError, match=r"ridges has shape .* expected \(g,\)"):
            choose_ridge(np.eye(2), [1.0, 2.0], bad)
    with pytest.raises(InputError, match="ridges has a value of nan"):
        choose_ridge(np.eye(2), [1.0, 2.0], [np.nan])
    with pytest.raises(NumericalError, match="not positive semi-definite"):
        choose_ridge(np.diag([1.0, -1.0]), [1.0, 2.0])
    with pytest.raises(InputError, match=r"ridge is -1\.0"):
        kernel_regression(np.eye(2), [1.0, 2.0], ridge=-1.0)


def test_targets_are_checked():
    for bad in (np.ones(3), np.ones((2, 0)), np.ones((2, 1, 1)), np.array(1.0)):
        with pytest.raises(InputError, match=r"y has shape .* expected \(2,\) or \(2, outputs\)"):
            kernel_regression(np.eye(2), bad)
    with pytest.raises(InputError, match=r"y has a value of nan at index \(1, 0\)"):
        posterior(np.eye(2), [[1.0], [np.nan]])
    with pytest.raises(
        InputError, match=r"f0_train has shape \(3,\); expected \(2,\): a row for each training point"
    ):
        kernel_regression(np.eye(2), np.ones(2), f0_train=np.ones(3))


def test_test_points_are_checked():
    fit = kernel_regression(np.eye(2), np.ones(2))
    with pytest.raises(InputError, match=r"k_test_train has shape \(2, 3\); expected \(m, 2\).*transposed"):
        fit.predict(np.ones((2, 3)))
    with pytest.raises(InputError, match="f0_test was given but f0_train was not"):
        fit.predict(np.ones((1, 2)), [1.0])
    started = kernel_regression(np.eye(2), np.ones(2), f0_train=np.zeros(2))
    with pytest.raises(InputError, match="f0_train was given but f0_test was not"):
        started.predict(np.ones((1, 2)))
    with pytest.raises(
        InputError, match=r"f0_test has shape \(2,\); expected \(1,\): a row for each test point"
    ):
        started.predict(np.ones((1, 2)), [1.0, 2.0])
    gp = posterior(np.eye(2), np.ones(2))
    with pytest.raises(InputError, match=r"k_test_diag has shape \(1, 1\); expected \(1,\)"):
        gp.variance(np.ones((1, 2)) / 2, [[1.0]])
    with pytest.raises(InputError, match=r"k_test_test has shape \(2, 2\); expected \(1, 1\)"):
        gp.covariance(np.ones((1, 2)) / 2, np.eye(2))


def test_squared_loss():
    np.testing.assert_allclose(squared_loss(np.ones((3, 4, 2)), np.zeros((4, 2))), np.ones(3))
    assert squared_loss([1.0, 3.0], [0.0, 0.0]) == 2.5
    with pytest.raises(InputError, match=r"outputs has shape \(3,\); expected"):
        squared_loss(np.ones(3), np.ones((3, 1)))
    with pytest.raises(InputError, match=r"y has shape \(\); expected"):
        squared_loss(np.ones(3), np.array(1.0))
