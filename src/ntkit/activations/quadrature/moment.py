"""E[f(u) g(v)] of any two functions of a bivariate normal pair, with derivatives.

Two rules share the work. Mehler's series serves every pair for which its own bound on the error is small enough. The
others (correlation near ±1 where the function is narrow against the standard deviations, or has a kink) are
gathered and done by nested panels, in a loop as long as there are such pairs, also under `jit`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.quadrature.ladder import Ladder
from ntkit.activations.quadrature.mehler import DEGREES, Series, cut_bound, mehler, series_of_pair
from ntkit.activations.quadrature.nested import conditioned, squared_difference
from ntkit.activations.quadrature.panels import NORMAL, Function, Resolution, density, inverse
from ntkit.activations.separation import determinant
from ntkit.moments import BivariateNormal

BATCH = 64


def moment(first: Ladder, second: Ladder, parameters: tuple[Array, ...], pair: BivariateNormal) -> Array:
    """E[f(u) g(v)], differentiable in the parameters, the variances and the covariance.

    Args:
        first: The function f of u.
        second: The function g of v.
        parameters: Scalars that both functions take after x.
        pair: The joint law of u and v. Its arrays need not be broadcast: a variance that stands for a whole row of
            pairs is worked on once.
    """
    gap = jax.lax.stop_gradient(pair.gap)
    return _moment(first, second, parameters, pair.var1, pair.var2, pair.cov, gap)


def tolerance(dtype: jnp.dtype) -> float:
    """Relative error, by its own bound, up to which Mehler's series serves."""
    return max(1e-10, 32 * float(jnp.finfo(dtype).eps))


def by_panels(
    first: Ladder, second: Ladder, parameters: tuple, pair: BivariateNormal, rule: Resolution
) -> Array:
    """E[f(u) g(v)] by nested panels alone, pair after pair: slow, right at every correlation."""
    shape = jnp.broadcast_shapes(*(a.shape for a in (pair.var1, pair.var2, pair.cov, pair.gap)))
    everywhere = jnp.ones(shape, bool)
    return _replace(
        jnp.zeros(shape, pair.cov.dtype), everywhere, pair, _panel_rule(first, second, parameters, rule)
    )


def gap_by_panels(ladder: Ladder, parameters: tuple, pair: BivariateNormal, where: Array) -> Array:
    """E[(f(u) − f(v))²] at the pairs marked by `where`, by nested panels; 0 at the others, and where u = v."""
    where = where & ((pair.gap > 0) | (pair.var1 != pair.var2))
    start = jnp.zeros(where.shape, pair.cov.dtype)
    return _replace(start, where, pair, lambda some: squared_difference(ladder, parameters, some, NORMAL))


def _by_series_or_panels(first: Ladder, second: Ladder, parameters: tuple, pair: BivariateNormal) -> Array:
    shape = jnp.broadcast_shapes(*(a.shape for a in (pair.var1, pair.var2, pair.cov, pair.gap)))
    if 0 in shape:
        return jnp.zeros(shape, pair.cov.dtype)
    correlation = pair.correlation
    degrees = _worthwhile_degrees(correlation, pair.var1.size + pair.var2.size)
    one, two = _both_series(first, second, parameters, pair, degrees)
    value = mehler(one, two, correlation)
    norm = jnp.sqrt(one.second) * jnp.sqrt(two.second)
    hard = cut_bound(one, two, correlation) > tolerance(value.dtype) * norm
    return _replace(value, hard, pair, _panel_rule(first, second, parameters, NORMAL))


def _worthwhile_degrees(correlation: Array, rows: int) -> Array:
    """The highest degree at which a series pays: the further it goes, the fewer pairs are left to the panels."""
    # Nanoseconds of a degree of a row, of a degree of a pair, of a pair by panels, as measured; the coefficients
    # of a function with kinks leave some thousandth of its second moment.
    options = jnp.array([64, 128, 256, DEGREES])
    reach = (1e3 * tolerance(correlation.dtype)) ** (1 / options)
    left = jnp.stack([jnp.sum(jnp.abs(correlation) > c) for c in reach])
    cost = options * (900.0 * rows + 0.6 * correlation.size) + 2e5 * left
    return options[jnp.argmin(cost)]


def _both_series(
    first: Ladder, second: Ladder, parameters: tuple, pair: BivariateNormal, degrees: Array
) -> tuple[Series, Series]:
    def bound(ladder: Ladder) -> Function:
        return lambda x: ladder.fn(x, *parameters)

    if first is second:
        return series_of_pair(bound(first), pair.var1, pair.var2, first.breaks, degrees)
    one, _ = series_of_pair(bound(first), pair.var1, pair.var1, first.breaks, degrees)
    two, _ = series_of_pair(bound(second), pair.var2, pair.var2, second.breaks, degrees)
    return one, two


def _panel_rule(first: Ladder, second: Ladder, parameters: tuple, rule: Resolution) -> Callable:
    return lambda pair: conditioned(first, second, parameters, pair, rule)


