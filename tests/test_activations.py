"""Laws of the closed-form activations, each over all of them."""

import dataclasses
import json
import math
import pathlib

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from ntkit import activations
from ntkit.activations import (
    ABRelu,
    Abs,
    Cos,
    Erf,
    Exp,
    ExpNormalized,
    Gabor,
    Gaussian,
    Gelu,
    Hermite,
    LeakyRelu,
    Monomial,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sign,
    Sin,
    Step,
)
from ntkit.activations.activation import Activation
from ntkit.errors import InputError
from ntkit.moments import BivariateNormal
from reference import activation_moments as exact
from reference.normal_pairs import at_correlation, at_distance, grid, pairs

ORACLE = pathlib.Path(__file__).parent / "oracle"

TABLE = {
    "relu": (Relu(), exact.half_lines(0, 1)),
    "leaky_relu": (LeakyRelu(0.2), exact.half_lines(0.2, 1)),
    "abs": (Abs(), exact.half_lines(-1, 1)),
    "ab_relu": (ABRelu(neg=-0.4, pos=1.3), exact.half_lines(-0.4, 1.3)),
    "ab_relu_linear": (ABRelu(neg=1.5, pos=1.5), exact.half_lines(1.5, 1.5)),
    "erf": (Erf(), exact.erf(1, 1, 0)),
    "erf_abc": (Erf(1.3, 0.7, 0.4), exact.erf(1.3, 0.7, 0.4)),
    "gelu": (Gelu(), exact.gelu()),
    "sin": (Sin(), exact.sin(1, 1, 0)),
    "sin_abc": (Sin(1.2, 0.8, 0.3), exact.sin(1.2, 0.8, 0.3)),
    "cos": (Cos(), exact.cos(1, 1, 0)),
    "cos_abc": (Cos(1.1, 0.9, 0.5), exact.cos(1.1, 0.9, 0.5)),
    "rbf": (Rbf(0.6), exact.rbf(0.6)),
    "gaussian": (Gaussian(1.4, -0.7), exact.gaussian(1.4, -0.7)),
    "exp": (Exp(0.8, 0.1), exact.exp(0.8, 0.1)),
    "exp_normalized": (ExpNormalized(), exact.exp_normalized(1, -1)),
    "exp_normalized_shifted": (ExpNormalized(0.7, -0.6), exact.exp_normalized(0.7, -0.6)),
    "gabor": (Gabor(), exact.gabor()),
    "monomial_0": (Monomial(0), exact.monomial(0)),
    "monomial_1": (Monomial(1), exact.monomial(1)),
    "monomial_2": (Monomial(2), exact.monomial(2)),
    "monomial_5": (Monomial(5), exact.monomial(5)),
    "hermite_0": (Hermite(0), exact.hermite(0)),
    "hermite_3": (Hermite(3), exact.hermite(3)),
    "hermite_4": (Hermite(4), exact.hermite(4)),
    "polynomial": (Polynomial((0.5, -1.0, 0.3, 0.2)), exact.polynomial((0.5, -1.0, 0.3, 0.2))),
    "rectified_1": (RectifiedMonomial(1), exact.rectified_monomial(1)),
    "rectified_2": (RectifiedMonomial(2), exact.rectified_monomial(2)),
    "rectified_3": (RectifiedMonomial(3), exact.rectified_monomial(3)),
    "sign": (Sign(), exact.sign()),
    "step": (Step(), exact.step()),
}
CONTINUOUS = [name for name, (f, _) in TABLE.items() if not f.discontinuous]

every = pytest.mark.parametrize("name", TABLE)
every_continuous = pytest.mark.parametrize("name", CONTINUOUS)

GRID = grid()


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def normal(p) -> BivariateNormal:
    return BivariateNormal(*(jnp.asarray(a) for a in (p.var1, p.var2, p.cov, p.gap)))


def itself(variance) -> BivariateNormal:
    variance = jnp.asarray(variance)
    return BivariateNormal(variance, variance, variance, jnp.zeros_like(variance))


