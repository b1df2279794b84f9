"""Expected losses of kernel regression against limits, dense algebra and experiments."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import Population, distribution, expected_loss, measured_loss, population, simulated_loss
from ntkit.errors import InputError

DRAW = np.random.default_rng(0)
M = 150
BASIS = np.linalg.qr(DRAW.normal(size=(M, M)))[0]
VALUES = np.arange(1, M + 1.0) ** -1.5
K = (BASIS * VALUES) @ BASIS.T
Y = BASIS @ (DRAW.normal(size=M) * np.sqrt(VALUES))
populations = st.builds(
    lambda values, power, size: Population(
        np.array(values), np.resize(power, len(values)), np.ones(len(values)), size if size else math.inf
    ),
    st.lists(st.floats(1e-6, 1e3), min_size=30, max_size=40),
    st.lists(st.floats(0, 10), min_size=1, max_size=40),
    st.sampled_from([0, 40, 1000]),
)


@hypothesis.given(populations, st.integers(1, 29), st.sampled_from([0.0, 1e-3, 10.0]), st.floats(0, 2))
def test_what_is_learnt_is_no_more_than_the_examples(modes, n, ridge, noise):
    found = expected_loss(modes, n, ridge=ridge, noise=noise)
    total = found.learnability.sum()
    rest = ridge / found.threshold * (1 - total / modes.size)
    np.testing.assert_allclose(total + rest, n, rtol=1e-9)
    assert total <= n * (1 + 1e-9)
    assert found.overfitting >= 1
    assert found.train_loss <= found.loss + noise / 2 + 1e-12
    if ridge == 0:
        assert found.train_loss <= 1e-6 * (modes.mean_square + noise + 1)


@hypothesis.given(populations, st.integers(1, 29), st.sampled_from([0.0, 1e-3, 10.0]), st.floats(0, 2))
def test_a_large_population_is_a_distribution(modes, n, ridge, noise):
    large, whole = (
        expected_loss(Population(modes.eigenvalues, modes.power, modes.multiplicity, size), n, ridge=ridge, noise=noise)
        for size in (1e9, math.inf)
    )  # fmt: skip
    for name in ("threshold", "overfitting", "loss", "train_loss"):
        np.testing.assert_allclose(getattr(large, name), getattr(whole, name), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 0.05, 2.0])
def test_of_all_examples_the_loss_is_that_of_dense_algebra(ridge):
    noise = 0.3
    smoother = K @ np.linalg.inv(K + ridge * np.eye(M))
    found = expected_loss(population(K, Y), M, ridge=ridge, noise=noise)
    left = np.eye(M) - smoother
    clean = np.mean((left @ Y) ** 2) / 2
    np.testing.assert_allclose(found.loss, clean + noise * np.sum(smoother**2) / M / 2, rtol=1e-9)
    np.testing.assert_allclose(found.train_loss, clean + noise * np.sum(left**2) / M / 2, atol=1e-12)


@pytest.mark.parametrize("n", [10, 50, 120])
@pytest.mark.parametrize("ridge", [1e-4, 0.05, 2.0])
def test_draws_from_a_finite_population_have_the_expected_loss(n, ridge):
    noise = 0.02
    expected = expected_loss(population(K, Y), n, ridge=ridge, noise=noise)
    losses, at_train = [], []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        rows = draw.permutation(M)[:n]
        y = Y[rows] + noise**0.5 * draw.normal(size=n)
        alpha = np.linalg.solve(K[np.ix_(rows, rows)] + ridge * np.eye(n), y)
        losses.append(np.mean((K[:, rows] @ alpha - Y) ** 2) / 2)
        at_train.append(np.mean((ridge * alpha) ** 2) / 2)
    np.testing.assert_allclose(np.mean(losses), expected.loss, rtol=0.03 + 0.6 / n)
    np.testing.assert_allclose(np.mean(at_train), expected.train_loss, rtol=0.03 + 0.6 / n, atol=1e-9)


def test_equal_eigenvalues_are_linear_regression_on_gaussian_inputs():
    d, n, noise = 60, 30, 0.5
    expected = expected_loss(distribution([1.0], [1.0], [d]), n, noise=noise)
    found = []
    for seed in range(300):
        draw = np.random.default_rng(seed)
        x, w = draw.normal(size=(n, d)), draw.normal(size=d) / d**0.5
        fitted = np.linalg.lstsq(x, x @ w + noise**0.5 * draw.normal(size=n))[0]
        found.append(np.sum((fitted - w) ** 2) / 2)
    np.testing.assert_allclose(np.mean(found), expected.loss, rtol=0.05)


def test_the_peak_of_double_descent_is_infinite():
    modes = distribution([1.0], [1.0], [20])
    assert expected_loss(modes, 20, noise=0.1).loss == math.inf
    assert expected_loss(modes, 20).loss == 0
    assert expected_loss(modes, 40, noise=0.1).loss == pytest.approx(0.05 * 20 / 20)


def test_measured_losses_are_those_of_regression_on_the_drawn_rows():
    found = measured_loss(K, Y, [20, 50], ridge=0.05, draws=3, seed=1)
    assert found.losses.shape == (2, 3)
    rows = np.random.default_rng([1, 0, 2]).permutation(M)[:20]
    fit = nk.predict.kernel_regression(K[np.ix_(rows, rows)], Y[rows], ridge=0.05)
    np.testing.assert_allclose(found.losses[0, 2], np.mean((fit.predict(K[:, rows]) - Y) ** 2) / 2)
    np.testing.assert_allclose(found.mean, found.losses.mean(axis=1))
    np.testing.assert_allclose(found.deviation, found.losses.std(axis=1, ddof=1))


def test_populations_and_sizes_are_checked():
    ones = np.ones(3)
    with pytest.raises(InputError, match=r"shapes \(3,\), \(2,\) and \(3,\); expected \(k,\) of each"):
        distribution(ones, ones[:2], ones)
    with pytest.raises(InputError, match=r"power has a value of -1.0; expected finite ones of at least 0"):
        distribution(ones, -ones)
    with pytest.raises(InputError, match="size is 2; expected at least 3, the number of modes"):
        Population(ones, ones, ones, 2)
    for n in (0, 4, True):
        with pytest.raises(InputError, match=f"n is {n}; expected a whole number from 1 to 3"):
            expected_loss(Population(ones, ones, ones, 3), n)
    for name in ("ridge", "noise"):
        with pytest.raises(InputError, match=f"{name} is -1"):
            expected_loss(distribution(ones, ones), 1, **{name: -1.0})
    with pytest.raises(InputError, match="draws is 1; expected at least 2, for a deviation"):
        measured_loss(K, Y, [10], draws=1)
    with pytest.raises(InputError, match=r"sizes holds 151; expected whole numbers from 1 to 150"):
        measured_loss(K, Y, [10, 151])


@pytest.mark.parametrize("ridge", [0.1, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_experiment_of_the_theory_has_its_loss(ridge, noise):
    """With a tail of modes that has no features of its own."""
    modes = distribution([1.0, 0.2, 1e-3], [1.0, 0.5, 0.1], [40, 200, 5000])
    found = simulated_loss(modes, 150, ridge=ridge, noise=noise, draws=40)
    assert found.mean == pytest.approx(expected_loss(modes, 150, ridge=ridge, noise=noise).loss, rel=0.03)
    assert found.error == pytest.approx(found.spread / 40**0.5)


def test_wrong_experiments_are_refused():
    with pytest.raises(InputError, match="n is 0 and draws is 20"):
        simulated_loss(distribution([1.0], [1.0], [3]), 0)
