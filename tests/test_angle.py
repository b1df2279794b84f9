"""The polynomial angle against NumPy's atan2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkit.moments.angle import first_quadrant_angle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_angle_is_atan2_to_the_last_digits(dtype):
    generator = np.random.default_rng(0)
    size = 20_000
    y, x = (10.0 ** generator.uniform(-12, 2, size) for _ in range(2))
    near = generator.uniform(0, 2, size)
    y, x = np.concatenate([y, near, [0.0, 1.0]]), np.concatenate([x, np.ones(size), [1.0, 0.0]])
    y, x = y.astype(dtype), x.astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        found = np.asarray(first_quadrant_angle(jnp.asarray(y), jnp.asarray(x)))
    expected = np.arctan2(y.astype(float), x.astype(float))
    assert np.max(np.abs(found - expected) / np.maximum(expected, 1e-300)) < 4 * np.finfo(dtype).eps


def test_angle_of_the_origin_is_the_middle():
    assert float(first_quadrant_angle(jnp.zeros(()), jnp.zeros(()))) == pytest.approx(np.pi / 4)
