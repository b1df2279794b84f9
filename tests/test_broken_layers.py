"""The conformance suite fails what breaks a law, and names the law."""

import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import ntkit as nk
from ntkit.errors import InputError
from ntkit.moments.plan import Extent
from ntkit.testing import check_layer, law_names

TRACES = itertools.count()


class _Right(nk.Activation):
    """Relu, of which the classes below break one part each."""

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    def fn(self, x):
        return nk.Relu().fn(x)

    def dual(self, pair):
        return nk.Relu().dual(pair)

    def dual_slope(self, pair):
        return nk.Relu().dual_slope(pair)

    def gap(self, pair):
        return nk.Relu().gap(pair)


class _SteepSlope(_Right):
    def dual_slope(self, pair):
        return 1.1 * nk.Relu().dual_slope(pair)


class _LargeDual(_Right):
    def dual(self, pair):
        return 1.15 * nk.Relu().dual(pair)


class _SlightlyLargeDual(_Right):
    def dual(self, pair):
        return 1.02 * nk.Relu().dual(pair)


class _SlightlySteepSlope(_Right):
    def dual_slope(self, pair):
        return 1.02 * nk.Relu().dual_slope(pair)


class _Lopsided(_Right):
    def dual(self, pair):
        return nk.Relu().dual(pair) * (1 + 0.1 * (pair.var1 - pair.var2))


class _Indefinite(_Right):
    def dual(self, pair):
        return jnp.where(pair.gap > 0, -0.9, 1.0) * pair.scale


class _Planned(_Right):
    def propagate(self, m):
        return m.activate(_LargeDual() if m.wanted.own == Extent.PAIRS else self)


class _NotANumberAtZero(_Right):
    def dual(self, pair):
        return nk.Relu().dual(pair) * (pair.var1 / pair.var1)


class _RoundedTooMuch(_Right):
    def dual(self, pair):
        return nk.Relu().dual(pair) * (1 + 1e4 * float(jnp.finfo(pair.cov.dtype).eps))


class _Impure(_Right):
    def dual(self, pair):
        return nk.Relu().dual(pair) * (1 + 1e-3 * next(TRACES))


class _Stopped(_Right):
    def dual(self, pair):
        return jax.lax.stop_gradient(nk.Relu().dual(pair))


class _NaiveAngle(_Right):
    def dual(self, pair):
        theta = jnp.arccos(jnp.clip(pair.correlation, -1.0, 1.0))
        return pair.scale * (jnp.sin(theta) + (jnp.pi - theta) * jnp.cos(theta)) / (2 * jnp.pi)


class _Shape(_Right):
    def init(self, key, shape):
        return (), (*shape[:-1], shape[-1] + 1)


class _Rates(_Right):
    def rates(self, params):
        return {"W": 1.0}


BROKEN = [
    (_Shape(), "shapes_agree"),
    (_Rates(), "rates_are_shaped_like_parameters"),
    (_SlightlyLargeDual(), "duals_are_moments_of_the_function"),
    (_SlightlySteepSlope(), "duals_are_moments_of_the_function"),
    (_Lopsided(), "cross_is_block_of_joint"),
    (_Lopsided(), "kernel_is_symmetric"),
    (_Indefinite(), "kernel_is_positive"),
    (_Planned(), "plan_changes_nothing"),
    (_NotANumberAtZero(), "zero_rows_are_finite"),
    (_RoundedTooMuch(), "float32_is_near_float64"),
    (_Impure(), "jit_is_eager"),
    (_Stopped(), "gradients_are_derivatives"),
    (_NaiveAngle(), "gradients_are_derivatives"),
    (_SteepSlope(), "finite_networks_agree"),
    (_LargeDual(), "finite_networks_agree"),
]


def check_only(layer, law, **options):
    check_layer(layer, (4,), without=[name for name in law_names() if name != law], **options)


@pytest.mark.parametrize(
    ("layer", "law"), BROKEN, ids=lambda v: v if isinstance(v, str) else type(v).__name__
)
@pytest.mark.every(3)
def test_what_breaks_a_law_fails_it(layer, law):
    with pytest.raises(AssertionError, match=f"^{law}: {type(layer).__name__}"):
        check_only(layer, law, width=256)


@pytest.mark.slow
def test_a_slope_that_is_a_tenth_too_steep_fails_the_suite():
    """The one error of which the issue says so, in the suite as it is called by default."""
    with pytest.raises(
        AssertionError, match=r"finite_networks_agree: .*the ntk of \d+ networks of width 512"
    ):
        check_layer(_SteepSlope(), (4,), without=["spec_round_trips", "duals_are_moments_of_the_function"])


def test_a_field_that_does_not_survive_its_specification_fails():
    class Doubling(_Right):
        value: float = eqx.field(converter=lambda v: 2.0 * v)

    with pytest.raises(AssertionError, match=r"^spec_round_trips: .*Doubling"):
        check_only(Doubling(1.0), "spec_round_trips")


def test_a_standard_error_out_of_reach_is_said():
    with pytest.raises(AssertionError, match=r"the standard error of \d+ networks of width 8 .* would need"):
        check_only(nk.Relu(), "finite_networks_agree", width=8, count=2, error=1e-4)


def test_names_of_laws_and_widths_are_checked():
    with pytest.raises(InputError, match="no law is called spec; the laws are shapes_agree"):
        check_layer(nk.Relu(), (4,), without=["spec"])
    with pytest.raises(InputError, match="width must be a multiple of the 3 channels"):
        check_layer(nk.Relu(), (3,), width=64)
