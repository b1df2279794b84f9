"""Cross-validation in closed form: against refits one by one; refits of targets and of ridges from one factorisation."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats

from ntkit.errors import InputError, NumericalError
from ntkit.predict import cross_validate, kernel_regression, leave_one_out, posterior, squared_loss
from ntkit.solve import cholesky, eigendecomposition, shifted


def problem(seed, n=9, outputs=2):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 4))
    k = np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1)) + 0.1 * x @ x.T
    return k, draw.normal(size=(n, outputs)), draw.normal(size=(n, outputs))


cases = st.builds(problem, st.integers(0, 9999), st.integers(3, 12), st.integers(1, 3))


@hypothesis.settings(max_examples=20)
@hypothesis.given(cases, st.integers(0, 99), st.sampled_from(["kernel", "eigen", "noises"]))
def test_folds_are_refits_without_them(case, seed, how):
    k, y, f0 = case
    n = len(k)
    labels = np.random.default_rng(seed).integers(0, 3, n)
    labels[:2] = 0, 1
    noise = np.linspace(0.1, 0.5, n) if how == "noises" else np.full(n, 0.3)
    given = {"kernel": k, "eigen": eigendecomposition(k), "noises": k}[how]
    fit = kernel_regression(given, y, ridge=noise if how == "noises" else 0.3, f0_train=f0)
    found, density = cross_validate(fit, labels), 0.0
    for fold in np.unique(labels):
        out, rest = labels == fold, labels != fold
        refit = kernel_regression(k[np.ix_(rest, rest)], y[rest], ridge=noise[rest], f0_train=f0[rest])
        predicted = refit.predict(k[np.ix_(out, rest)], f0[out])
        np.testing.assert_allclose(found.predictions[out], predicted, atol=1e-8)
        process = posterior(k[np.ix_(rest, rest)], y[rest], noise=noise[rest])
        variance = process.variance(k[np.ix_(out, rest)], np.diag(k)[out]) + noise[out]
        np.testing.assert_allclose(found.variance[out], variance, atol=1e-8)
        scale = np.sqrt(variance)[:, None]
        density += scipy.stats.norm.logpdf(y[out], predicted, scale).sum()
    np.testing.assert_allclose(found.loss, squared_loss(found.predictions, y))
    np.testing.assert_allclose(found.log_density, density, rtol=1e-8)
    every, single = leave_one_out(fit), cross_validate(fit, n)
    np.testing.assert_allclose(every.predictions, single.predictions, atol=1e-8)
    np.testing.assert_allclose(every.log_density, single.log_density, rtol=1e-8)


def test_folds_are_checked():
    fit = kernel_regression(np.eye(4), np.ones(4))
    for bad in (1, 0, -2, [0, 0, 0, 0], [0, 1], [0.5, 1.0, 2.0, 3.0]):
        with pytest.raises(InputError, match=r"folds is .*; expected from 2 to 4 folds"):
            cross_validate(fit, bad)
    with pytest.raises(InputError, match="folds is 5, more than the 4 training points"):
        cross_validate(fit, 5)
    with pytest.raises(InputError, match="at least 2 training points; found 1"):
        leave_one_out(kernel_regression([[1.0]], [1.0]))


@hypothesis.given(cases, st.floats(1e-6, 10))
def test_one_decomposition_serves_any_ridge_and_any_targets(case, ridge):
    k, y, f0 = case
    eigen, fresh = eigendecomposition(k), kernel_regression(k, y, ridge=ridge, f0_train=f0)
    once = kernel_regression(eigen, y[::-1], ridge=ridge)
    for fit in (kernel_regression(eigen, y, ridge=ridge, f0_train=f0), once.refit(y, f0)):
        np.testing.assert_allclose(fit.predict(k, f0), fresh.predict(k, f0), atol=1e-7)
    one, two = posterior(eigen, y, noise=ridge), posterior(k, -y, noise=ridge).refit(y)
    expected = posterior(k, y, noise=ridge)
    for process in (one, two):
        np.testing.assert_allclose(
            process.log_marginal_likelihood, expected.log_marginal_likelihood, rtol=1e-7
        )
        np.testing.assert_allclose(process.covariance(k, k), expected.covariance(k, k), atol=1e-8)
    a, b = cholesky(k, ridge=ridge), shifted(eigen, ridge=ridge)
    np.testing.assert_allclose(a.inverse_diagonal(), b.inverse_diagonal(), rtol=1e-6)
    np.testing.assert_allclose(a.log_determinant(), b.log_determinant(), rtol=1e-9, atol=1e-9)
    assert 0 < b.rcond <= 1


def test_a_decomposition_of_a_singular_kernel_is_refused_or_jittered():
    eigen = eigendecomposition(np.array([[1.0, 1.0, 0], [1, 1, 0], [0, 0, 1]]))
    with pytest.raises(NumericalError, match=r"not positive definite.*among rows 0, 1.*max_relative_jitter="):
        kernel_regression(eigen, [1.0, 1.0, 2.0])
    fit = kernel_regression(eigen, [1.0, 1.0, 2.0], max_relative_jitter=1e-8)
    assert 0 < fit.factor.jitter < 1e-14
    assert "jitter of" in fit.factor.message
    with pytest.raises(NumericalError, match="misses its targets"):
        kernel_regression(eigen, [1.0, -1.0, 2.0], max_relative_jitter=1e-8)
    with pytest.raises(NumericalError, match="misses its targets"):
        fit.refit([1.0, -1.0, 2.0])
    with pytest.raises(InputError, match=r"right-hand side has shape \(2,\); expected \(3,\)"):
        fit.factor.solve([1.0, 2.0])
    with pytest.raises(InputError, match="a ridge for each point changes the eigenvectors"):
        kernel_regression(eigen, [1.0, 1.0, 2.0], ridge=np.ones(3))


def test_what_is_wrong_with_a_kernel_is_named():
    x = np.random.default_rng(0).normal(size=(6, 8))
    x[4] = x[1]
    with pytest.raises(NumericalError, match=r"equal or nearly so: rows 1 and 4; remove one of each.*jitter"):
        kernel_regression(x @ x.T, np.ones(6))
    x[4] = x[1] + x[2]
    with pytest.raises(NumericalError, match=r"row that others determine is among rows 1, 2, 4; remove it"):
        kernel_regression(x @ x.T, np.ones(6))
    kernel = np.eye(5)
    kernel[1, 3] = kernel[3, 1] = 2
    with pytest.raises(NumericalError, match=r"smallest eigenvalue is -1, while .* lies in rows 1, 3"):
        eigendecomposition(kernel).non_negative_values()
    for bad in (np.ones(3), -np.ones(2)):
        with pytest.raises(InputError, match=r"ridge has shape .*; expected a number or \(2,\)"):
            cholesky(np.eye(2), ridge=bad)
