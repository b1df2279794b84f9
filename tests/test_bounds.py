"""Bounds of generalisation: invariant, equal where they must be, and above what they bound."""

import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import cao_gu_rate, fine_grained_bound, interpolation_bound
from ntkit.errors import InputError, NumericalError

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(300, 5))
X /= np.linalg.norm(X, axis=1, keepdims=True)
Y = np.sign(X[:, 0] + 0.5 * X[:, 1])
H = nk.ntk(nk.Dense(5, w_std=5**0.5) >> nk.Relu() >> nk.Dense(1, w_lr=0.0), X)


def test_the_first_layer_alone_has_the_kernel_of_arora():
    c = np.clip(X @ X.T, -1, 1)
    np.testing.assert_allclose(H, c * (np.pi - np.arccos(c)) / (2 * np.pi), atol=1e-7)


def test_the_scale_of_the_kernel_does_not_matter():
    np.testing.assert_allclose(interpolation_bound(1e3 * H, Y), interpolation_bound(H, Y), rtol=1e-6)


def test_the_leading_terms_are_equal():
    rest = 3 * np.sqrt(np.log(2 / 0.1) / 600)
    np.testing.assert_allclose(
        interpolation_bound(H, Y, failure=0.1) - rest, fine_grained_bound(H, Y), rtol=1e-9
    )
    np.testing.assert_allclose(cao_gu_rate(H, Y, 2) / 2**0.5, fine_grained_bound(H, Y), rtol=1e-9)


def test_random_labels_have_the_larger_bound_and_both_hold():
    signal = X[:, 0]
    random = DRAW.permutation(signal)
    true, shuffled = (interpolation_bound(H[:200, :200], y[:200]) for y in (signal, random))
    assert true < shuffled
    for y, bound in ((signal, true), (random, shuffled)):
        fit = nk.predict.kernel_regression(H[:200, :200], y[:200])
        off = np.abs(fit.predict(H[200:, :200]) - y[200:])
        assert np.mean(np.minimum(off, 1)) <= bound


def test_what_they_do_not_cover_is_refused():
    with pytest.raises(
        InputError, match=r"the diagonal of h is from 1 to 1; expected ½: .* inputs divided by their norms"
    ):
        fine_grained_bound(2 * H, Y)
    with pytest.raises(InputError, match="y has values other than −1 and 1"):
        fine_grained_bound(H, X[:, 0])
    with pytest.raises(
        InputError, match=r"y has shape \(300, 2\); expected \(300,\): the bounds are for one output"
    ):
        interpolation_bound(H, np.ones((300, 2)))
    with pytest.raises(InputError, match="failure is 1; expected a probability"):
        interpolation_bound(H, Y, failure=1)
    with pytest.raises(InputError, match="depth is 0"):
        cao_gu_rate(H, Y, 0)
    with pytest.raises(NumericalError, match="rows 0 and 1"):
        interpolation_bound(np.ones((2, 2)), np.ones(2))
