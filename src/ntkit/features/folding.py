"""`folded`: many features folded into fewer by random signs, inner products kept on average."""

import zlib
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.features.draws import Draws
from ntkit.moments import grid


def folded(parts: Sequence[Array], dimension: int, draws: Draws, name: str) -> Array:
    """Features side by side, (…, k₁), (…, k₂), … → (…, ≤ dimension).

    Where they are more than `dimension`, the parts are laid over the first, each with random signs and turned by another
    number of places: a count sketch whose hash is a bijection on every part, so that it moves whole rows of memory, and
    entries of one part never meet.

    References:
        Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", 2002, section 3.
    """
    if sum(p.shape[-1] for p in parts) <= dimension:
        return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    first, *others = parts
    if first.shape[-1] > dimension:
        first = _wrapped(first * draws.signs(f"{name}.0", (first.shape[-1],)), dimension)
    # The first part needs neither: products of two parts vanish by the signs of the other one.
    terms = [_filled(first, dimension)]
    for number, part in enumerate(others, 1):
        signed = part * draws.signs(f"{name}.{number}", (part.shape[-1],))
        shift = _shift(f"{name}.{number}", dimension)
        terms.append(jnp.roll(_filled(_wrapped(signed, dimension), dimension), shift, axis=-1))
    return grid.settled(grid.sum_of_list(terms))


def doubled(part: Array) -> Array:
    """(…, k, k): every turned form of it is a slice."""
    return grid.settled(jnp.concatenate([part, part], axis=-1))


def folded_taps(parts: Sequence[Array], draws: Draws, name: str) -> Array:
    """As `folded` into as many as each part has, of doubled parts: one pass over memory, where turning takes several."""
    size = parts[0].shape[-1] // 2
    terms = []
    for number, part in enumerate(parts):
        shift = _shift(f"{name}.{number}", size)
        terms.append(part[..., shift : shift + size] * draws.signs(f"{name}.{number}", (size,)))
    return grid.settled(grid.sum_of_list(terms))


def _shift(name: str, below: int) -> int:
    return zlib.crc32(name.encode()) % below


def _wrapped(part: Array, dimension: int) -> Array:
    """Entry i is added to entry i mod (dimension − 1) of the result, if there are more than `dimension`.

    Entries at a distance that divides the dimension, such as one channel at two positions, vary together, and would meet
    often modulo the dimension itself.
    """
    size = part.shape[-1]
    if size <= dimension:
        return part
    round_trip = max(1, dimension - 1)
    part = _filled(part, -(-size // round_trip) * round_trip)
    return part.reshape(*part.shape[:-1], -1, round_trip).sum(axis=-2)


def _filled(part: Array, size: int) -> Array:
    """Zeros appended."""
    return jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, size - part.shape[-1])])
