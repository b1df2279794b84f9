"""Laws of the activations whose moments are computed by quadrature."""

import functools
import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkit.activations import Erf, Relu
from ntkit.activations.numerical import Elementwise, Elu, Sigmoid, Silu, Softplus, Tanh
from ntkit.errors import InputError
from ntkit.moments import BivariateNormal
from reference import numerical_moments as reference

LOGISTIC = {"tanh": Tanh(), "sigmoid": Sigmoid(), "softplus": Softplus(), "silu": Silu()}
TABLE = {
    **LOGISTIC,
    "elu": Elu(0.4),
    "custom_tanh": Elementwise(jnp.tanh),
    "custom_relu": Elementwise(jax.nn.relu, lambda x: jnp.where(x > 0, 1.0, 0.0)),
    "custom_hard_tanh": Elementwise(lambda x: jnp.clip(x, -1, 1), breaks=(-1.0, 1.0)),
}
CLOSED = {"custom_tanh": Tanh(), "custom_relu": Relu()}
KINKED = ("elu", "custom_relu", "custom_hard_tanh")

every = pytest.mark.parametrize("name", TABLE)

# (var1, var2, 1 − |correlation|, sign). The grids of all everyday tests are this long: one compilation serves them.
SMALL_GRID = [
    (1.0, 1.0, 0.0, 1),
    (1.0, 1.0, 0.0, -1),
    (0.5, 2.0, 0.4, 1),
    (1e-6, 1e4, 0.1, -1),
    (1e4, 1e4, 1e-8, 1),
    (1e4, 1e4, 0.05, 1),
    (1e4, 1e2, 0.01, -1),
    (1e-6, 1e-6, 0.5, 1),
    (0.0, 1.0, 1.0, 1),
    (0.0, 0.0, 1.0, 1),
]
VARIANCES = (0.0, 1e-6, 1e-3, 0.3, 1.0, 10.0, 100.0, 1e4)
GRID = [
    (q, p, one_minus, sign)
    for q, p in itertools.combinations_with_replacement(VARIANCES, 2)
    for one_minus in (0.0, 1e-12, 1e-8, 1e-4, 1e-2, 0.08, 0.3, 0.7, 1.0)
    for sign in (1, -1)
]


class Moments(NamedTuple):
    dual: jax.Array
    slope: jax.Array
    gap: jax.Array


@eqx.filter_jit
def moments(f, pair) -> Moments:
    return Moments(f.dual(pair), f.dual_slope(pair), f.gap(pair))


@eqx.filter_jit
def stated_error(f, pair):
    return f.error(pair)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def normal(grid, dtype=float) -> BivariateNormal:
    var1, var2, one_minus, sign = (np.array(column, dtype=float) for column in zip(*grid, strict=True))
    scale = np.sqrt(var1) * np.sqrt(var2)
    cov = sign * (1 - one_minus) * scale
    chord = (np.sqrt(var1) - np.sqrt(var2)) ** 2
    gap = np.where(sign > 0, chord + 2 * one_minus * scale, var1 + var2 - 2 * cov)
    return BivariateNormal(*(jnp.asarray(a, dtype) for a in (var1, var2, cov, gap)))


def itself(variance) -> BivariateNormal:
    variance = jnp.asarray(variance)
    return BivariateNormal(variance, variance, variance, jnp.zeros_like(variance))


def own_scale(f, pair: BivariateNormal) -> Moments:
    """√(moment(u, u) moment(v, v)), and 1 where it is 0: the unit of errors."""
    one, two = (moments(f, itself(var)) for var in (pair.var1, pair.var2))
    scales = (np.sqrt(np.asarray(a * b)) for a, b in zip(one, two, strict=True))
    return Moments(*(np.where(s > 0, s, 1.0) for s in scales))


def padded(rows):
    return [*rows, *rows[:1] * (len(SMALL_GRID) - len(rows))]


@functools.cache
def exact(name, order, point) -> float:
    var1, var2, one_minus, sign = point
    if name.startswith("elu"):
        return float(reference.elu(order, *point, alpha=TABLE[name].alpha))
    if one_minus in (0.0, 1.0) or var1 == 0 or var2 == 0:
        return float(reference.on_line(name, order, var1, var2, sign * (1 - one_minus)))
    return float(reference.in_plane(name, order, *point))


