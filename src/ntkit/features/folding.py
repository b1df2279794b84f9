"""`folded`: many features folded into fewer by random signs, inner products kept on average."""

import zlib
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.features.draws import Draws


def folded(parts: Sequence[Array], dimension: int, draws: Draws, name: str) -> Array:
    """Features side by side, (…, k₁), (…, k₂), … → (…, ≤ dimension).

    Where they are more than `dimension`, the parts are laid over each other, each with random signs and turned by another
    number of places: a count sketch whose hash is a bijection on every part, so that it moves whole rows of memory, and
    entries of one part never meet.

    References:
        Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", 2002, section 3.
    """
    if sum(p.shape[-1] for p in parts) <= dimension:
        return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
    total = None
    for number, part in enumerate(parts):
        signed = part * draws.signs(f"{name}.{number}", (part.shape[-1],))
        turned = _turned(
            _wrapped(signed, dimension), dimension, zlib.crc32(f"{name}.{number}".encode()) % dimension
        )
        total = turned if total is None else total + turned
    assert total is not None
    return total


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


def _turned(part: Array, dimension: int, shift: int) -> Array:
    """Filled up with zeros and turned round."""
    return jnp.roll(_filled(part, dimension), shift, axis=-1) if shift else _filled(part, dimension)


def _filled(part: Array, size: int) -> Array:
    """Zeros appended."""
    return jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, size - part.shape[-1])])
