"""Windows of a layer's fields over the positions of its inputs, shared by convolutions and pools."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import Shape, whole
from ntkit.layers.shapes import channels_of
from ntkit.moments import Window
from ntkit.moments.grid import pad_positions
from ntkit.moments.places import Places, check_positions

Extents = int | tuple[int, ...]

PADDINGS = ("SAME", "VALID", "CIRCULAR")
Padding = str | tuple[tuple[int, int], ...]


def as_extents(value: Any) -> Any:
    """One number for all dimensions, or a tuple with one each."""
    return tuple(value) if isinstance(value, list) else value


def as_padding(value: Any) -> Any:
    """A name, or tuples of Python's whole numbers."""
    return tuple(as_padding(v) for v in value) if isinstance(value, (tuple, list)) else whole(value)


def step_of(layer: Any, size: Extents) -> Extents:
    """The stride of a windowed layer; a pool's default is its window."""
    return size if layer.stride is None else layer.stride


def check_window(layer: Any, size: Extents) -> None:
    """Check the extents and the padding of a windowed layer."""
    name = type(layer).__name__
    stride, dilation = step_of(layer, size), getattr(layer, "dilation", 1)
    for what, extents in (("window", size), ("stride", stride), ("dilation", dilation)):
        numbers = extents if isinstance(extents, tuple) else (extents,)
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise InputError(f"{name}: {what} must be whole numbers of at least 1, found {extents!r}")
        if len(numbers) > 3:
            raise InputError(f"{name}: {what} has {len(numbers)} dimensions; at most 3 are supported")
    check_padding(layer, PADDINGS)
    given = {"window": size, "stride": stride, "dilation": dilation, "padding": layer.padding}
    lengths = {len(e) for e in given.values() if isinstance(e, tuple)}
    if len(lengths) > 1:
        raise InputError(f"{name}: {', '.join(f'{k} {v}' for k, v in given.items())} differ in dimensions")


def check_padding(layer: Any, names: tuple[str, ...]) -> None:
    """Check that the padding is a name, or one pair of whole numbers for each dimension."""
    pads = layer.padding
    if isinstance(pads, str) and pads in names:
        return
    if not isinstance(pads, tuple) or not pads or not all(map(_is_pair, pads)):
        raise InputError(
            f"{type(layer).__name__}: padding must be one of {', '.join(names)}, or how many zeros stand below and above, "
            f"one pair of whole numbers for each dimension such as ((1, 2), (0, 1)); found {pads!r}"
        )


def _is_pair(value: Any) -> bool:
    """Whether a value is (low, high), both of them at least 0."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)
    )


def windows_over(layer: Any, size: Extents, positions: tuple[int | None, ...]) -> list[Window]:
    """The windows of a layer over a grid, one a dimension.

    Raises:
        InputError: The grid has another number of dimensions, or a window does not fit.
    """
    windows = [Window(k, s, p, d) for k, s, p, d in by_dimension(layer, size, positions)]
    for window, extent in zip(windows, positions, strict=True):
        _outputs(window, extent, type(layer).__name__)
    return windows


def by_dimension(layer: Any, size: Extents, positions: tuple[int | None, ...]) -> list[tuple]:
    """Size, stride, padding and dilation of a layer along each dimension of a grid.

    Raises:
        InputError: The grid has another number of dimensions.
    """
    name = type(layer).__name__
    stride, dilation = step_of(layer, size), getattr(layer, "dilation", 1)
    pads = layer.padding
    fixed = next((len(e) for e in (size, stride, dilation, pads) if isinstance(e, tuple)), None)
    check_positions(positions, name, fixed)
    if len(positions) > 3:
        raise InputError(f"{name}: at most 3 dimensions of positions are supported, found {positions}")

    def each(extents: Any) -> tuple:
        return extents if isinstance(extents, tuple) else (extents,) * len(positions)

    return list(zip(each(size), each(stride), each(pads), each(dilation), strict=True))


def output_shape(layer: Any, size: Extents, shape: Shape) -> tuple[list[Window], tuple[int | None, ...]]:
    """The windows over one example's positions, and how many outputs they have along each dimension, None where open."""
    name = type(layer).__name__
    channels_of(shape, name)
    windows = windows_over(layer, size, shape[:-1])
    return windows, tuple(_outputs(w, n, name) for w, n in zip(windows, shape[:-1], strict=True))


def _outputs(window: Window, extent: int | None, who: str) -> int | None:
    return None if extent is None else window.output(extent, who)


def through_windows(
    layer: Any,
    x: Any,
    windows_of: Callable[[tuple[int, ...]], list[Window]],
    f: Callable[[Array, list[Window]], Array],
) -> Any:
    """What f makes of a batch and the windows over it; of a padded batch, the places behind the windows too."""
    if not isinstance(x, Padded):
        return f(x, windows_of(x.shape[1:-1]))
    windows = windows_of(x.values.shape[1:-1])
    values = f(x.masked(), windows)
    places = Places(x.mask, x.pattern).behind(windows[0], values.shape[1], type(layer).__name__)
    return Padded(values, places.mask, places.pattern)


def pad_batch(x: Array, windows: list[Window], who: str) -> Array:
    """Extend a batch (n, *positions, channels) as the windows ask."""
    return pad_positions(x, windows, 1, False, who)
