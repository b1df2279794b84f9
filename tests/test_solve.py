"""Factorisations: right, in float64 whatever comes in, and never silently wrong."""

import inspect

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ntkit import KernelPair
from ntkit.errors import InputError, NumericalError
from ntkit.solve import Eigen, cholesky, eigendecomposition
from ntkit.solve.arrays import cross_kernel, finite_array, non_negative, symmetric_kernel


def kernel_with(eigenvalues, seed=0):
    values = np.asarray(eigenvalues, float)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return symmetric_kernel((basis * values) @ basis.T, "the kernel")


kernels = st.builds(
    lambda n, decades, seed: kernel_with(np.geomspace(1, 10.0**-decades, n), seed),
    st.integers(1, 12),
    st.floats(0, 6),
    st.integers(0, 1000),
)


@hypothesis.given(kernels, st.floats(0, 3))
def test_cholesky_solves(kernel, ridge):
    shifted = kernel + ridge * np.eye(len(kernel))
    b = np.random.default_rng(1).normal(size=(len(kernel), 2))
    factor = cholesky(kernel, ridge=ridge)
    np.testing.assert_allclose(shifted @ factor.solve(b), b, atol=1e-9)
    np.testing.assert_allclose(factor.solve(b[:, 0]), factor.solve(b)[:, 0])
    np.testing.assert_allclose(factor.lower @ factor.lower.T, shifted, atol=1e-14 * (1 + ridge))
    np.testing.assert_allclose(factor.log_determinant(), np.linalg.slogdet(shifted)[1], atol=1e-8)
    half = factor.half_solve(b)
    np.testing.assert_allclose(np.diag(half.T @ half), np.diag(b.T @ np.linalg.solve(shifted, b)), rtol=1e-8)
    assert (factor.success, factor.jitter, factor.message) == (True, 0.0, "")


def test_the_matrix_is_left_as_it_was():
    kernel = kernel_with([3.0, 2.0, 1.0])
    before = kernel.copy()
    cholesky(kernel, ridge=1.0)
    np.testing.assert_array_equal(kernel, before)


@pytest.mark.parametrize(
    "convert", [np.asarray, np.ndarray.tolist, jnp.asarray, lambda k: k.astype(np.float32)]
)
def test_any_array_is_solved_in_float64(convert):
    given = convert(kernel_with([3.0, 2.0, 1.0]))
    assert cholesky(given).lower.dtype == np.float64
    assert eigendecomposition(given).values.dtype == np.float64
    np.testing.assert_allclose(eigendecomposition(given).values, [3, 2, 1], rtol=1e-6)


