"""Eigenfunctions, decay, dimension and norms of kernels whose answers are known."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import decay_exponent, eigenfunctions, rkhs_inner_product, rkhs_norm, spectrum
from ntkit.errors import InputError

ANGLES = np.random.default_rng(0).uniform(0, 2 * np.pi, 1500)
NET = nk.Dense(2, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)


def _circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_on_a_circle_the_extension_is_a_harmonic():
    found = eigenfunctions(nk.ntk(NET, _circle(ANGLES)), 3)
    fine = np.linspace(0, 2 * np.pi, 50)
    at = found.at(nk.ntk(NET, _circle(fine), _circle(ANGLES)))
    harmonics = np.stack([np.cos(fine), np.sin(fine), np.ones(50)], axis=1)
    left = at - harmonics @ np.linalg.lstsq(harmonics, at)[0]
    assert np.abs(left).max() < 0.15
    np.testing.assert_allclose(found.at(nk.ntk(NET, _circle(ANGLES))), found.train, atol=1e-9)
    np.testing.assert_allclose(np.mean(found.train**2, axis=0), 1)


@pytest.mark.parametrize("exponent", [1.0, 2.5])
def test_the_exponent_of_a_power_law_lies_in_its_interval(exponent):
    noise = np.exp(0.1 * np.random.default_rng(1).normal(size=200))
    found = decay_exponent(np.diag(np.sort(np.arange(1.0, 201) ** -exponent * noise)[::-1]))
    assert found.low < exponent < found.high
    assert (found.first, found.last) == (2, 100)
    exact = decay_exponent(np.diag(np.arange(1.0, 201) ** -exponent), first=1, last=50)
    np.testing.assert_allclose([exact.exponent, exact.low, exact.high], exponent, atol=1e-6)


@hypothesis.given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_the_effective_dimension_is_the_trace_of_the_smoother(seed, ridge):
    root = np.random.default_rng(seed).normal(size=(7, 4))
    found = spectrum(root @ root.T)
    np.testing.assert_allclose(
        found.effective_dimension(ridge), np.trace(root @ root.T @ np.linalg.inv(root @ root.T + ridge * np.eye(7))), rtol=1e-6
    )  # fmt: skip
    assert found.effective_dimension(0.0) == found.rank == 4
    assert 1 <= found.participation_ratio <= 4
    assert spectrum(np.eye(5)).participation_ratio == pytest.approx(5)
    assert spectrum(np.zeros((2, 2))).participation_ratio == 0


@hypothesis.given(st.integers(0, 10**6))
def test_norms_are_those_of_the_coefficients(seed):
    draw = np.random.default_rng(seed)
    root, a, b = draw.normal(size=(6, 8)), draw.normal(size=(6, 2)), draw.normal(size=(6, 2))
    k = root @ root.T + 0.1 * np.eye(6)
    np.testing.assert_allclose(rkhs_inner_product(k, k @ a, k @ b), np.sum(a * (k @ b)), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(rkhs_norm(k, (k @ a)[:, 0]) ** 2, a[:, 0] @ k @ a[:, 0], rtol=1e-8)
    assert rkhs_norm(k[:4, :4], (k @ a)[:4, 0]) <= rkhs_norm(k, (k @ a)[:, 0]) * (1 + 1e-9)


def test_what_is_not_there_is_refused():
    with pytest.raises(InputError, match="count is 3; expected from 1 to 2"):
        eigenfunctions(np.diag([1.0, 1.0, 0.0]), 3)
    with pytest.raises(InputError, match="only 20 eigenvalues are positive beyond rounding"):
        decay_exponent(np.eye(20), last=21)
    with pytest.raises(
        InputError, match="there are 4 modes from 2 to 5; a fit needs at least 8, here a kernel of about 20"
    ):
        decay_exponent(np.eye(10))
    with pytest.raises(InputError, match=r"f and g have shapes \(2,\) and \(2, 1\)"):
        rkhs_inner_product(np.eye(2), np.ones(2), np.ones((2, 1)))
    with pytest.raises(InputError, match=r"ridge is -1"):
        spectrum(np.eye(2)).effective_dimension(-1.0)