def own_scale(moment, pair: BivariateNormal) -> np.ndarray:
    """√(moment(u, u) moment(v, v)), and 1 where it is 0: the unit of errors."""
    scale = np.sqrt(np.asarray(moment(itself(pair.var1)) * moment(itself(pair.var2))))
    return np.where(scale > 0, scale, 1.0)


def exact_gap(f: Activation, dual, triple) -> mp.mpf:
    var1, var2, cov = triple
    own1, own2 = dual(var1, var1, var1), dual(var2, var2, var2)
    if f.discontinuous:  # A variable that is 0 has f(0)² and no correlation with itself.
        at_zero = mp.mpf(float(f.fn(jnp.array(0.0)))) ** 2
        own1, own2 = own1 if var1 else at_zero, own2 if var2 else at_zero
    return own1 + own2 - 2 * dual(var1, var2, cov)


def differences(values, references) -> np.ndarray:
    return np.array(
        [float(mp.mpf(float(v)) - r) for v, r in zip(np.asarray(values), references, strict=True)]
    )


# Values ---------------------------------------------------------------------------------------------------------------


def test_every_closed_form_is_in_the_table():
    public = {getattr(activations, name) for name in activations.__all__}
    families = {activations.Activation, activations.SmoothActivation}
    by_quadrature = {c for c in public if c.__module__ == "ntkit.activations.numerical"}
    assert public - families - by_quadrature <= {type(f) for f, _ in TABLE.values()}


@pytest.mark.parametrize("record", json.loads((ORACLE / "duals.json").read_text())["activations"], ids=str)
def test_oracle(record):
    fields = dict(record["activation"])
    f = getattr(activations, fields.pop("layer"))(**fields)
    with np.load(ORACLE / "duals.npz") as data:
        var1, var2, cov, dual, slope = (
            data[f"{name}_{record['index']}"] for name in ("q11", "q22", "q12", "e_ff", "e_dfdf")
        )
    gap = [float(mp.mpf(a) + mp.mpf(b) - 2 * mp.mpf(c)) for a, b, c in zip(var1, var2, cov, strict=True)]
    pair = BivariateNormal(*(jnp.asarray(a) for a in (var1, var2, cov, np.maximum(gap, 0.0))))
    assert np.max(np.abs(f.dual(pair) - dual) / own_scale(f.dual, pair)) < 1e-14
    # cos θ of a pair of unlike variances is data rounded to 1e-16, and θ rounded to the square root of that.
    blurred = (np.abs(cov) > (1 - 1e-9) * np.sqrt(var1 * var2)) & (var1 != var2)
    error = np.abs(f.dual_slope(pair) - slope) / own_scale(f.dual_slope, pair)
    assert np.max(error[~blurred]) < 1e-12
    assert np.max(error, initial=0.0) < 1e-8


@every
def test_dual(name):
    f, (dual, _) = TABLE[name]
    pair = normal(GRID)
    error = differences(f.dual(pair), [dual(*t) for t in GRID.exact]) / own_scale(f.dual, pair)
    assert np.max(np.abs(error)) < 1e-12


@every_continuous
def test_slope(name):
    f, (_, slope) = TABLE[name]
    pair = normal(GRID)
    error = differences(f.dual_slope(pair), [slope(*t) for t in GRID.exact]) / own_scale(f.dual_slope, pair)
    assert np.max(np.abs(error)) < 1e-12


@every
def test_gap_to_relative_accuracy(name):
    f, (dual, _) = TABLE[name]
    close = GRID.take(GRID.gap < 0.5 * GRID.var1)
    reference = [exact_gap(f, dual, t) for t in close.exact]
    error = differences(f.gap(normal(close)), reference)
    size = np.array([float(r) for r in reference])
    assert np.all(np.abs(error) <= 1e-12 * size)