def check_against_references(name, grid):
    f, pair = TABLE[name], normal(grid)
    values, scales, bounds = moments(f, pair), own_scale(f, pair), stated_error(f, pair)
    for order in (0, 1):
        scale, bound = scales[order], np.asarray(bounds[order])
        error = np.abs(np.asarray(values[order]) - [exact(name, order, point) for point in grid])
        assert np.all(error <= bound + 1e-12 * scale)
        assert np.all(bound <= 1.001 * f.tolerance * scale)
        assert np.all(error <= 1e-6 * scale)


@pytest.mark.parametrize("name", [*LOGISTIC, pytest.param("elu", marks=pytest.mark.slow)])
@pytest.mark.every(2)
def test_moments_on_a_small_grid(name):
    check_against_references(name, padded(SMALL_GRID[3:6]) if name == "elu" else SMALL_GRID)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LOGISTIC, "elu"])
def test_moments_on_the_whole_grid(name):
    check_against_references(name, GRID)


def worst_difference(f, known, pair):
    scales = own_scale(known, pair)
    values, others = moments(f, pair), moments(known, pair)
    return max(
        np.max(np.abs(np.asarray(a - b)) / s)
        for a, b, s in list(zip(values, others, scales, strict=True))[:2]
    )


@pytest.mark.every(2)
@pytest.mark.parametrize("name", CLOSED)
def test_functions_of_the_user_against_closed_forms(name):
    assert worst_difference(TABLE[name], CLOSED[name], normal(SMALL_GRID)) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
def test_functions_of_the_user_on_the_whole_grid(name):
    assert worst_difference(TABLE[name], CLOSED[name], normal(GRID)) < 1e-8


@pytest.mark.slow
def test_erf_with_its_derivative():
    f = Elementwise(jax.lax.erf, lambda x: 2 / np.sqrt(np.pi) * jnp.exp(-(x**2)))
    assert worst_difference(f, Erf(), normal(GRID)) < 1e-8


