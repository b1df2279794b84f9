"""Moments of a bivariate normal pair by Mehler's formula: a power series in the correlation.

With h_k the orthonormal Hermite polynomials and a_k(q) = E[f(√q z) h_k(z)], z standard normal,

    E[f(u) g(v)] = Σ_k a_k(var1) b_k(var2) cᵏ,   c the correlation of u and v.

The coefficients depend on one variance each, so a kernel of n × n pairs needs 2n of them and then one multiply–add
a pair and degree. By Parseval the coefficients from degree K on have the sum of squares E[f²] − Σ_{k<K} a_k², so
|c|ᴷ √(rest₁ rest₂) bounds what the cut leaves out (Cauchy–Schwarz): a bound on the error, not a guess.

References:
    Daniely, Frostig and Singer (2016), Toward deeper understanding of neural networks (Hermite expansion of
    the dual activation). Mehler (1866), J. reine angew. Math. 66.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntkit.activations.quadrature.panels import Function, deviation, line

DEGREES = 512
STEP = 8
ROWS = 16


class Series(NamedTuple):
    """Coefficients a_k of a function at many variances, its second moment, and what the coefficients leave of it."""

    coefficients: Float[Array, "degrees ..."]
    second: Float[Array, "..."]
    rest: Float[Array, "..."]
    used: Int[Array, ""]

    def part(self, chosen: slice, shape: tuple[int, ...]) -> "Series":
        """The series at some of the variances of a vector, put into another shape."""
        coefficients, second, rest = (a[..., chosen] for a in self[:3])
        table = coefficients.reshape(len(coefficients), *shape)
        return Series(table, second.reshape(shape), rest.reshape(shape), self.used)


def series(
    fn: Function,
    var: Float[Array, "rows"],
    breaks: tuple[float, ...],
    needed: Int[Array, ""],
    degrees: Int[Array, ""],
) -> Series:
    """The Hermite series of z ↦ fn(√var z) at the first `needed` variances, to at most that many degrees."""
    chunk = min(ROWS, var.size)
    padded = jnp.pad(var, (0, -var.size % chunk), mode="edge").reshape(-1, chunk)
    like = jnp.zeros_like(padded)
    empty = (jnp.zeros((len(padded), DEGREES, chunk), var.dtype), like, like, jnp.zeros((), jnp.int32))

    def one_chunk(i: Array, done: tuple) -> tuple:
        table, second, rest, used = _chunk(fn, padded[i], breaks, degrees)
        return (
            done[0].at[i].set(table),
            done[1].at[i].set(second),
            done[2].at[i].set(rest),
            jnp.maximum(done[3], used),
        )

    chunks = ((needed + chunk - 1) // chunk).astype(jnp.int32)
    table, second, rest, used = jax.lax.fori_loop(0, chunks, one_chunk, empty)
    table = jnp.moveaxis(table, 1, 0).reshape(DEGREES, -1)
    return Series(table, second.reshape(-1), rest.reshape(-1), used).part(slice(var.size), var.shape)


def series_of_pair(
    fn: Function,
    var1: Float[Array, "..."],
    var2: Float[Array, "..."],
    breaks: tuple[float, ...],
    degrees: Int[Array, ""],
) -> tuple[Series, Series]:
    """The series at both variances of a pair, taken once where these are the same (a symmetric kernel)."""
    first, second = var1.reshape(-1), var2.reshape(-1)
    size, both = first.size, jnp.concatenate([first, second])
    same = jnp.all(first == second) if size == second.size else jnp.zeros((), bool)
    every = series(fn, both, breaks, jnp.where(same, size, both.size), degrees)
    one, two = every.part(slice(size), first.shape), every.part(slice(size, None), second.shape)
    if size == second.size:
        two = Series(*(jnp.where(same, a, b) for a, b in zip(one, two, strict=True)))
    return one.part(slice(None), var1.shape), two.part(slice(None), var2.shape)


def _chunk(
    fn: Function, var: Float[Array, "rows"], breaks: tuple[float, ...], degrees: Int[Array, ""]
) -> tuple[Array, Array, Array, Array]:
    std = deviation(var)
    # ψ_k = h_k √density reaches to 2√k, beyond any cut: its partner √density must be negligible at the cut.
    z, weights = line(std, breaks, radius=11, count=16)
    values = fn(std * z)
    weighted = weights * values
    second = jnp.sum(weighted * values, axis=0)
    eps = jnp.finfo(var.dtype).eps
    roots = jnp.sqrt(jnp.arange(DEGREES + 2, dtype=var.dtype))

    def left(state: tuple) -> Array:
        k, _, _, _, _, last = state
        return (k < degrees) & jnp.any(last > (1e3 * eps) ** 2 * second)

    def block(state: tuple) -> tuple:
        k, table, before, now, rest, _ = state

        def degree(j: Array, state: tuple) -> tuple:
            a, before, now = state
            a = a.at[j].set(jnp.sum(weighted * now, axis=0))
            return a, now, (z * now - roots[k + j] * before) / roots[k + j + 1]

        a, before, now = jax.lax.fori_loop(
            0, STEP, degree, (jnp.zeros((STEP, *var.shape), var.dtype), before, now)
        )
        last = jnp.sum(a**2, axis=0)
        return k + STEP, jax.lax.dynamic_update_slice_in_dim(table, a, k, 0), before, now, rest - last, last

    table = jnp.zeros((DEGREES, *var.shape), var.dtype)
    start = (jnp.zeros((), jnp.int32), table, jnp.zeros_like(z), jnp.ones_like(z), second, second)
    used, table, _, _, rest, last = jax.lax.while_loop(left, block, start)
    # Where the difference is rounding, the size of the last coefficients says what is left.
    return table, second, jnp.where(rest > 64 * eps * second, rest, STEP * last), used


def mehler(first: Series, second: Series, correlation: Float[Array, "..."]) -> Float[Array, "..."]:
    """Σ_k a_k b_k cᵏ, by Horner's rule from the highest degree used; a block of degrees at a time."""
    blocks = jnp.minimum(first.used, second.used) // STEP

    def block(i: Array, total: Array) -> Array:
        start = (blocks - 1 - i) * STEP
        a = jax.lax.dynamic_slice_in_dim(first.coefficients, start, STEP, 0)
        b = jax.lax.dynamic_slice_in_dim(second.coefficients, start, STEP, 0)
        for j in reversed(range(STEP)):
            total = total * correlation + a[j] * b[j]
        return total

    shape = jnp.broadcast_shapes(first.second.shape, second.second.shape, correlation.shape)
    return jax.lax.fori_loop(0, blocks, block, jnp.zeros(shape, correlation.dtype))


def cut_bound(first: Series, second: Series, correlation: Array) -> Array:
    """An upper bound of what `mehler` leaves out."""
    degrees = jnp.minimum(first.used, second.used)
    return jnp.abs(correlation) ** degrees * jnp.sqrt(first.rest) * jnp.sqrt(second.rest)