@every
def test_gap_is_the_difference(name):
    f, (dual, _) = TABLE[name]
    pair = normal(GRID)
    gap = f.gap(pair)
    error = differences(gap, [exact_gap(f, dual, t) for t in GRID.exact])
    assert np.all(gap >= 0)
    assert np.max(np.abs(error) / (f.dual(itself(pair.var1)) + f.dual(itself(pair.var2)) + 1e-300)) < 1e-12


@pytest.mark.parametrize("name", ["abs", "monomial_2", "hermite_4", "cos"])
def test_gap_of_even_functions_between_opposite_variables(name):
    f, (dual, _) = TABLE[name]
    p = pairs(
        [at_correlation(v, v, c) for v in (1e-2, 1.0, 7.0) for c in (-1.0, -1 + 1e-14, -1 + 1e-9, -1 + 1e-5)]
    )
    reference = [exact_gap(f, dual, t) for t in p.exact]
    error = differences(f.gap(normal(p)), reference)
    # The reference itself is known to 1e-40, which is all there is to know where the gap is 0.
    assert np.all(np.abs(error) <= 1e-12 * np.array([float(r) for r in reference]) + 1e-40)


@every
def test_gap_of_a_variable_with_itself_is_zero(name):
    f, _ = TABLE[name]
    assert np.all(f.gap(itself(np.array([0.0, 1e-6, 0.3, 1.0, 1e4]))) == 0)


# The definition -------------------------------------------------------------------------------------------------------