def test_singular_kernels_are_refused_with_a_remedy():
    with pytest.raises(
        NumericalError,
        match=r"not positive definite to working precision: its smallest eigenvalue is .* larger ridge",
    ):
        cholesky(kernel_with([1.0, 0.5, 0.0]))
    with pytest.raises(
        NumericalError, match=r"smallest eigenvalue is -0\.5 \(plus a ridge of 0\.1\).*at least 1\b"
    ):
        cholesky(kernel_with([1.0, -0.5]), ridge=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_a_singular_kernel_is_found_out_also_when_its_last_pivot_rounds_to_a_positive_number(seed):
    x = np.random.default_rng(seed).normal(size=(30, 40))
    x[20] = x[3]
    with pytest.raises(NumericalError, match="not positive definite"):
        cholesky(x @ x.T)


@pytest.mark.parametrize("seed", range(20))
def test_a_kernel_that_float32_cannot_tell_from_a_singular_one_is_refused(seed):
    x = np.random.default_rng(seed).normal(size=(4, 3))
    with pytest.raises(NumericalError, match="not positive definite"):
        cholesky((x @ x.T).astype(np.float32))


def test_a_failure_can_be_inspected():
    failed = cholesky(np.ones((3, 3)), throw=False)
    assert not failed.success
    assert failed.rcond < 1e-15
    assert "not positive definite" in failed.message
    for use in (
        lambda: failed.solve(np.ones(3)),
        lambda: failed.half_solve(np.ones(3)),
        failed.log_determinant,
    ):
        with pytest.raises(NumericalError, match="not positive definite"):
            use()


def test_jitter_is_reported_and_as_small_as_it_can_be():
    factor = cholesky(np.ones((3, 3)), max_relative_jitter=1e-6)
    assert 0 < factor.jitter < 1e-13
    assert f"jitter of {factor.jitter:.3g} was added" in factor.message
    np.testing.assert_allclose(factor.lower @ factor.lower.T, 1 + factor.jitter * np.eye(3), rtol=1e-15)
    in_float32 = cholesky(np.ones((3, 3), np.float32), max_relative_jitter=1e-6)
    assert 2.0**-24 < in_float32.jitter < 1e-6


def test_jitter_is_not_added_where_it_is_not_needed():
    assert cholesky(np.eye(3), max_relative_jitter=1e-6).jitter == 0


def test_jitter_stops_at_its_limit():
    with pytest.raises(NumericalError, match=r"Jitter up to 0\.01 did not help"):
        cholesky(kernel_with([1.0, 1.0, -0.5, 2.5]), max_relative_jitter=0.01)


def test_what_counts_as_singular_can_be_chosen():
    kernel = kernel_with([1.0, 1e-9])
    assert cholesky(kernel).success
    with pytest.raises(NumericalError, match="not positive definite to working precision"):
        cholesky(kernel, min_rcond=1e-6)
    factor = cholesky(kernel, min_rcond=1e-6, max_relative_jitter=1e-3)
    assert factor.rcond >= 1e-6
    assert 1e-7 < factor.jitter < 1e-4


@hypothesis.given(kernels)
def test_eigendecomposition(kernel):
    eigen = eigendecomposition(kernel)
    assert np.all(np.diff(eigen.values) <= 0)
    np.testing.assert_allclose((eigen.vectors * eigen.values) @ eigen.vectors.T, kernel, atol=1e-14)
    np.testing.assert_allclose(eigen.values, scipy.linalg.eigvalsh(kernel)[::-1], atol=1e-15)
    assert eigendecomposition(eigen) is eigen


def test_null_modes():
    eigen = eigendecomposition(kernel_with([1.0, 1e-3, 0.0, 0.0]))
    assert eigen.null.tolist() == [False, False, True, True]
    assert np.all(eigen.non_negative_values() >= 0)
    in_float32 = eigendecomposition(kernel_with([1.0, 1e-3, 1e-9, 0.0]).astype(np.float32))
    assert in_float32.null.tolist() == [False, False, True, True]


def test_an_indefinite_kernel_is_refused_where_signs_matter():
    with pytest.raises(NumericalError, match=r"not positive semi-definite: its smallest eigenvalue is -0\.2"):
        eigendecomposition(kernel_with([1.0, -0.2])).non_negative_values()


def test_noise_bounds_the_rounding_of_a_kernel_to_float32():
    x = np.random.default_rng(0).normal(size=(200, 20))
    kernel = (x @ x.T).astype(np.float32)
    eigen = eigendecomposition(kernel)
    assert isinstance(eigen, Eigen)
    assert np.sum(~eigen.null) == 20
    assert eigen.values[-1] >= -eigen.noise


def test_small_asymmetry_is_averaged():
    averaged = symmetric_kernel([[1.0, 0.5], [0.5 + 2e-8, 1.0]], "k")
    np.testing.assert_array_equal(averaged, averaged.T)
    np.testing.assert_allclose(averaged[0, 1], 0.5 + 1e-8, rtol=1e-15)


def test_bad_arrays_are_named():
    with pytest.raises(InputError, match=r"k has a value of nan at index \(0, 1\); 1 of 4"):
        symmetric_kernel([[1.0, np.nan], [1.0, 1.0]], "k")
    with pytest.raises(InputError, match=r"y has a value of inf at index 2; 1 of 3"):
        finite_array([0.0, 1.0, np.inf], "y")
    with pytest.raises(InputError, match="y has a value of nan at its only entry"):
        finite_array(np.nan, "y")
    with pytest.raises(InputError, match="y has dtype complex128; expected real"):
        finite_array([1j], "y")
    with pytest.raises(InputError, match=r"y is a function; call it on the data"):
        inspect.unwrap(finite_array)(np.sin, "y")  # past the checked annotations
    with pytest.raises(InputError, match=r"k is a pair of kernels; pass one of them, its \.ntk or \.nngp"):
        inspect.unwrap(symmetric_kernel)(KernelPair(np.eye(2), np.eye(2)), "k")
    with pytest.raises(InputError, match="y is not an array"):
        finite_array([[1.0], [1.0, 2.0]], "y")
    with pytest.raises(InputError, match=r"k has shape \(2, 3\); expected \(n, n\)"):
        symmetric_kernel(np.zeros((2, 3)), "k")
    with pytest.raises(InputError, match=r"k has shape \(0, 0\)"):
        symmetric_kernel(np.zeros((0, 0)), "k")
    with pytest.raises(InputError, match=r"k is not symmetric: entry \(0, 1\) is 1.0, entry \(1, 0\) is 0.0"):
        symmetric_kernel([[1.0, 1.0], [0.0, 1.0]], "k")
    with pytest.raises(InputError, match=r"k has shape \(3, 2\); expected \(m, 3\).*It looks transposed"):
        cross_kernel(np.zeros((3, 2)), 3, "k")
    with pytest.raises(InputError, match=r"k has shape \(4,\); expected \(m, 3\)"):
        cross_kernel(np.zeros(4), 3, "k")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_ridges_are_named(value):
    with pytest.raises(InputError, match=f"ridge is {value}; expected a finite number of at least 0"):
        non_negative(value, "ridge")
    with pytest.raises(InputError, match="ridge is"):
        cholesky(np.eye(2), ridge=value)
    with pytest.raises(InputError, match="max_relative_jitter is"):
        cholesky(np.eye(2), max_relative_jitter=value)


def test_right_hand_sides_are_checked():
    with pytest.raises(InputError, match=r"right-hand side has shape \(3,\); expected \(2,\) or \(2, k\)"):
        cholesky(np.eye(2)).solve(np.ones(3))
    with pytest.raises(InputError, match="right-hand side has a value of nan"):
        cholesky(np.eye(2)).solve([np.nan, 1.0])