def _replace(
    value: Array, where: Array, pair: BivariateNormal, rule: Callable[[BivariateNormal], Array]
) -> Array:
    """`value`, with the entries marked by `where` replaced by `rule`, BATCH pairs at a time."""
    flat = [jnp.broadcast_to(a, value.shape).reshape(-1) for a in (pair.var1, pair.var2, pair.cov, pair.gap)]
    where = jnp.broadcast_to(where, value.shape).reshape(-1)
    size = value.size
    batch = min(BATCH, size)
    (places,) = jnp.nonzero(where, size=size, fill_value=size)
    places = jnp.pad(places, (0, -size % batch), constant_values=size)
    count = jnp.sum(where)

    def left(state: tuple[Array, Array]) -> Array:
        return state[0] * batch < count

    def some(state: tuple[Array, Array]) -> tuple[Array, Array]:
        i, done = state
        here = jax.lax.dynamic_slice_in_dim(places, i * batch, batch)
        pairs = BivariateNormal(*(a.at[here].get(mode="clip") for a in flat))
        return i + 1, done.at[here].set(rule(pairs), mode="drop")

    start = (jnp.zeros((), places.dtype), value.reshape(-1))
    return jax.lax.while_loop(left, some, start)[1].reshape(value.shape)


def _primal(first, second, parameters, var1, var2, cov, gap):
    return _by_series_or_panels(first, second, parameters, BivariateNormal(var1, var2, cov, gap))


_moment = jax.custom_jvp(_primal, nondiff_argnums=(0, 1))


@_moment.defjvp
def _moment_jvp(first: Ladder, second: Ladder, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    parameters, var1, var2, cov, gap = primals
    dparameters, dvar1, dvar2, dcov, _ = tangents
    pair = BivariateNormal(var1, var2, cov, gap)
    moving = dcov * by_covariance(first, second, parameters, pair)
    moving = moving + dvar1 * by_variance(first, second, parameters, pair)
    moving = moving + dvar2 * by_variance(second, first, parameters, _mirrored(pair))
    for i, dp in enumerate(dparameters):
        moving = moving + dp * moment(first.by_parameter(i), second, parameters, pair)
        moving = moving + dp * moment(first, second.by_parameter(i), parameters, pair)
    return _moment(first, second, *primals), moving


def by_covariance(first: Ladder, second: Ladder, parameters: tuple, pair: BivariateNormal) -> Array:
    """∂E[f(u) g(v)]/∂cov = E[f'(u) g'(v)] (Price's theorem), a jump J at b adding J δ_b to a derivative."""
    df = first.derivative
    dg = df if first is second else second.derivative
    total = moment(df, dg, parameters, pair)
    for b, jump in first.jumps(parameters, pair.cov.dtype):
        total = total + jump * _density_at(b, pair.var1) * _derivative_given(second, parameters, pair, b)
    for b, jump in second.jumps(parameters, pair.cov.dtype):
        mirrored = _mirrored(pair)
        total = total + jump * _density_at(b, pair.var2) * _given(df, parameters, mirrored, b)
    return total


def by_variance(first: Ladder, second: Ladder, parameters: tuple, pair: BivariateNormal) -> Array:
    """∂E[f(u) g(v)]/∂var1 = ½ E[f''(u) g(v)], a jump J of f' adding J δ_b to f'', one of f adding J δ_b'."""
    total = moment(first.derivative.derivative, second, parameters, pair)
    for b, jump in first.derivative.jumps(parameters, pair.cov.dtype):
        total = total + jump * _density_at(b, pair.var1) * _given(second, parameters, pair, b)
    for b, jump in first.jumps(parameters, pair.cov.dtype):
        # E[δ_b'(u) g(v)] = −∂/∂u (density(u) E[g(v) | u]) at b.
        score = b * _given(second, parameters, pair, b) - pair.cov * _derivative_given(
            second, parameters, pair, b
        )
        total = total + jump * _density_at(b, pair.var1) * score * inverse(pair.var1)
    return total / 2


def _mirrored(pair: BivariateNormal) -> BivariateNormal:
    return BivariateNormal(pair.var2, pair.var1, pair.cov, pair.gap)


def _density_at(point: float, var: Array) -> Array:
    """The normal density of variance `var`; 0 at variance 0."""
    std_inverse = inverse(jnp.sqrt(var))
    return jnp.where(var > 0, density(point * std_inverse) * std_inverse, 0.0)


def _law_given(pair: BivariateNormal, point: float) -> tuple[Array, Array]:
    """Mean and standard deviation of v, given u = point."""
    std_inverse = inverse(jnp.sqrt(pair.var1))
    return point * pair.cov * std_inverse**2, jnp.sqrt(determinant(pair)) * std_inverse


def _given(ladder: Ladder, parameters: tuple, pair: BivariateNormal, point: float) -> Array:
    """E[g(v) | u = point]."""
    mean, std = _law_given(pair, point)
    mean, std = jnp.broadcast_arrays(mean, std)
    return ladder.mean(mean, std, parameters)


def _derivative_given(ladder: Ladder, parameters: tuple, pair: BivariateNormal, point: float) -> Array:
    """E[g'(v) | u = point], jumps of g included; where v is determined by u, a jump at it is left out."""
    total = _given(ladder.derivative, parameters, pair, point)
    mean, std = _law_given(pair, point)
    for b, jump in ladder.jumps(parameters, pair.cov.dtype):
        total = total + jump * jnp.where(std > 0, density((b - mean) * inverse(std)) * inverse(std), 0.0)
    return total