@pytest.mark.slow
def test_breaks_away_from_zero():
    """The derivative of clip(x, −1, 1) is 1(|x| < 1): on the diagonal its moment is a probability."""
    variances = np.array([0.01, 0.5, 3.0, 100.0, 1e4, *[1.0] * 5])
    inside = jax.scipy.special.erf(1 / jnp.sqrt(2 * variances))
    slope = moments(TABLE["custom_hard_tanh"], itself(variances)).slope
    assert np.allclose(slope, inside, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_the_error_of_a_bad_resolution_is_seen():
    """A function that oscillates fast far from its breaks is beyond the rule: `error` says so."""
    f = Elementwise(lambda x: jnp.sin(40 * x))
    pair = normal(padded([(1.0, 1.0, 1e-4, 1)]))
    value = (np.exp(-1600 * 1e-4) - np.exp(-1600 * (2 - 1e-4))) / 2
    error = abs(float(moments(f, pair).dual[0]) - value)
    stated = float(stated_error(f, pair).dual[0])
    assert error <= stated + 1e-9


# Laws -----------------------------------------------------------------------------------------------------------------


@every
@pytest.mark.every(4)
def test_symmetry(name):
    f, pair = TABLE[name], normal(SMALL_GRID)
    swapped = BivariateNormal(pair.var2, pair.var1, pair.cov, pair.gap)
    for there, back in zip(moments(f, pair), moments(f, swapped), strict=True):
        assert np.allclose(there, back, rtol=1e-9, atol=1e-12 * np.max(np.abs(there)))


@every
def test_zero_variance(name):
    f = TABLE[name]
    at_zero = float(f.fn(jnp.array(0.0))) ** 2
    values = moments(f, normal(SMALL_GRID))
    assert float(values.dual[-1]) == pytest.approx(at_zero, abs=2e-9)
    assert float(values.gap[-1]) == 0
    if f.odd:
        assert np.all(np.asarray(values.dual)[-2:] == 0)


@every
@pytest.mark.every(3)
def test_gap(name):
    f = TABLE[name]
    far = normal(padded([(0.5, 2.0, 0.4, 1), (1.0, 1.0, 0.0, -1), (1.0, 3.0, 1.0, 1)]))
    values = moments(f, far)
    direct = moments(f, itself(far.var1)).dual + moments(f, itself(far.var2)).dual - 2 * values.dual
    assert np.allclose(values.gap, direct, rtol=1e-8)
    assert np.all(np.asarray(moments(f, itself(normal(SMALL_GRID).var1)).gap) == 0)
    assert np.all(np.asarray(moments(f, normal(SMALL_GRID)).gap) >= 0)


@every
def test_gap_of_near_duplicates(name):
    """E[(f(u) − f(v))²] with u = z, v = (1 − d) z + √(2d − d²) w, straight from its definition."""
    f = TABLE[name]
    distances = (1e-12, 1e-9, 1e-6, 1e-4)
    gaps = moments(f, normal(padded([(1.0, 1.0, d, 1) for d in distances]))).gap
    w, inner = np.polynomial.hermite_e.hermegauss(30)
    t, between = np.polynomial.legendre.leggauss(20)
    z = np.linspace(-9, 9, 4001)[:, None]
    for distance, gap in zip(distances, gaps, strict=False):
        shift = np.sqrt(distance * (2 - distance)) * w - distance * z
        # f(v) − f(u) without cancellation: v − u times the mean of f' between them.
        points = jnp.asarray(z[..., None] + (t + 1) / 2 * shift[..., None])
        slopes = jax.jvp(f.fn, (points,), (jnp.ones_like(points),))[1]
        squares = ((np.asarray(slopes) @ between / 2) * shift) ** 2 @ inner / np.sqrt(2 * np.pi)
        density = np.exp(-(z[:, 0] ** 2) / 2) / np.sqrt(2 * np.pi)
        value = np.trapezoid(squares * density, z[:, 0])
        assert float(gap) == pytest.approx(value, rel=2e-2 if name in KINKED else 1e-5)


@pytest.mark.parametrize("name", [*LOGISTIC, pytest.param("elu", marks=pytest.mark.slow), "custom_tanh"])
def test_price(name):
    """The slope is the derivative of the dual in the covariance, also at correlation ±1."""
    f, pair = TABLE[name], normal(SMALL_GRID)
    by_cov = derivatives(f, pair, "dual")[2]
    alive = np.asarray((pair.var1 > 0) & (pair.var2 > 0))
    error = np.abs(by_cov - moments(f, pair).slope) / own_scale(f, pair).slope
    assert np.max(error[alive]) < 1e-8


def derivatives(f, pair, moment):
    return _derivatives(f, (pair.var1, pair.var2, pair.cov), pair.gap, moment)


@eqx.filter_jit
def _derivatives(f, values, gap, moment):
    method = {"dual": f.dual, "slope": f.dual_slope}[moment]
    return jax.grad(lambda v: method(BivariateNormal(*v, gap)).sum())(values)


@pytest.mark.parametrize("moment", ["dual", "slope"])
@pytest.mark.parametrize("name", ["tanh", "silu", "softplus", "elu", "custom_relu"])
@pytest.mark.every(4)
def test_gradients(name, moment):
    """Equal to central differences; finite where the variables coincide, are opposite, or vanish."""
    f = TABLE[name]
    rows = [
        (0.3, 2.0, 0.6, -1),
        (1.0, 1.0, 0.1, 1),
        (1e-2, 2e-2, 0.5, 1),
        (40.0, 50.0, 0.8, 1),
        (9.0, 4.0, 0.02, 1),
    ]
    edge = [(1.0, 1.0, 0.0, 1), (1.0, 1.0, 0.0, -1), (0.0, 1.0, 1.0, 1), (0.0, 0.0, 1.0, 1)]
    pair = normal(padded([*rows, *edge]))
    gradient = np.stack(derivatives(f, pair, moment))
    assert np.all(np.isfinite(gradient))
    values = [np.asarray(a) for a in (pair.var1, pair.var2, pair.cov)]
    size = np.max(np.abs(gradient), axis=0)
    for i, step in enumerate(1e-5 * np.asarray([values[0], values[1], np.sqrt(values[0] * values[1])])):

        def shifted(sign, i=i, step=step):
            var1, var2, cov = (v + sign * step if j == i else v for j, v in enumerate(values))
            arrays = (var1, var2, cov, np.maximum(0.0, var1 + var2 - 2 * cov))
            return np.asarray(getattr(moments(f, BivariateNormal(*map(jnp.asarray, arrays))), moment))

        difference = shifted(1) - shifted(-1)
        for k in range(len(rows)):
            assert abs(difference[k] / (2 * step[k]) - gradient[i, k]) <= 1e-5 * size[k]


@pytest.mark.slow
def test_gradient_in_alpha():
    pair = normal(SMALL_GRID)

    @jax.jit
    def total(alpha):
        return Elu(alpha).dual(pair)[2:6].sum()

    gradient = jax.grad(total)(0.7)
    # The dual is quadratic in alpha: central differences are exact.
    assert float(gradient) == pytest.approx(float(total(0.8) - total(0.6)) / 0.2, rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "custom_tanh"])
