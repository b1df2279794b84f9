"""`Draws`: the random matrices of a sketch, asked for by name on a first passage and read on all others."""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Draws:
    """Names and shapes of random arrays; without values, it notes what it is asked for.

    Args:
        values: By name, where they have been drawn.
    """

    def __init__(self, values: dict[str, Array] | None = None):
        self.values = values
        self.asked: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.largest = 0

    def normal(self, name: str, shape: tuple[int, ...]) -> Array:
        """Independent N(0, 1)."""
        return self._value(name, "normal", shape)

    def signs(self, name: str, shape: tuple[int, ...]) -> Array:
        """Independent ±1."""
        return self._value(name, "signs", shape)

    def note(self, array: Array) -> Array:
        """The same array; its size counts towards what one example takes."""
        self.largest = max(self.largest, math.prod(array.shape))
        return array

    def drawn(self, seed: int) -> dict[str, np.ndarray]:
        """All arrays that were asked for, each by the seed, its name and its shape alone; float32, signs as bytes."""
        return {name: _draw(name, kind, shape, seed) for name, (kind, shape) in self.asked.items()}

    def _value(self, name: str, kind: str, shape: tuple[int, ...]) -> Array:
        if self.values is not None:
            return self.values[name]
        self.asked[name] = kind, shape
        return jnp.zeros(shape, jnp.float32)


def _draw(name: str, kind: str, shape: tuple[int, ...], seed: int) -> Any:
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    if kind == "signs":
        return np.asarray(jax.random.rademacher(key, shape, np.int8))
    return np.asarray(jax.random.normal(key, shape, np.float32))
