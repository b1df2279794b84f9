"""What governs the speed of training: rates, bounds and times against the curves; the best steps against a search."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ntkit.analysis import (
    convergence,
    early_stopping,
    learning_times,
    optimal_step,
    target_power,
)
from ntkit.errors import InputError
from ntkit.predict import (
    cross_validate,
    gradient_descent,
    gradient_flow,
    kernel_regression,
    largest_learning_rate,
    squared_loss,
)


def problem(seed, n=8, outputs=2):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 4))
    k = np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1)) + 0.1 * x @ x.T
    return k, draw.normal(size=(n, outputs)), draw.normal(size=(n, outputs))


cases = st.builds(problem, st.integers(0, 9999), st.integers(2, 12), st.integers(1, 3))


@hypothesis.given(cases, st.floats(0.1, 3), st.floats(0, 300))
def test_the_loss_keeps_below_its_bound(case, rate, time):
    k, y, f0 = case
    found = convergence(k, y, f0_train=f0, learning_rate=rate)
    smallest = np.linalg.eigvalsh(k)[0]
    expected = np.exp(-2 * rate * smallest * time / len(k)) * squared_loss(f0, y)
    np.testing.assert_allclose(found.bound(time), expected, rtol=1e-8)
    assert found.loss(time) <= found.bound(time) * (1 + 1e-12)
    np.testing.assert_allclose(
        found.loss(time), gradient_flow(k, y, f0_train=f0, learning_rate=rate).train_loss(time)
    )


@hypothesis.given(cases, st.floats(0.001, 0.999), st.sampled_from([0.0, 0.1]))
def test_the_time_to_a_loss_is_when_the_loss_is_that(case, part, ridge):
    k, y, f0 = case
    found = convergence(k, y, f0_train=f0, ridge=ridge)
    level = found.least_loss + part * (float(found.loss(0.0)) - found.least_loss)
    np.testing.assert_allclose(found.loss(found.time_to_loss(level)), level, rtol=1e-9)
    assert found.time_to_loss(2 * float(found.loss(0.0))) == 0


@hypothesis.given(cases)
def test_modes_hold_all_of_the_targets_and_are_learnt_in_order(case):
    k, y, f0 = case
    found = convergence(k, y, f0_train=f0)
    np.testing.assert_allclose(found.power, target_power(k, y - f0).power, atol=1e-12)
    order = found.order()
    assert all(a.time_constant <= b.time_constant for a, b in itertools.pairwise(order))
    np.testing.assert_allclose(sum(mode.power for mode in order), 1, atol=1e-4)
    assert order[:2] == found.order(2)
    constant = found.time_constants[0]
    left = gradient_flow(k, y, f0_train=f0).unlearnt(constant)[0]
    np.testing.assert_allclose(left, np.exp(-1))
    assert found.largest_learning_rate == largest_learning_rate(k)


def test_what_a_kernel_cannot_learn_is_said():
    k = np.array([[1.0, 1.0, 0], [1, 1, 0], [0, 0, 1]])
    found = convergence(k, [0.0, 1.0, 2.0])
    np.testing.assert_allclose(found.least_loss, (0.25 + 0.25) / 6)
    assert found.time_constants[-1] == np.inf
    with pytest.raises(InputError, match=r"the loss never reaches 0\.01: at t = ∞ it is 0\.08333"):
        found.time_to_loss(0.01)
    np.testing.assert_allclose(found.bound([0.0, 10.0]), float(found.loss(0.0)))
    np.testing.assert_array_equal(learning_times(k, [[1.0], [-1.0], [0.0]]), [np.inf])


def test_harmonics_are_learnt_from_the_lowest():
    angles = 2 * np.pi * np.arange(40) / 40
    k = np.exp(np.cos(np.subtract.outer(angles, angles)))
    times = learning_times(k, np.stack([np.sin(h * angles) for h in (1, 2, 3, 4)], axis=1), part=0.9)
    assert np.all(np.diff(times) > 0)
    # An eigenvector is learnt as its eigenvalue says.
    value = k[0] @ np.cos(2 * angles)
    np.testing.assert_allclose(times[1], np.log(10) * 40 / value, rtol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
@pytest.mark.parametrize("method", ["descent", "heavy_ball", "nesterov"])
def test_the_best_step_shrinks_the_slowest_mode_as_stated_and_neighbours_do_not_do_better(method, ridge):
    values = np.array([5.0, 2.0, 0.3, 0.02])
    k, y = np.diag(values), np.array([0.0, 0.0, 0.0, 1.0])
    best = optimal_step(k, ridge=ridge, method=method)

    def factor(rate, momentum):
        rates = rate * (values + ridge) / 4
        matrices = [
            [[1 - r - momentum * r, -(momentum**2)], [r, momentum]]
            if best.nesterov
            else [[1 - r, -momentum], [r, momentum]]
            for r in rates
        ]
        return max(np.abs(np.linalg.eigvals(np.array(m))).max() for m in matrices)

    # Both ends are critically damped with momentum: double eigenvalues are known to the root of rounding.
    np.testing.assert_allclose(factor(best.learning_rate, best.momentum), best.factor, atol=1e-6)
    for a, b in ((1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98), (1.02, 0.98), (0.98, 1.02)):
        if best.momentum or b == 1.0:
            assert factor(a * best.learning_rate, b * best.momentum) > best.factor - 1e-6
    curve = gradient_descent(
        k, y, ridge=ridge, learning_rate=best.learning_rate, momentum=best.momentum, nesterov=best.nesterov
    )
    left = curve.decay.remaining(curve.rates, np.array([400.0]))[-1]
    assert np.abs(left) ** (1 / 400) < best.factor * 1.03


def test_the_best_step_passes_over_modes_that_are_never_learnt():
    assert optimal_step(np.diag([4.0, 1.0, 0.0])) == pytest.approx((6 / 5, 0.0, False, 0.6))


@hypothesis.settings(max_examples=5)
@hypothesis.given(cases, st.sampled_from([gradient_flow, gradient_descent]))
def test_the_predicted_loss_is_that_of_folds_left_out(case, rule):
    k, y, f0 = case
    found = early_stopping(k, y, folds=2, rule=rule, f0_train=f0, ridge=0.1, learning_rate=0.1)
    even, odd = np.arange(0, len(k), 2), np.arange(1, len(k), 2)
    expected = 0.0
    for out, rest in ((even, odd), (odd, even)):
        curve = rule(k[np.ix_(rest, rest)], y[rest], f0_train=f0[rest], ridge=0.1, learning_rate=0.1)
        predicted = curve.test(found.times, k[np.ix_(out, rest)], f0[out])
        expected = expected + squared_loss(predicted, y[out]) * len(out) / len(k)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-9)
    assert found.loss == found.losses.min()
    assert found.times[0] == 0
    np.testing.assert_allclose(
        found.losses[-1], cross_validate(kernel_regression(k, y, ridge=0.1, f0_train=f0), 2).loss, rtol=1e-6
    )


@pytest.mark.parametrize("rule", [gradient_flow, gradient_descent])
@pytest.mark.parametrize("seed", range(4))
def test_stopping_at_the_predicted_time_is_nearly_the_best_there_is(seed, rule):
    draw = np.random.default_rng(seed)
    x = draw.uniform(-1, 1, (2200, 2))
    k = np.exp(-4 * np.sum((x[:, None] - x[:200]) ** 2, axis=-1))
    y = np.sin(4 * x[:, 0]) * x[:, 1] + 0.4 * draw.normal(size=2200)
    found = early_stopping(k[:200], y[:200], rule=rule, learning_rate=1.0)
    curve = rule(k[:200], y[:200], learning_rate=1.0)
    losses = squared_loss(curve.test(found.times, k[200:]), y[200:])
    there = squared_loss(curve.test(found.time, k[200:]), y[200:])
    assert there < 1.1 * losses.min()
    assert losses[-1] > 1.5 * losses.min()
    np.testing.assert_allclose(found.loss, there, rtol=0.3)


def test_targets_without_noise_are_trained_to_the_end():
    x = np.linspace(-1, 1, 12)
    k = np.exp(-np.abs(np.subtract.outer(x, x)))
    assert early_stopping(k, np.exp(x)).time == np.inf


def test_questions_are_checked():
    found = convergence(np.eye(2), [1.0, 1.0], ridge=0.1)
    with pytest.raises(InputError, match="the bound is that of training without a ridge"):
        found.bound(1.0)
    with pytest.raises(InputError, match="loss is 0; expected a positive number"):
        found.time_to_loss(0)
    with pytest.raises(InputError, match="nothing to learn"):
        convergence(np.eye(2), [1.0, 1.0], f0_train=[1.0, 1.0])
    with pytest.raises(InputError, match="part is 1; expected above 0 and below 1"):
        learning_times(np.eye(2), np.eye(2), part=1)
    with pytest.raises(InputError, match=r"targets has shape \(2,\); expected"):
        learning_times(np.eye(2), np.ones(2))
    with pytest.raises(InputError, match="method is 'adam'; expected descent, heavy_ball or nesterov"):
        optimal_step(np.eye(2), method="adam")
    with pytest.raises(InputError, match="the kernel is zero: no step changes the outputs"):
        optimal_step(np.zeros((2, 2)))
    with pytest.raises(InputError, match="the kernel is zero: nothing is ever learnt"):
        early_stopping(np.zeros((2, 2)), [1.0, 2.0], folds=2)
