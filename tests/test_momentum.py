"""Descent with momentum: against matrix powers in many digits, real runs of optax, and at the edge of stability."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.predict import gradient_descent, gradient_flow, largest_learning_rate
from ntkit.predict.momentum import Momentum

FORMS = [(0.9, False), (0.9, True), (0.3, False), (0.99, True)]


@hypothesis.given(
    st.floats(0, 0.999), st.booleans(), st.integers(0, 5000), st.floats(-12, 0), st.floats(0.01, 0.999)
)
def test_a_mode_is_an_entry_of_a_matrix_power(beta, nesterov, steps, exponent, edge):
    rule = Momentum(beta, nesterov)
    rate = edge * rule.limit * 10**exponent
    with mpmath.workdps(60):
        b, r = mpmath.mpf(beta), mpmath.mpf(rate)
        step = [[1 - r - b * r, -b * b], [r, b]] if nesterov else [[1 - r, -b], [r, b]]
        power = mpmath.matrix(step) ** steps
        left, learnt = power[0, 0], (1 - power[0, 0]) / r
    times = np.array([float(steps)])
    np.testing.assert_allclose(rule.remaining(np.array([rate]), times), float(left), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rule.learnt_per_rate(np.array([rate]), times), float(learnt), rtol=1e-10)


@pytest.mark.parametrize(("beta", "nesterov"), FORMS)
def test_critical_damping_is_no_exception(beta, nesterov):
    """Where both eigenvalues of the matrix coincide."""
    critical = (1 - beta) ** 2 / (1 + beta) ** 2 if nesterov else (1 - beta**0.5) ** 2
    if nesterov:  # ((1 + β)(1 − r))² = 4 β (1 − r)
        critical = 1 - 4 * beta / (1 + beta) ** 2
    rates, steps = critical * np.array([1 - 1e-9, 1.0, 1 + 1e-9]), np.array([40.0])
    left = Momentum(beta, nesterov).remaining(rates, steps)
    np.testing.assert_allclose(left, left[1], rtol=1e-6)


@pytest.fixture(scope="module")
def linearised():
    """A network linearised at its initial weights, in float64, with its tangent kernel."""
    net = nk.Dense(32, w_std=1.5) >> nk.Erf() >> nk.Dense(2)
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(1), (8, 5), jnp.float64)
        params, _ = net.init(jax.random.key(0), (5,))
        params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
        f = nk.finite.linearize(net.apply, params)
        kernel = nk.finite.empirical.ntk(net.apply, params, x, form="full")
        y = np.asarray(jax.random.normal(jax.random.key(2), (8, 2), jnp.float64))
        yield f, params, np.asarray(x), y, np.asarray(kernel), np.asarray(f(params, x))


@pytest.mark.parametrize(("beta", "nesterov"), [(0.0, False), *FORMS])
def test_descent_is_a_run_of_optax_on_the_linearised_network(linearised, beta, nesterov):
    f, params, x, y, kernel, start = linearised
    joined = kernel.transpose(0, 2, 1, 3).reshape(16, 16)
    # 16 points with one output are 8 points with two, but for the number by which the loss is divided.
    rate = 0.3 * largest_learning_rate(joined, momentum=beta, nesterov=nesterov) / 2
    with jax.enable_x64(True):
        real = nk.finite.train(
            f, params, x, y, steps=300, record=[0, 1, 2, 17, 100, 300],
            optimiser=optax.sgd(rate, momentum=beta or None, nesterov=nesterov),
        )  # fmt: skip
    curve = nk.predict.coupled_outputs(
        gradient_descent, kernel, y, learning_rate=rate, momentum=beta, nesterov=nesterov, f0_train=start
    )
    np.testing.assert_allclose(real.outputs["train"], curve.train(real.steps), atol=1e-9)
    np.testing.assert_allclose(real.loss, curve.train_loss(real.steps), rtol=1e-6, atol=1e-12)


def _losses(f, params, x, y, rule):
    """After 0, 2000 and 4000 steps; beyond the range of numbers, infinite."""
    try:
        return nk.finite.train(f, params, x, y, steps=4000, optimiser=rule, record=[0, 2000, 4000]).loss
    except NumericalError:
        return [1.0, 1.0, np.inf]


@pytest.mark.parametrize(("beta", "nesterov"), [(0.0, False), *FORMS])
def test_the_largest_step_is_where_real_training_turns(linearised, beta, nesterov):
    f, params, x, y, kernel, _ = linearised
    joined = kernel.transpose(0, 2, 1, 3).reshape(16, 16)
    limit = largest_learning_rate(joined, momentum=beta, nesterov=nesterov) / 2
    for factor, converges in ((0.99, True), (1.01, False)):
        rule = optax.sgd(factor * limit, momentum=beta or None, nesterov=nesterov)
        with jax.enable_x64(True):
            loss = _losses(f, params, x, y, rule)
        assert (loss[2] < 1e-6 * loss[0]) == converges
        assert (loss[2] > 10 * loss[1]) == (not converges)


def test_momentum_in_small_steps_is_the_flow_at_a_higher_rate():
    k = np.diag([3.0, 1.0])
    slow = gradient_descent(k, [1.0, 2.0], learning_rate=1e-6, momentum=0.9)
    flow = gradient_flow(k, [1.0, 2.0], learning_rate=1e-5)
    np.testing.assert_allclose(slow.train([100_000, 300_000]), flow.train([100_000, 300_000]), rtol=1e-3)


def test_ends_of_training_with_momentum():
    k, cross = np.array([[2.0, 1.0, 0], [1, 2, 0], [0, 0, 0]]), np.array([[1.0, 1.0, 0.0]])
    curve = gradient_descent(k, [1.0, 3.0, 1.0], learning_rate=0.5, momentum=0.5)
    np.testing.assert_allclose(curve.train(0), [0, 0, 0], atol=1e-14)
    np.testing.assert_allclose(curve.train(np.inf), [1, 3, 0], atol=1e-12)
    np.testing.assert_allclose(curve.train(1e18), [1, 3, 0], atol=1e-12)
    np.testing.assert_allclose(curve.test([1e12, 1e25, np.inf], cross), 4 / 3, atol=1e-9)


@pytest.mark.parametrize("bad", [-0.1, 1.0, np.nan])
def test_momentum_is_checked(bad):
    with pytest.raises(InputError, match=r"momentum is .*; expected at least 0 and less than 1"):
        gradient_descent(np.eye(2), [1.0, 1.0], learning_rate=0.1, momentum=bad)
