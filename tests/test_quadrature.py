"""Laws of the activations whose moments are computed by quadrature."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkit.activations import Erf, Relu
from ntkit.activations.numerical import Elementwise, Elu, Sigmoid, Silu, Softplus, Tanh
from ntkit.errors import InputError
from ntkit.moments import BivariateNormal
from reference import numerical_moments as reference

NAMED = {"tanh": Tanh(), "sigmoid": Sigmoid(), "softplus": Softplus(), "silu": Silu()}
CUSTOM = {
    "tanh": Elementwise(jnp.tanh),
    "softplus": Elementwise(jax.nn.softplus, jax.nn.sigmoid),
    "relu": Elementwise(jax.nn.relu),
    "hard_tanh": Elementwise(lambda x: jnp.clip(x, -1, 1), breaks=(-1.0, 1.0)),
}
TABLE = {**NAMED, "elu": Elu(), "elu_kinked": Elu(0.4), **{f"custom_{k}": f for k, f in CUSTOM.items()}}
CLOSED = {"custom_tanh": Tanh(), "custom_softplus": Softplus(), "custom_relu": Relu()}

every = pytest.mark.parametrize("name", TABLE)

# (var1, var2, 1 − |correlation|, sign)
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
]
VARIANCES = (0.0, 1e-6, 1e-3, 0.3, 1.0, 10.0, 100.0, 1e4)
GRID = [
    (q, p, one_minus, sign)
    for q, p in itertools.combinations_with_replacement(VARIANCES, 2)
    for one_minus in (0.0, 1e-12, 1e-8, 1e-4, 1e-2, 0.08, 0.3, 0.7, 1.0)
    for sign in (1, -1)
]


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


def own_scale(moment, pair: BivariateNormal) -> np.ndarray:
    """√(moment(u, u) moment(v, v)), and 1 where it is 0: the unit of errors."""
    scale = np.sqrt(np.asarray(moment(itself(pair.var1)) * moment(itself(pair.var2))))
    return np.where(scale > 0, scale, 1.0)


def exact(name, order, point) -> float:
    var1, var2, one_minus, sign = point
    if name.startswith("elu"):
        return float(reference.elu(order, *point, alpha=TABLE[name].alpha))
    if one_minus in (0.0, 1.0) or var1 == 0 or var2 == 0:
        return float(reference.on_line(name, order, var1, var2, sign * (1 - one_minus)))
    return float(reference.in_plane(name, order, *point))


def check_against_references(name, grid):
    f, pair = TABLE[name], normal(grid)
    stated = f.error(pair)
    for order, (moment, bound) in enumerate(((f.dual, stated.dual), (f.slope, stated.slope))):
        values, scale = np.asarray(moment(pair)), own_scale(moment, pair)
        error = np.abs(values - [exact(name, order, point) for point in grid])
        assert np.all(error <= np.asarray(bound) + 1e-12 * scale)
        assert np.all(bound <= 1.001 * f.tolerance * scale)
        assert np.all(error <= 1e-6 * scale)


@pytest.mark.parametrize("name", [*NAMED, "elu"])
def test_moments_on_a_small_grid(name):
    check_against_references(name, SMALL_GRID)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMED, "elu", "elu_kinked"])
def test_moments_on_the_whole_grid(name):
    check_against_references(name, GRID)


@pytest.mark.parametrize("name", CLOSED)
def test_functions_of_the_user_against_closed_forms(name):
    f, closed = TABLE[name], CLOSED[name]
    pair = normal(SMALL_GRID)
    for moment, known in ((f.dual, closed.dual), (f.slope, closed.slope)):
        error = np.abs(np.asarray(moment(pair)) - np.asarray(known(pair))) / own_scale(known, pair)
        assert np.max(error) < 1e-8


def test_erf_with_its_derivative():
    f = Elementwise(jax.lax.erf, lambda x: 2 / np.sqrt(np.pi) * jnp.exp(-(x**2)))
    pair, closed = normal(SMALL_GRID), Erf()
    for moment, known in ((f.dual, closed.dual), (f.slope, closed.slope)):
        error = np.abs(np.asarray(moment(pair)) - np.asarray(known(pair))) / own_scale(known, pair)
        assert np.max(error) < 1e-8


def test_breaks_away_from_zero():
    """clip(x, −1, 1) = (|x + 1| − |x − 1|)/2 has its slope in orthant probabilities: on the diagonal, P(|u| < 1)."""
    variances = np.array([0.01, 0.5, 3.0, 100.0])
    slope = CUSTOM["hard_tanh"].slope(itself(variances))
    inside = jax.scipy.special.erf(1 / jnp.sqrt(2 * variances))
    assert np.allclose(slope, inside, rtol=0, atol=1e-9)


def test_the_error_of_a_bad_resolution_is_seen():
    """A function that oscillates fast far from its breaks is beyond the rule: `error` says so."""
    f = Elementwise(lambda x: jnp.sin(40 * x))
    pair = normal([(1.0, 1.0, 1e-4, 1)])
    value = (np.exp(-1600 * 1e-4) - np.exp(-1600 * (2 - 1e-4))) / 2
    assert abs(float(f.dual(pair)[0]) - value) <= float(f.error(pair).dual[0]) + 1e-9


# Laws -----------------------------------------------------------------------------------------------------------------


@every
def test_symmetry(name):
    f, pair = TABLE[name], normal(SMALL_GRID)
    swapped = BivariateNormal(pair.var2, pair.var1, pair.cov, pair.gap)
    for moment in (f.dual, f.slope, f.gap):
        there, back = np.asarray(moment(pair)), np.asarray(moment(swapped))
        assert np.allclose(there, back, rtol=1e-9, atol=1e-12 * np.max(np.abs(there)))


@every
def test_zero_variance(name):
    f = TABLE[name]
    at_zero = float(f.fn(jnp.array(0.0))) ** 2
    zero = normal([(0.0, 0.0, 1.0, 1)])
    assert float(f.dual(zero)[0]) == pytest.approx(at_zero, abs=2e-9)
    assert float(f.gap(zero)[0]) == 0
    if f.odd:
        assert np.all(np.asarray(f.dual(normal([(0.0, 0.0, 1.0, 1), (0.0, 3.0, 1.0, 1)]))) == 0)


@every
def test_gap(name):
    f = TABLE[name]
    far = normal([(0.5, 2.0, 0.4, 1), (1.0, 1.0, 0.0, -1), (1.0, 3.0, 1.0, 1)])
    direct = f.dual(itself(far.var1)) + f.dual(itself(far.var2)) - 2 * f.dual(far)
    assert np.allclose(f.gap(far), direct, rtol=1e-8)
    assert np.all(np.asarray(f.gap(itself(np.array([0.0, 1e-6, 1.0, 1e4])))) == 0)
    assert np.all(np.asarray(f.gap(normal(SMALL_GRID))) >= 0)


@every
@pytest.mark.parametrize("distance", [1e-12, 1e-9, 1e-6, 1e-4])
def test_gap_of_near_duplicates(name, distance):
    """E[(f(u) − f(v))²] with u = z, v = √(1 − 2d) z + √(2d) w, straight from its definition."""
    f = TABLE[name]
    pair = normal([(1.0, 1.0, distance, 1)])
    x, w = np.polynomial.hermite_e.hermegauss(30)
    z = np.linspace(-9, 9, 4001)[:, None]
    c, s = 1 - distance, np.sqrt(distance * (2 - distance))
    # f(v) − f(u) ≈ f'(x)·(v − u), without cancellation: the mean of f' between them.
    shift = s * x - distance * z
    nodes, weights = np.polynomial.legendre.leggauss(20)
    between = sum(
        b / 2 * jax.jvp(f.fn, (jnp.asarray(z + (a + 1) / 2 * shift),), (jnp.ones_like(z + shift),))[1]
        for a, b in zip(nodes, weights, strict=True)
    )
    squares = (np.asarray(between) * shift) ** 2 @ w / np.sqrt(2 * np.pi)
    value = np.trapezoid(squares * np.exp(-(z[:, 0] ** 2) / 2) / np.sqrt(2 * np.pi), z[:, 0])
    assert c > 0
    kinked = name in ("elu_kinked", "custom_relu", "custom_hard_tanh")
    assert float(f.gap(pair)[0]) == pytest.approx(value, rel=2e-3 if kinked else 1e-5)


@every
def test_price(name):
    """The slope is the derivative of the dual in the covariance, also at correlation ±1."""
    f, pair = TABLE[name], normal(SMALL_GRID)

    def total(cov):
        return f.dual(BivariateNormal(pair.var1, pair.var2, cov, pair.gap)).sum()

    error = np.abs(jax.grad(total)(pair.cov) - f.slope(pair)) / own_scale(f.slope, pair)
    alive = np.asarray((pair.var1 > 0) & (pair.var2 > 0))
    assert np.max(error[alive]) < 1e-8


@every
def test_gradients(name):
    f = TABLE[name]
    rows = [
        (0.3, 2.0, 0.6, -1),
        (1.0, 1.0, 0.1, 1),
        (1e-2, 2e-2, 0.5, 1),
        (40.0, 50.0, 0.8, 1),
        (9.0, 4.0, 0.02, 1),
    ]
    edge = [(1.0, 1.0, 0.0, 1), (1.0, 1.0, 0.0, -1), (0.0, 1.0, 1.0, 1), (0.0, 0.0, 1.0, 1)]
    pair = normal([*rows, *edge])
    values = (pair.var1, pair.var2, pair.cov)
    for moment in (f.dual, f.slope):

        @jax.jit
        def value(var1, var2, cov, moment=moment):
            gap = jax.lax.stop_gradient(jnp.maximum(0.0, var1 + var2 - 2 * cov))
            return moment(BivariateNormal(var1, var2, cov, gap))

        gradient = jax.jit(jax.grad(lambda *v, value=value: value(*v).sum(), argnums=(0, 1, 2)))(*values)
        for i, g in enumerate(gradient):
            assert np.all(np.isfinite(g))
            step = 1e-5 * np.asarray((pair.var1, pair.var2, jnp.sqrt(pair.var1 * pair.var2))[i])
            up, down = ([v + s * step if j == i else v for j, v in enumerate(values)] for s in (1, -1))
            central = (value(*up) - value(*down))[: len(rows)] / (2 * step[: len(rows)])
            size = np.max(np.abs(np.stack(gradient))[:, : len(rows)], axis=0)
            assert np.all(np.abs(central - g[: len(rows)]) <= 1e-5 * size)


def test_gradient_in_alpha():
    pair = normal([(0.5, 2.0, 0.4, 1), (10.0, 10.0, 1e-3, 1), (1.0, 1.0, 0.0, 1)])
    for moment in ("dual", "slope"):

        def total(alpha, moment=moment):
            return getattr(Elu(alpha), moment)(pair).sum()

        gradient = jax.grad(total)(0.7)
        assert float(gradient) == pytest.approx(float(total(0.7 + 1e-5) - total(0.7 - 1e-5)) / 2e-5, rel=1e-7)


@every
def test_broadcasting_jit_and_vmap(name):
    f = TABLE[name]
    var1, var2 = jnp.array([[0.5], [60.0]]), jnp.array([[1.0, 0.3, 70.0]])
    cov = 0.97 * jnp.sqrt(var1 * var2)
    wide = BivariateNormal(var1, var2, cov, var1 + var2 - 2 * cov)
    full = BivariateNormal(*(jnp.broadcast_to(a, (2, 3)) for a in (var1, var2, cov, wide.gap)))
    for moment in (f.dual, f.slope):
        value = np.asarray(moment(wide))
        assert np.allclose(value, moment(full), rtol=1e-12)
        assert np.allclose(value, jax.jit(moment)(wide), rtol=1e-12)
        assert np.allclose(value, jax.vmap(moment)(full), rtol=1e-12)


@every
def test_single_precision(name):
    f = TABLE[name]
    narrow, wide = normal(SMALL_GRID, jnp.float32), normal(SMALL_GRID)
    for moment in (f.dual, f.slope):
        value = moment(narrow)
        assert value.dtype == jnp.float32
        assert np.max(np.abs(np.asarray(value, float) - moment(wide)) / own_scale(moment, wide)) < 3e-5
    assert f.gap(narrow).dtype == jnp.float32


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
