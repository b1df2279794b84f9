"""Arrays over the positions of a grid: one axis a dimension (p = p'), or two adjacent ones (all pairs of positions).

Every array begins with `lead` axes for examples: two for pairs of examples, one for examples with themselves. Adjacent
axes (y, y', x, x') make a window sum a sum of slices along neighbouring axes, which XLA turns into contiguous passes.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.errors import InputError


class Window(NamedTuple):
    """A sliding window along one dimension of the grid."""

    size: int
    stride: int
    padding: str
    dilation: int

    @property
    def reach(self) -> int:
        """How many positions the window spans."""
        return (self.size - 1) * self.dilation + 1

    def output(self, extent: int, who: str) -> int:
        """How many windows fit `extent` positions.

        Raises:
            InputError: None does.
        """
        if self.padding != "VALID":
            return -(-extent // self.stride)
        if extent < self.reach:
            raise InputError(
                f"{who}: a window over {self.reach} positions does not fit into {extent}; "
                "use padding='SAME', a smaller window, or larger images"
            )
        return (extent - self.reach) // self.stride + 1

    def pads(self, extent: int, who: str) -> tuple[int, int]:
        """How many positions are added below and above."""
        if self.padding == "VALID":
            return 0, 0
        total = max((self.output(extent, who) - 1) * self.stride + self.reach - extent, 0)
        return total // 2, total - total // 2


def axes_of(dimension: int, lead: int, paired: bool) -> tuple[int, ...]:
    """The array axes of one dimension of the grid."""
    return (lead + 2 * dimension, lead + 2 * dimension + 1) if paired else (lead + dimension,)


def pad(array: Array, axes: tuple[int, ...], window: Window, who: str) -> Array:
    """Extend the given axes as a window asks, with zeros (SAME) or round the grid (CIRCULAR)."""
    low, high = window.pads(array.shape[axes[0]], who)
    if low == high == 0:
        return array
    widths = [(low, high) if axis in axes else (0, 0) for axis in range(array.ndim)]
    return jnp.pad(array, widths, mode="wrap" if window.padding == "CIRCULAR" else "constant")


def _taps(padded: Array, axes: tuple[int, ...], window: Window, count: int) -> list[Array]:
    """What a window reads that moves along all the given axes of a padded array together, tap by tap."""

    def tap(t: int) -> Array:
        start = t * window.dilation
        cut = slice(start, start + (count - 1) * window.stride + 1, window.stride)
        return padded[tuple(cut if axis in axes else slice(None) for axis in range(padded.ndim))]

    return [tap(t) for t in range(window.size)]


def tap_sum(padded: Array, axes: tuple[int, ...], window: Window, count: int) -> Array:
    """Sum over the taps of a window that moves along all the given axes of a padded array together."""
    return sum_of_list(_taps(padded, axes, window, count))


def window_sum(array: Array, axes: tuple[int, ...], window: Window, who: str) -> Array:
    """Sum over the taps of a window that moves along all the given axes together, padding included."""
    return tap_sum(pad(array, axes, window, who), axes, window, window.output(array.shape[axes[0]], who))


def window_max(array: Array, axis: int, window: Window, who: str) -> Array:
    """The largest over the taps of a window that moves along one axis; padding with zeros becomes none."""
    low, high = window.pads(array.shape[axis], who)
    widths = [(low, high) if a == axis else (0, 0) for a in range(array.ndim)]
    if window.padding == "CIRCULAR":
        padded = pad(array, (axis,), window, who)
    else:
        padded = jnp.pad(array, widths, constant_values=-jnp.inf)
    return functools.reduce(
        jnp.maximum, _taps(padded, (axis,), window, window.output(array.shape[axis], who))
    )


def pad_positions(array: Array, windows: list[Window], lead: int, paired: bool, who: str) -> Array:
    """Extend every dimension of the grid as its window asks."""
    for d, window in enumerate(windows):
        array = pad(array, axes_of(d, lead, paired), window, who)
    return array


def slide(padded: Array, windows: list[Window], counts: tuple[int, ...], lead: int, paired: bool) -> Array:
    """Sum over the taps of windows, one dimension after another; one pass over memory each."""
    for d, (window, count) in enumerate(zip(windows, counts, strict=True)):
        padded = tap_sum(settled(padded), axes_of(d, lead, paired), window, count)
    return padded


def settled(array: Array) -> Array:
    """The same array, to be computed once: XLA shall not fold its arithmetic into everything that reads it.

    On CPUs it fuses cheap elementwise producers into all of their consumers, so that work and compilation grow
    exponentially with depth, and shifted reads of a padded array become bounds checks. A division counts as dear and
    is not repeated; the barrier hides that it divides by one. Measured: 12 layers compile in 2.7 s, not 19; a 3×3 sum
    over all pairs of 32×32 positions takes 1.0 ms of processor time, not 2.9.
    """
    return array / jax.lax.optimization_barrier(jnp.ones((), array.dtype))


def sum_of_list(arrays: list[Array]) -> Array:
    """The sum of arrays, without a leading zero."""
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total


def diagonal(array: Array, lead: int) -> Array:
    """All pairs of positions → each position with itself."""
    dimensions = (array.ndim - lead) // 2
    for d in range(dimensions):
        array = jnp.moveaxis(jnp.diagonal(array, axis1=lead + d, axis2=lead + d + 1), -1, lead + d)
    return array


def along(array: Array, side: int, lead: int, paired: bool, trailing: int = 0) -> Array:
    """An array (examples, *positions) of one batch, shaped to broadcast over a block.

    Args:
        array: One value for each example and position.
        side: 0 for the rows (first of each pair of axes), 1 for the columns.
        lead: 2 for a block over pairs of examples, 1 for one over examples with themselves.
        paired: Whether the block knows all pairs of positions.
        trailing: How many axes of the array stand behind the positions (channels).
    """
    axes: list[int] = []
    if lead == 2:
        axes.append(1 - side)
    if paired:
        axes.extend(lead + 2 * d + (1 - side) for d in range(array.ndim - 1 - trailing))
    return jnp.expand_dims(array, axes)


def same_position(shape: tuple[int, ...]) -> np.ndarray:
    """(y, y', x, x', …): whether p = p'."""
    mask = np.ones((1,) * (2 * len(shape)), dtype=bool)
    for d, extent in enumerate(shape):
        eye = np.eye(extent, dtype=bool)
        mask = mask & np.expand_dims(eye, tuple(a for a in range(2 * len(shape)) if a // 2 != d))
    return mask


def map_axes(
    array: Array, lead: int, op: Callable[[Array, int, int], Array], *, paired: bool = True
) -> Array:
    """Apply a linear map of each dimension, `op(array, axis, dimension)`, to every axis of the positions."""
    per_dimension = 2 if paired else 1
    for axis in range(lead, array.ndim):
        array = op(array, axis, (axis - lead) // per_dimension)
    return array


def as_matrix(array: Array, lead: int) -> Array:
    """(…, y, y', x, x') → (…, positions, positions)."""
    dimensions = (array.ndim - lead) // 2
    rows = tuple(range(lead, array.ndim, 2))
    columns = tuple(range(lead + 1, array.ndim, 2))
    positions = math.prod(array.shape[a] for a in rows)
    moved = jnp.transpose(array, (*range(lead), *rows, *columns))
    return moved.reshape(*array.shape[:lead], positions, positions) if dimensions else array


def from_matrix(array: Array, lead: int, shape: tuple[int, ...]) -> Array:
    """(…, positions, positions) → (…, y, y', x, x'), for a grid of this shape."""
    d = len(shape)
    split = array.reshape(*array.shape[:lead], *shape, *shape)
    axes = [lead + k + side * d for k in range(d) for side in (0, 1)]
    return jnp.transpose(split, (*range(lead), *axes))
