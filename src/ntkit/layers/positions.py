"""Layers that read, move or end positions without weights."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import Layer, Params, Shape
from ntkit.layers.shapes import channels_of, positions_of
from ntkit.moments import Moments, Need
from ntkit.moments.places import check_positions


class Flatten(Layer):
    """Positions become channels: K ← (1/P) Σ_p K[p, p], T likewise.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.Flatten() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 4, 4, 3))).nngp.shape
        (2, 2)
    """

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels = channels_of(shape, "Flatten")
        return (), (math.prod(positions_of(shape, "Flatten")) * channels,)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return x.reshape(x.shape[0], -1)

    def propagate(self, m: Moments) -> Moments:
        return m.flatten("Flatten")

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_diagonal()


def _as_index(value: Any) -> Any:
    """Normalise an index: one entry a dimension, slices as (start, stop, step)."""
    entries = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(
        (e.start, e.stop, e.step) if isinstance(e, slice) else tuple(e) if isinstance(e, list) else e
        for e in entries
    )


class Index(Layer):
    """Read some positions: x[:, index] with NumPy's meaning of integers and slices.

    Args:
        index: One entry for each leading dimension of positions: an integer, which ends the dimension, or a slice, also
            written (start, stop, step).

    Raises:
        InputError: An entry is neither, or lies outside of the positions.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.Index(0) >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 5, 3))).nngp.shape
        (2, 2)
    """

    index: tuple = eqx.field(static=True, converter=_as_index)

    def __check_init__(self):
        """Check the entries."""
        for entry in self.index:
            whole = isinstance(entry, int) and not isinstance(entry, bool)
            triple = (
                isinstance(entry, tuple)
                and len(entry) == 3
                and all(e is None or isinstance(e, int) for e in entry)
            )
            if not (whole or triple):
                raise InputError(
                    f"Index: entries must be integers or slices (start, stop, step), found {entry!r}"
                )

    def _resolve(self, positions: tuple[int, ...]) -> tuple[list[range], list[int]]:
        """Which positions are read along each dimension, and which dimensions stay."""
        check_positions(positions, "Index")
        if len(self.index) > len(positions):
            raise InputError(
                f"Index: {len(self.index)} entries for {len(positions)} dimensions of positions {positions}"
            )
        ranges, kept = [], []
        for d, extent in enumerate(positions):
            entry = self.index[d] if d < len(self.index) else (None, None, None)
            if isinstance(entry, int):
                if not -extent <= entry < extent:
                    raise InputError(
                        f"Index: {entry} lies outside of the {extent} positions of dimension {d}"
                    )
                entry = entry % extent
                ranges.append(range(entry, entry + 1))
                continue
            ranges.append(range(*slice(*entry).indices(extent)))
            kept.append(d)
            if not ranges[-1]:
                raise InputError(f"Index: {entry} reads none of the {extent} positions of dimension {d}")
        return ranges, kept

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels = channels_of(shape, "Index")
        ranges, kept = self._resolve(positions_of(shape, "Index"))
        return (), (*(len(ranges[d]) for d in kept), channels)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        ranges, kept = self._resolve(x.shape[1:-1])
        for d, r in enumerate(ranges):
            x = jnp.take(x, jnp.asarray(list(r)), axis=1 + d)
        return jnp.squeeze(x, tuple(1 + d for d in range(len(ranges)) if d not in kept))

    def propagate(self, m: Moments) -> Moments:
        m.require_one_size("Index")
        ranges, kept = self._resolve(m.shape)
        indices = [jnp.asarray(list(r)) for r in ranges]
        return m.select(indices, tuple(len(ranges[d]) for d in kept), kept)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after


METHODS = ("nearest", "linear", "cubic", "lanczos3", "lanczos5")


class ImageResize(Layer):
    """Resample positions to another grid, a linear map R of each dimension: K ← R K R', T ← R T R'.

    Args:
        size: The new extents, one a dimension.
        method: How to interpolate, one of "nearest", "linear", "cubic", "lanczos3", "lanczos5".
        antialias: Whether to smooth before shrinking.

    Raises:
        InputError: A value is out of range, or the number of dimensions differs from that of the inputs.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.ImageResize((4, 4)) >> nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 8, 8, 3))).nngp.shape
        (2, 2)
    """

    size: tuple[int, ...] = eqx.field(static=True, converter=tuple)
    method: str = eqx.field(static=True, default="linear")
    antialias: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        """Check extents and the method's name."""
        if not self.size or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in self.size):
            raise InputError(f"ImageResize: size must be whole numbers of at least 1, found {self.size}")
        if self.method not in METHODS:
            raise InputError(
                f"ImageResize: method must be one of {', '.join(METHODS)}, found {self.method!r}"
            )

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(positions_of(shape, "ImageResize"), "ImageResize", len(self.size))
        return (), (*self.size, channels_of(shape, "ImageResize"))

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        check_positions(x.shape[1:-1], "ImageResize", len(self.size))
        return jax.image.resize(
            x, (x.shape[0], *self.size, x.shape[-1]), self.method, antialias=self.antialias
        )

    def propagate(self, m: Moments) -> Moments:
        m.require_positions("ImageResize", len(self.size))

        def resize(array: Array, axis: int, dimension: int) -> Array:
            shape = tuple(self.size[dimension] if a == axis else n for a, n in enumerate(array.shape))
            return jax.image.resize(array, shape, self.method, antialias=self.antialias)

        return m.mix(resize, self.size, "ImageResize")

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()
