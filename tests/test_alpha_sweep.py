"""The larger the scale of the outputs, the lazier the training."""

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import alpha_sweep
from ntkit.errors import InputError

NET = nk.Dense(24, w_std=1.5) >> nk.Erf() >> nk.Dense(1)
PARAMS, _ = NET.init(jax.random.key(1), (3,))
X = np.random.default_rng(0).normal(size=(8, 3)).astype("f")
Y = np.sin(2 * X[:, :1])


def test_everything_falls_with_alpha():
    found = alpha_sweep(
        NET.apply, PARAMS, X, Y, [1, 4, 16, 64], steps=300, learning_rate=0.3, rates=NET.rates(PARAMS)
    )
    for name in ("kernel_distance", "movement", "linearisation_error"):
        assert np.all(np.diff(getattr(found, name)) < 0), name
    # Weights move by 1/α, the kernel's direction by its square.
    np.testing.assert_allclose(found.movement[2] / found.movement[3], 4, rtol=0.1)
    np.testing.assert_allclose(found.kernel_distance[2] / found.kernel_distance[3], 16, rtol=0.2)
    np.testing.assert_allclose(found.loss[3], found.loss[2], rtol=0.1)


def test_scales_are_above_zero():
    for alphas in ([0.0], [], 1.0):
        with pytest.raises(
            InputError, match=r"alphas has shape .*; expected \(a,\), at least one, each above 0"
        ):
            alpha_sweep(NET.apply, PARAMS, X, Y, alphas, steps=1, learning_rate=0.1)
