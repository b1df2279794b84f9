"""The spectrum of a kernel and the power of the targets in its modes."""

import numpy as np
import pytest

from ntkit.analysis import spectrum, target_power
from ntkit.errors import InputError
from ntkit.solve import eigendecomposition


def diagonal(*values):
    return np.diag(np.asarray(values, float))


def test_spectrum_of_known_eigenvalues():
    found = spectrum(diagonal(1.0, 4.0, 2.0))
    np.testing.assert_allclose(found.eigenvalues, [4, 2, 1])
    assert (found.largest, found.smallest, found.condition, found.rank) == (4, 1, 4, 3)
    assert found.positive_definite
    assert found.positive_semidefinite


def test_a_singular_kernel_is_semidefinite_and_not_definite():
    found = spectrum(diagonal(1.0, 0.0))
    assert found.condition == np.inf
    assert not found.positive_definite
    assert found.positive_semidefinite
    assert found.rank == 1


def test_an_indefinite_kernel_is_neither():
    found = spectrum(diagonal(1.0, -0.1))
    assert found.condition == np.inf
    assert not found.positive_definite
    assert not found.positive_semidefinite


def test_float32_is_given_the_rounding_of_float32():
    kernel = diagonal(*np.full(99, 1.0), -5e-7)
    assert spectrum(kernel.astype(np.float32)).positive_semidefinite
    assert not spectrum(kernel).positive_semidefinite
    noise = spectrum(np.eye(100, dtype=np.float32)).noise
    np.testing.assert_allclose(noise, 4 * 2.0**-24 * 10, rtol=1e-6)


def test_a_decomposition_serves_as_well_as_the_kernel():
    kernel = diagonal(1.0, 3.0)
    eigen = eigendecomposition(kernel)
    np.testing.assert_array_equal(spectrum(eigen).eigenvalues, spectrum(kernel).eigenvalues)
    np.testing.assert_array_equal(
        target_power(eigen, [1.0, 2.0]).power, target_power(kernel, [1.0, 2.0]).power
    )


def test_power_is_that_of_the_projections():
    kernel = diagonal(1.0, 3.0, 2.0)  # modes: e1, e2, e0
    power, cumulative = target_power(kernel, [[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(power, [0.4, 0.4, 0.2])
    np.testing.assert_allclose(cumulative, [0.4, 0.8, 1.0])


def test_power_of_one_output_and_of_two_halves_agree():
    kernel = diagonal(1.0, 3.0)
    one = target_power(kernel, [1.0, 2.0])
    two = target_power(kernel, [[1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_allclose(one.power, two.power)


def test_bad_targets_are_named():
    with pytest.raises(InputError, match=r"y has shape \(3,\); expected \(2,\) or \(2, outputs\)"):
        target_power(np.eye(2), np.ones(3))
    with pytest.raises(InputError, match="y is zero everywhere"):
        target_power(np.eye(2), np.zeros(2))
    with pytest.raises(InputError, match=r"the kernel has shape \(2, 3\)"):
        spectrum(np.ones((2, 3)))