def polar_nodes(angle: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights for E[g(u, v)], u and v standard at the given angle, smooth between u = 0 and v = 0."""
    x, w = np.polynomial.legendre.leggauss(40)
    kinks = np.sort(
        np.concatenate([np.pi * np.arange(5) / 2, angle + np.pi * np.arange(-1, 2) / 2]) % (2 * np.pi)
    )
    kinks = np.concatenate([kinks, kinks[:1] + 2 * np.pi])
    phi, dphi = panels(kinks, x, w)
    radius, dradius = panels(np.linspace(0.0, 13.0, 7), x, w)
    dradius = dradius * radius * np.exp(-(radius**2) / 2) / (2 * np.pi)
    phi, radius = np.meshgrid(phi, radius)
    return radius * np.cos(phi), radius * np.cos(phi - angle), np.outer(dradius, dphi)


def panels(edges, x, w):
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


@pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith("exp_normalized")])
@pytest.mark.parametrize(("var1", "var2", "correlation"), [(1.0, 1.0, 0.6), (0.3, 2.0, -0.4)])
def test_definition(name, var1, var2, correlation):
    f, _ = TABLE[name]
    u, v, weight = polar_nodes(math.acos(correlation))
    u, v = jnp.asarray(math.sqrt(var1) * u), jnp.asarray(math.sqrt(var2) * v)
    pair = normal(pairs([at_correlation(var1, var2, correlation)]))
    assert np.sum(weight * f.fn(u) * f.fn(v)) == pytest.approx(float(f.dual(pair)[0]), abs=1e-11)
    if not f.discontinuous:
        derivative = jax.vmap(jax.grad(f.fn))
        product = derivative(u.ravel()) * derivative(v.ravel())
        assert np.sum(weight.ravel() * product) == pytest.approx(float(f.dual_slope(pair)[0]), abs=1e-11)


def test_exp_normalized_is_the_mean_over_many_channels():
    f = ExpNormalized(0.5, -0.8)
    first, second = np.random.default_rng(0).normal(size=(2, 400_000))
    u, v = 1.5 * first, 0.7 * (0.6 * first + 0.8 * second)
    product = np.asarray(f.fn(jnp.asarray(u)) * f.fn(jnp.asarray(v)))
    expected = float(f.dual(normal(pairs([at_correlation(1.5**2, 0.7**2, 0.6)])))[0])
    assert abs(product.mean() - expected) < 4 * product.std() / math.sqrt(product.size)


def test_exp_normalized_of_zeros_is_zero_with_a_finite_derivative():
    f = ExpNormalized()
    assert np.all(f.fn(jnp.zeros((2, 3))) == 0)
    assert np.all(np.isfinite(jax.grad(lambda x: f.fn(x).sum())(jnp.zeros((2, 3)))))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "ab_relu"])
def test_the_derivative_at_zero_is_that_of_the_slope_at_zero_variance(name):
    f, _ = TABLE[name]
    at_zero = jax.grad(f.fn)(jnp.array(0.0))
    assert float(at_zero**2) == pytest.approx(float(f.dual_slope(itself(0.0))), abs=1e-15)


def test_leaky_relu_is_an_ab_relu():
    x = jnp.array([-2.0, 0.0, 3.0])
    f = LeakyRelu(0.25)
    assert np.array_equal(f.apply((), x), [-0.5, 0.0, 3.0])
    assert f.init(jax.random.key(0), (3,)) == ((), (3,))
    assert f.rates(()) == ()


# Laws -----------------------------------------------------------------------------------------------------------------


@every_continuous
def test_price(name):
    """The slope is the derivative of the dual in the covariance, also at the edges of what is possible."""
    f, _ = TABLE[name]
    pair = normal(GRID)
    by_cov = jax.grad(lambda cov: f.dual(dataclasses.replace(pair, cov=cov)).sum())(pair.cov)
    error = np.abs(by_cov - f.dual_slope(pair)) / own_scale(f.dual_slope, pair)
    alive = (GRID.var1 > 0) & (GRID.var2 > 0)
    assert np.max(error[alive]) < 1e-10


@every
def test_symmetry(name):
    f, _ = TABLE[name]
    pair = normal(GRID)
    swapped = BivariateNormal(pair.var2, pair.var1, pair.cov, pair.gap)
    for moment in (f.dual, f.dual_slope, f.gap):
        there, back = np.asarray(moment(pair)), np.asarray(moment(swapped))
        assert np.allclose(
            there, back, rtol=1e-12, atol=1e-15 * np.max(np.abs(there[np.isfinite(there)]), initial=0.0)
        )


@every
def test_cauchy_schwarz(name):
    f, _ = TABLE[name]
    pair = normal(GRID)
    assert np.all(np.abs(f.dual(pair)) <= own_scale(f.dual, pair) * (1 + 1e-13))
    if not f.discontinuous:
        assert np.all(np.abs(f.dual_slope(pair)) <= own_scale(f.dual_slope, pair) * (1 + 1e-13))


@every
def test_oddness(name):
    f, _ = TABLE[name]
    x = jnp.array([-1.3, -0.2, 0.0, 0.4, 2.0])
    if f.odd:
        pair = normal(GRID)
        assert np.allclose(f.fn(-x), -f.fn(x), rtol=1e-14)
        opposite = BivariateNormal(pair.var1, pair.var2, -pair.cov, pair.var1 + pair.var2 + 2 * pair.cov)
        error = np.abs(f.dual(opposite) + f.dual(pair)) / own_scale(f.dual, pair)
        assert np.max(error) < 1e-7  # the distance of (u, −v) is rounded here: its angle, to the square root


@pytest.mark.parametrize("f", [Sign(), Step()])
def test_jumps_have_an_infinite_slope(f):
    assert f.discontinuous
    assert np.all(np.isposinf(f.dual_slope(normal(GRID))))


@every
def test_broadcasting(name):
    f, _ = TABLE[name]
    var1, var2 = jnp.array([[0.0], [0.5], [2.0]]), jnp.array([[1.0, 0.3]])
    cov = 0.3 * jnp.sqrt(var1 * var2)
    wide = BivariateNormal(var1, var2, cov, var1 + var2 - 2 * cov)
    full = BivariateNormal(*(jnp.broadcast_to(a, (3, 2)) for a in (var1, var2, cov, wide.gap)))
    for moment in (f.dual, f.dual_slope, f.gap):
        assert np.array_equal(np.broadcast_to(moment(wide), (3, 2)), moment(full))


# Derivatives ----------------------------------------------------------------------------------------------------------


def summed(moment, values, gap):
    return moment(BivariateNormal(*values, gap)).sum()


@every
def test_derivatives_are_finite(name):
    """At zero variance, x1 = x2, opposite variables and everywhere else."""
    f, _ = TABLE[name]
    pair = normal(GRID)
    for moment in (f.dual, *(() if f.discontinuous else (f.dual_slope,))):
        gradient = jax.grad(lambda values, m=moment: summed(m, values, pair.gap))(
            (pair.var1, pair.var2, pair.cov)
        )
        assert all(np.all(np.isfinite(g)) for g in gradient)
    parameters = eqx.filter_grad(lambda g: g.dual(pair).sum())(f)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(parameters))


@every
def test_derivatives_of_the_dual(name):
    f, (dual, _) = TABLE[name]
    rows = [(0.3, 2.0, -0.4), (1.0, 1.0, 0.9), (1e-4, 2e-4, 0.5), (40.0, 50.0, 0.2), (1.0, 1.1, 0.99999)]
    p = pairs([at_correlation(*row) for row in rows])
    pair = normal(p)
    gradient = jax.grad(lambda values: summed(f.dual, values, pair.gap))((pair.var1, pair.var2, pair.cov))
    for i, order in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
        reference = np.array([float(mp.diff(dual, t, order)) for t in p.exact])
        assert np.allclose(gradient[i], reference, rtol=1e-9, atol=1e-11 * np.max(np.abs(reference)))


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if n not in ("relu", "leaky_relu", "abs", "ab_relu")])
def test_derivatives_of_the_slope(name):
    f, (_, slope) = TABLE[name]
    p = pairs([at_correlation(*row) for row in [(0.3, 2.0, -0.4), (1.0, 1.0, 0.9), (1e-2, 2e-2, 0.5)]])
    pair = normal(p)
    gradient = jax.grad(lambda values: summed(f.dual_slope, values, pair.gap))(
        (pair.var1, pair.var2, pair.cov)
    )
    for i, order in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
        with mp.workdps(150 if name == "gabor" else 80):
            reference = np.array([float(mp.diff(slope, t, order)) for t in p.exact])
        assert np.allclose(gradient[i], reference, rtol=1e-8, atol=1e-10 * np.max(np.abs(reference)))


@pytest.mark.parametrize("name", [n for n in TABLE if jax.tree.leaves(TABLE[n][0])])
def test_derivatives_in_the_hyperparameters(name):
    f, _ = TABLE[name]
    pair = normal(GRID.take((GRID.var1 > 0) & (GRID.var1 <= 4) & (GRID.var2 > 0) & (GRID.var2 <= 4)))
    leaves, rest = jax.tree.flatten(f)
    moments = (f.dual, *(() if f.discontinuous else (f.dual_slope,)))

    for which in [m.__name__ for m in moments]:

        def value(*numbers, which=which):
            return getattr(jax.tree.unflatten(rest, numbers), which)(pair).sum()

        gradient = jax.grad(value, argnums=tuple(range(len(leaves))))(*map(jnp.asarray, leaves))
        for i, g in enumerate(gradient):
            up, down = ([*leaves[:i], leaves[i] + h, *leaves[i + 1 :]] for h in (1e-5, -1e-5))
            central = (value(*up) - value(*down)) / 2e-5
            assert float(g) == pytest.approx(float(central), rel=1e-7, abs=1e-7)


# Precision ------------------------------------------------------------------------------------------------------------


@every
def test_single_precision(name):
    f, _ = TABLE[name]
    rows = [at_distance(v, d, a) for v in (1e-3, 1.0, 30.0) for d in (1e-5, 1e-3, 0.1) for a in (0.7, 1.5)]
    rows += [at_correlation(v, w, c) for v in (1e-3, 1.0, 30.0) for w in (0.0, 1.0) for c in (-0.9, 0.0, 0.5)]
    p = pairs(rows)
    pair = BivariateNormal(*(jnp.asarray(a, jnp.float32) for a in (p.var1, p.var2, p.cov, p.gap)))
    wide = normal(p)
    assert f.dual(pair).dtype == f.gap(pair).dtype == f.dual_slope(pair).dtype == jnp.float32
    assert np.max(np.abs(f.dual(pair) - f.dual(wide)) / own_scale(f.dual, wide)) < 1e-5
    if not f.discontinuous:
        assert np.max(np.abs(f.dual_slope(pair) - f.dual_slope(wide)) / own_scale(f.dual_slope, wide)) < 1e-5
    assert np.all(np.isfinite(f.gap(pair)))
    assert np.all(np.abs(f.gap(pair) - f.gap(wide)) <= 0.02 * f.gap(wide))


variances = st.floats(-6.0, 4.0).map(lambda e: 10.0**e)
correlations = st.floats(-1.0, 1.0) | st.sampled_from([-1.0, 0.0])
rows = st.builds(at_correlation, variances, variances, correlations.filter(lambda c: abs(c) < 1 - 1e-6))
rows |= st.builds(at_distance, variances, st.floats(-10.0, 0.0).map(lambda e: 10.0**e), st.floats(0.1, 3.0))


@every
@hypothesis.settings(max_examples=8)
@hypothesis.given(batch=st.lists(rows, min_size=6, max_size=6))
def test_any_variances(name, batch):
    f, (dual, slope) = TABLE[name]
    p = pairs(batch)
    pair = normal(p)
    error = differences(f.dual(pair), [dual(*t) for t in p.exact]) / own_scale(f.dual, pair)
    assert np.max(np.abs(error)) < 1e-12
    size = f.dual(itself(pair.var1)) + f.dual(itself(pair.var2))
    error = differences(f.gap(pair), [exact_gap(f, dual, t) for t in p.exact])
    assert np.all(np.abs(error) <= 1e-12 * size)
    if not f.discontinuous:
        error = differences(f.dual_slope(pair), [slope(*t) for t in p.exact]) / own_scale(f.dual_slope, pair)
        assert np.max(np.abs(error)) < 1e-11


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(b=0.5), r"Gaussian: b must lie in .*0\], found 0.5"),
        (lambda: Gaussian(a=math.inf), "Gaussian: a must lie in"),
        (lambda: Rbf(-1.0), r"Rbf: gamma must lie in \[0, .*found -1.0"),
        (lambda: ExpNormalized(gamma=-0.1), "ExpNormalized: gamma must lie in"),
        (lambda: ExpNormalized(shift=math.nan), "ExpNormalized: shift must lie in"),
        (lambda: Erf(a=math.nan), "Erf: a must lie in"),
        (lambda: Sin(c=math.inf), "Sin: c must lie in"),
        (lambda: Cos(b=math.inf), "Cos: b must lie in"),
        (lambda: Exp(b=math.inf), "Exp: b must lie in"),
        (lambda: LeakyRelu(math.nan), "LeakyRelu: slope must lie in"),
        (lambda: ABRelu(neg=math.nan, pos=1.0), "ABRelu: neg must lie in"),
        (lambda: Monomial(-1), "Monomial: degree must be a whole number from 0 to 20, found -1"),
        (lambda: Monomial(True), "Monomial: degree must be a whole number"),
        (lambda: Hermite(21), "Hermite: degree must be a whole number from 0 to 20, found 21"),
        (lambda: RectifiedMonomial(0), r"degree 0 is a step.*write Step\(\)"),
        (
            lambda: RectifiedMonomial(11),
            "RectifiedMonomial: degree must be a whole number from 1 to 10, found 11",
        ),
        (
            lambda: Polynomial(()),
            "Polynomial: coefficients must be 1 to 21 numbers in ascending powers, found 0",
        ),
        (
            lambda: Polynomial((1.0, math.nan)),
            r"Polynomial: coefficients\[1\] must be a finite number, found nan",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_polynomial_takes_any_sequence_and_makes_integers_floats():
    for given in ([1, 2], np.array([1, 2]), (1.0, 2.0)):
        assert Polynomial(given).coefficients == (1.0, 2.0)
