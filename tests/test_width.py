"""Finite kernels against the infinite ones over widths."""

import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import fitted_rate, trajectory_study, width_study
from ntkit.errors import InputError

X = np.random.default_rng(0).normal(size=(6, 4)).astype("f")


def _relu(width):
    return nk.Dense(width, w_std=2**0.5, b_std=0.3) >> nk.Relu() >> nk.Dense(1, w_std=1.3, b_std=0.2)


def test_distances_fall_as_the_root_of_the_width():
    found = width_study(_relu, [32, 128, 512], X, seeds=8)
    for rate in (found.nngp_rate, found.ntk_rate):
        assert rate.low < rate.exponent < rate.high
        assert abs(rate.exponent + 0.5) < 0.15
    assert found.ntk.shape == found.nngp.shape == (3, 8)


def test_the_kernel_of_a_network_without_hidden_layer_is_exact():
    found = width_study(lambda width: nk.Dense(width, b_std=0.5) >> nk.Dense(1), [8, 64], X, seeds=16)
    # Of two linear layers the mean of both kernels is the limit at any width: there is no correction.
    assert np.mean(np.abs(found.ntk_correction) < 3 * found.ntk_correction_error) > 0.9


def test_exact_power_laws_are_found():
    widths = [10, 20, 40, 80]
    values = np.outer(np.array(widths) ** -0.5, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(fitted_rate(widths, values), -0.5, atol=1e-12)


def test_studies_are_checked():
    with pytest.raises(InputError, match=r"widths is \[8\]; expected at least 2, rising"):
        width_study(_relu, [8], X)
    with pytest.raises(InputError, match=r"widths is \[8, 8\]"):
        width_study(_relu, [8, 8], X)
    with pytest.raises(InputError, match="seeds is 1; expected at least 2"):
        width_study(_relu, [8, 16], X, seeds=1)
    with pytest.raises(InputError, match="the network ends without weights"):
        width_study(lambda width: nk.Dense(width) >> nk.Relu(), [8, 16], X)
    with pytest.raises(InputError, match=r"distances has shape \(1, 2\); expected \(2, seeds\) above 0"):
        fitted_rate([1, 2], np.ones((1, 2)))


@pytest.mark.slow
def test_training_approaches_that_of_the_infinite_network():
    """In double precision of the prediction; change of the kernel is quadratic in what moves by 1/width."""

    def erf(width):
        return nk.Dense(width, w_std=1.5, b_std=0.1) >> nk.Erf() >> nk.Dense(1)

    y = np.sin(X[:, :1])
    found = trajectory_study(erf, [32, 128, 512], X, y, steps=60, learning_rate=0.5, seeds=6)
    assert abs(found.distance_rate.exponent + 0.5) < 0.2
    assert abs(found.movement_rate.exponent + 0.5) < 0.1
    assert found.kernel_change_rate.exponent < -1.2


def test_training_studies_are_checked():
    y = np.zeros((6, 1), "f")
    how = {"steps": 2, "learning_rate": 0.1}
    with pytest.raises(InputError, match=r"widths is \[8\]; expected at least 2, rising"):
        trajectory_study(_relu, [8], X, y, **how)
    with pytest.raises(InputError, match="seeds is 1; expected at least 2"):
        trajectory_study(_relu, [8, 16], X, y, **how, seeds=1)
