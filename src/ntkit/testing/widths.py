"""Networks of other widths: the same architecture, every field that counts channels multiplied."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ntkit.layer import Layer

# Fields that count channels.
WIDTHS = ("width", "key_width", "value_width")


def widened(layer: Layer, factor: int) -> Layer:
    """The same layer, the width of every layer inside multiplied by `factor`.

    Args:
        layer: A layer or network; fields called `width`, `key_width` or `value_width` count, at any depth of nesting.
        factor: ≥ 1.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.testing import widened
        >>> widened(nk.Dense(4) >> nk.Relu() >> nk.Dense(2), 8).layers[2].width
        16
    """
    changes = {}
    for field in dataclasses.fields(layer):
        old = getattr(layer, field.name)
        new = old * factor if field.name in WIDTHS else _inside(old, lambda child: widened(child, factor))
        if new is not old:
            changes[field.name] = new
    return dataclasses.replace(layer, **changes) if changes else layer


def count_weights(layer: Layer) -> int:
    """How many layers with weights there are, those of a `Repeat` as often as it repeats them.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.testing import count_weights
        >>> count_weights(nk.Dense(4) >> nk.Repeat(nk.Relu() >> nk.Dense(4), 5))
        6
    """
    found = 0

    def add(child: Layer) -> Layer:
        nonlocal found
        found += count_weights(child)
        return child

    for field in dataclasses.fields(layer):
        _inside(getattr(layer, field.name), add)
    return (found + hasattr(layer, "width")) * getattr(layer, "times", 1)


def _inside(value: Any, f: Callable[[Layer], Layer]) -> Any:
    """Apply f to a layer, or to each layer of a tuple; the same object where nothing changes."""
    if isinstance(value, Layer):
        return f(value)
    if isinstance(value, tuple) and value and all(isinstance(v, Layer) for v in value):
        new = tuple(map(f, value))
        return value if all(a is b for a, b in zip(new, value, strict=True)) else new
    return value