@pytest.mark.every(2)
def test_broadcasting_jit_and_vmap(name):
    f = TABLE[name]
    var1, var2 = jnp.array([[0.5], [60.0]]), jnp.array([[1.0, 0.3, 70.0, 0.0, 2.0]])
    cov = 0.97 * jnp.sqrt(var1 * var2)
    wide = BivariateNormal(var1, var2, cov, var1 + var2 - 2 * cov)
    full = BivariateNormal(*(jnp.broadcast_to(a, (2, 5)) for a in (var1, var2, cov, wide.gap)))
    flat = BivariateNormal(*(a.reshape(-1) for a in (full.var1, full.var2, full.cov, full.gap)))
    value = np.asarray(f.dual_slope(wide))
    assert np.allclose(value, np.asarray(moments(f, flat).slope).reshape(2, 5), rtol=1e-12)
    assert np.allclose(value, jax.vmap(f.dual_slope)(full), rtol=1e-12)


@pytest.mark.parametrize("name", [*LOGISTIC, "elu", "custom_tanh"])
@pytest.mark.every(3)
def test_single_precision(name):
    f = TABLE[name]
    narrow, wide = normal(SMALL_GRID, jnp.float32), normal(SMALL_GRID)
    values, exactly, scales = moments(f, narrow), moments(f, wide), own_scale(f, wide)
    for i in (0, 1):
        assert values[i].dtype == jnp.float32
        assert np.max(np.abs(np.asarray(values[i], float) - exactly[i]) / scales[i]) < 3e-5
    assert values.gap.dtype == jnp.float32


def test_variances_that_overflow_when_multiplied():
    """At huge variance tanh is a sign; and var1·var2 is beyond float32."""
    pair = BivariateNormal(*(jnp.asarray([a], jnp.float32) for a in (1e30, 1e30, 0.5e30, 1e30)))
    assert float(Tanh().dual(pair)[0]) == pytest.approx(2 / np.pi * np.arcsin(0.5), rel=1e-5)
    assert float(Softplus().dual(pair)[0]) == pytest.approx(float(Relu().dual(pair)[0]), rel=1e-5)


# Refusals -------------------------------------------------------------------------------------------------------------


def test_what_is_no_function_is_refused():
    with pytest.raises(InputError, match="fn must be a function of an array, found 3"):
        Elementwise(3)
    with pytest.raises(InputError, match="derivative must be a function of an array, or None, found 'cos'"):
        Elementwise(jnp.sin, "cos")


def test_what_is_not_elementwise_is_refused():
    with pytest.raises(InputError, match="fn must be elementwise: from shape \\(3,\\) it makes \\(\\)"):
        Elementwise(jnp.sum)
    with pytest.raises(InputError, match="fn must be made of JAX operations"):
        Elementwise(lambda x: float(x[0]) * x)


def test_breaks_must_be_numbers():
    with pytest.raises(InputError, match="breaks must be a sequence of numbers, found 'zero'"):
        Elementwise(jnp.tanh, breaks="zero")
    with pytest.raises(InputError, match="breaks must be finite numbers"):
        Elementwise(jnp.tanh, breaks=(0.0, np.inf))


def test_a_jump_is_refused():
    with pytest.raises(InputError, match="jumps by 2 at 0"):
        Elementwise(jnp.sign)


def test_alpha_must_be_finite():
    with pytest.raises(InputError, match="alpha must lie in"):
        Elu(np.inf)
