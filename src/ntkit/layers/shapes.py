"""The shape of one example, read as positions and channels."""

from ntkit.errors import InputError
from ntkit.layer import Shape


def channels_of(shape: Shape, who: str) -> int:
    """The last extent of an example's shape, or `InputError`."""
    if not isinstance(shape, tuple | list) or any(n is not None and n < 1 for n in shape):
        raise InputError(
            f"{who}: the shape of one example is a tuple such as (8,) or (32, 32, 3), found {shape!r}"
        )
    if not shape or shape[-1] is None:
        raise InputError(
            f"{who}: needs examples shaped (…, channels) with a known number of channels, found {shape}"
        )
    return shape[-1]


def positions_of(shape: Shape, who: str) -> tuple[int, ...]:
    """All extents of an example's shape but the last, or `InputError` where one is not known."""
    positions = tuple(n for n in shape[:-1] if n is not None)
    if len(positions) != len(shape) - 1:
        raise InputError(
            f"{who}: needs examples of one size, (…, channels); the shape {shape} leaves an extent open"
        )
    return positions
