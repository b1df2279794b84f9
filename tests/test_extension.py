"""A user's own activation: its function, two duals, and the rest follows."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from ntkit.activations import SmoothActivation
from ntkit.moments import BivariateNormal


class Probit(SmoothActivation):
    """erf(x), written by somebody who knows its two duals only (Williams 1996, equation (11))."""

    odd: ClassVar[bool] = True
    discontinuous: ClassVar[bool] = False

    def fn(self, x):
        return jax.scipy.special.erf(x)

    def dual(self, pair):
        wide = (1 + 2 * pair.var1) * (1 + 2 * pair.var2)
        return 2 / jnp.pi * jnp.arcsin(2 * pair.cov / jnp.sqrt(wide))

    def dual_slope(self, pair):
        return 4 / (jnp.pi * jnp.sqrt((1 + 2 * pair.var1) * (1 + 2 * pair.var2) - 4 * pair.cov**2))


def test_an_own_activation_is_the_closed_form_in_a_network():
    x = np.random.default_rng(0).standard_normal((6, 4))
    x[1] = x[0]

    def net(activation):
        return nk.Dense(4, 1.3, 0.1) >> activation >> nk.Dense(4) >> nk.Abs() >> nk.Dense(1)

    for own, known in zip(nk.kernel(net(Probit()), x), nk.kernel(net(nk.Erf()), x), strict=True):
        np.testing.assert_allclose(own, known, rtol=1e-12)


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-5, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_derived_gap_keeps_digits_where_it_is_small(apart, dtype):
    with jax.enable_x64(dtype == np.float64):
        var1, gap = jnp.asarray(0.7, dtype), jnp.asarray(apart, dtype)
        var2 = var1 * (1 + 0.3 * jnp.sqrt(gap))
        pair = BivariateNormal(var1, var2, (var1 + var2 - gap) / 2, gap)
        derived, closed = float(Probit().gap(pair)), float(nk.Erf().gap(pair))
    # Near: a relative error of the order of the gap; far: rounding of the moments.
    eps = float(np.finfo(dtype).eps)
    assert abs(derived - closed) <= max(4 * eps**0.7 * closed, 8 * eps)
    assert apart > 0 or derived == 0


def test_it_is_written_to_json_as_any_other():
    assert nk.from_spec(nk.to_spec(nk.Dense(2) >> Probit())) == nk.Dense(2) >> Probit()
