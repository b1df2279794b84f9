"""Classification by Gaussian processes: against scikit-learn's, a brute-force mode, and formulas written out."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_softmax, softmax
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from ntkit.errors import InputError, NumericalError
from ntkit.predict import dirichlet, laplace
from ntkit.predict.classes import class_probabilities, one_hot


def problem(seed, n=12, m=4, classes=3):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n + m, 2))
    k = 2 * np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1))
    labels = draw.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    return x, k[:n, :n], k[n:, :n], np.diag(k)[n:], labels


def test_two_classes_are_scikit_learns_with_twice_the_kernel():
    """The difference of two latent outputs has the covariance 2 K."""
    x, k, cross, diagonal, labels = problem(0, n=30, m=9, classes=2)
    fit = laplace(k, labels)
    kernel = ConstantKernel(4.0, "fixed") * RBF(1.0, "fixed")
    theirs = GaussianProcessClassifier(kernel, optimizer=None, max_iter_predict=1000).fit(x[:30], labels)
    np.testing.assert_allclose(
        fit.log_marginal_likelihood, theirs.log_marginal_likelihood(kernel.theta), rtol=1e-6
    )
    np.testing.assert_allclose(fit.mode[:, 1], -fit.mode[:, 0], atol=1e-8)
    mean, covariance = fit.latent(cross, diagonal)
    away = np.array([-1.0, 1.0])
    variance = np.einsum("mab,a,b->m", covariance, away, away)
    ours = class_probabilities(
        np.stack([0 * mean[:, 0], mean @ away], axis=1),
        variance[:, None, None] * np.diag([0.0, 1.0]),
        4000,
        0,
    )
    np.testing.assert_allclose(ours, theirs.predict_proba(x[30:]), atol=0.02)
    np.testing.assert_allclose(fit.probabilities(cross, diagonal, samples=4000), ours, atol=0.02)


@hypothesis.settings(max_examples=10)
@hypothesis.given(st.integers(0, 999), st.integers(2, 4))
def test_the_mode_and_its_curvature_are_those_of_the_posterior(seed, classes):
    _, k, cross, diagonal, labels = problem(seed, n=8, m=3, classes=classes)
    fit, y, inverse = laplace(k, labels), one_hot(labels, 8), np.linalg.inv(k)

    def negative(f):
        f = f.reshape(8, classes)
        return np.sum(f * (inverse @ f)) / 2 - np.sum(y * log_softmax(f, axis=1))

    def slope(f):
        f = f.reshape(8, classes)
        return (inverse @ f - y + softmax(f, axis=1)).ravel()

    found = scipy.optimize.minimize(
        negative, np.zeros(8 * classes), jac=slope, method="BFGS", options={"gtol": 1e-8}
    )
    np.testing.assert_allclose(fit.mode, found.x.reshape(8, classes), atol=1e-4)
    p = softmax(fit.mode, axis=1)
    w = np.zeros((classes, 8, classes, 8))
    for i in range(8):
        w[:, i, :, i] = np.diag(p[i]) - np.outer(p[i], p[i])
    w = w.reshape(8 * classes, -1)
    prior = np.kron(np.eye(classes), k)
    determinant = np.linalg.slogdet(np.eye(len(w)) + prior @ w)[1]
    expected = -negative(fit.mode.ravel()) - determinant / 2
    np.testing.assert_allclose(fit.log_marginal_likelihood, expected, rtol=1e-7)
    # The covariance at a test point: k** - k*ᵀ (K + W⁻¹)⁻¹ k*, with (K + W⁻¹)⁻¹ = W (I + K W)⁻¹
    middle = w @ np.linalg.inv(np.eye(len(w)) + prior @ w)
    for row, own, covariance in zip(cross, diagonal, fit.latent(cross, diagonal)[1], strict=True):
        wide = np.kron(np.eye(classes), row[:, None])
        np.testing.assert_allclose(covariance, own * np.eye(classes) - wide.T @ middle @ wide, atol=1e-8)


def test_probabilities_are_those_of_classes():
    _, k, cross, diagonal, labels = problem(1)
    for fit in (laplace(k, labels, classes=5), dirichlet(k, one_hot(labels, 12, 5))):
        found = fit.probabilities(cross, diagonal, samples=200)
        assert found.shape == (4, 5)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
        at_train = fit.probabilities(k, np.diag(k), samples=200)
        assert np.mean(at_train.argmax(axis=1) == labels) > 0.7


def test_dirichlet_is_regression_on_transformed_labels():
    _, k, cross, diagonal, labels = problem(2)
    fit = dirichlet(k, labels, concentration=0.1)
    rate = 0.1 + np.eye(3)[labels]
    noise = np.log(1 + 1 / rate)
    targets = np.log(rate) - noise / 2
    # The lognormal with this mean and variance has the mean α and the variance α of Gamma(α, 1).
    np.testing.assert_allclose(np.exp(targets + noise / 2), rate)
    np.testing.assert_allclose(np.exp(2 * targets + noise) * (np.exp(noise) - 1), rate)
    mean, variance = fit.latent(cross, diagonal)
    for c in range(3):
        inverse = np.linalg.inv(k + np.diag(noise[:, c]))
        expected = targets.mean() + cross @ inverse @ (targets[:, c] - targets.mean())
        np.testing.assert_allclose(mean[:, c], expected, atol=1e-9)
        left = diagonal - np.einsum("mi,ij,mj->m", cross, inverse, cross)
        np.testing.assert_allclose(variance[:, c], left, atol=1e-9)
    assert np.isfinite(fit.log_marginal_likelihood)


def test_labels_are_checked():
    for bad in ([0, 1, 2.5], [0, 1], [-1, 0, 1], [["a"], ["b"], ["c"]], np.zeros((3, 1))):
        with pytest.raises(InputError, match=r"labels has shape .* whole numbers from 0 on, or one-hot"):
            one_hot(bad, 3)
    with pytest.raises(InputError, match="rows that are not one-hot"):
        one_hot([[1, 1], [0, 1]], 2)
    with pytest.raises(InputError, match="labels reach 0 and there are 1 classes; expected at least 2"):
        laplace(np.eye(2), [0, 0])
    with pytest.raises(InputError, match="labels reach 4 and there are 3 classes"):
        dirichlet(np.eye(2), [0, 4], classes=3)
    with pytest.raises(InputError, match="concentration is 0; expected a positive number"):
        dirichlet(np.eye(2), [0, 1], concentration=0)
    with pytest.raises(InputError, match="samples is 0; expected at least 1"):
        class_probabilities(np.zeros((1, 2)), np.zeros((1, 2, 2)), 0, 0)


def test_kernels_are_checked():
    with pytest.raises(NumericalError, match="the kernel is not positive semi-definite"):
        laplace(np.array([[1.0, 9.0], [9.0, 1.0]]), [0, 1])
    fit = laplace(np.eye(2), [0, 1])
    with pytest.raises(InputError, match=r"k_test_diag has shape \(2,\); expected \(1,\)"):
        fit.latent(np.ones((1, 2)), np.ones(2))
    with pytest.raises(NumericalError, match="the variance of test point 0 is -"):
        fit.latent(np.full((1, 2), 9.0), np.ones(1))
    with pytest.raises(NumericalError, match="Newton's method did not find the mode"):
        laplace(1e200 * np.eye(2), [0, 1])
