"""Transformations of images, (n, height, width, channels): flips, translations, and all combinations of them."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkit.arrays import check_whole
from ntkit.errors import InputError

_PADDINGS = ("CIRCULAR", "SAME")


@dataclasses.dataclass(frozen=True)
class Transformation:
    """A map of examples to examples.

    Args:
        name: What tells it from others, in messages and in fingerprints of kernels.
        apply: A batch (n, …) to one of the same shape, each example by itself.

    Example:
        >>> import numpy as np
        >>> from ntkit.averaging import Transformation
        >>> Transformation("negative", lambda x: -x).apply(np.ones((1, 2))).tolist()
        [[-1.0, -1.0]]
    """

    name: str
    apply: Callable[[Any], Any]


def _same(x: Any) -> Any:
    return x


IDENTITY = Transformation("identity", _same)

Transformations = tuple[Transformation, ...]


def flips(*, vertical: bool = False) -> Transformations:
    """The identity and the reflection left to right; with `vertical` also top to bottom, and both. A group.

    Args:
        vertical: Whether images are turned upside down too.

    Example:
        >>> import numpy as np
        >>> from ntkit.averaging import flips
        >>> image = np.arange(3.0).reshape(1, 1, 3, 1)
        >>> [flip.apply(image).ravel().tolist() for flip in flips()]
        [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]
    """
    horizontal = (IDENTITY, Transformation("flip left to right", functools.partial(_flip, axis=2)))
    if not vertical:
        return horizontal
    return combined(
        (IDENTITY, Transformation("flip top to bottom", functools.partial(_flip, axis=1))), horizontal
    )


def translations(reach: int, padding: str = "CIRCULAR") -> Transformations:
    """All shifts by at most `reach` pixels along each side: (2·reach + 1)² of them.

    Not a group: two shifts by `reach` are one by 2·reach. (`cyclic_translations` is one.)

    Args:
        reach: Pixels, ≥ 0.
        padding: What comes in at the edge: "CIRCULAR", what left at the other one, or "SAME", zeros.

    Raises:
        InputError: `reach` is no whole number, `padding` is something else; by a shift, images have no sides, or a shift with
            zeros is longer than a side.

    Example:
        >>> import numpy as np
        >>> from ntkit.averaging import translations
        >>> image = np.arange(3.0).reshape(1, 3, 1, 1)
        >>> len(translations(1)), translations(1, "SAME")[1].apply(image).ravel().tolist()
        (9, [1.0, 2.0, 0.0])

    References:
        Li et al. (2019), "Enhanced Convolutional Neural Tangent Kernels", section 4 (translations as augmentation).
    """
    reach = check_whole("translations: reach", reach, 0)
    if padding not in _PADDINGS:
        raise InputError(f"translations: padding must be one of {', '.join(_PADDINGS)}, found {padding!r}")
    return tuple(
        _shift(down, right, padding) for down, right in itertools.product(range(-reach, reach + 1), repeat=2)
    )


def cyclic_translations(height: int, width: int) -> Transformations:
    """All height · width shifts of an image round the grid. A group.

    Args:
        height: Of the images, ≥ 1.
        width: Of the images, ≥ 1.

    Raises:
        InputError: One is no whole number of at least 1.

    Example:
        >>> from ntkit.averaging import cyclic_translations
        >>> len(cyclic_translations(4, 3))
        12
    """
    height = check_whole("cyclic_translations: height", height, 1)
    width = check_whole("cyclic_translations: width", width, 1)
    return tuple(_shift(down, right, "CIRCULAR") for down in range(height) for right in range(width))


def combined(first: Sequence[Transformation], second: Sequence[Transformation]) -> Transformations:
    """Every transformation of `first`, and every one of `second` after it.

    Args:
        first: Some transformations.
        second: Others.

    Example:
        >>> from ntkit.averaging import combined, cyclic_translations, flips
        >>> len(combined(flips(), cyclic_translations(4, 4)))
        32
    """
    return tuple(_then(a, b) for a in first for b in second)


def transformed(g: Transformation, x: Any) -> Any:
    """What a transformation makes of a batch, checked.

    Raises:
        InputError: It is shaped otherwise.
    """
    y = g.apply(x)
    if np.shape(y) != np.shape(x):
        raise InputError(
            f"the transformation {g.name!r} makes {np.shape(y)} of a batch {np.shape(x)}; keep the shape"
        )
    return y


def _then(a: Transformation, b: Transformation) -> Transformation:
    if IDENTITY in (a, b):
        return b if a == IDENTITY else a
    return Transformation(f"{a.name}, {b.name}", lambda x: b.apply(a.apply(x)))


def _shift(down: int, right: int, padding: str) -> Transformation:
    if down == right == 0:
        return IDENTITY
    how = functools.partial(_shifted, down=down, right=right, padding=padding)
    return Transformation(f"shift {padding} by ({down}, {right})", how)


def _flip(x: Any, axis: int) -> Any:
    _check_images(x)
    return x[:, ::-1] if axis == 1 else x[:, :, ::-1]


def _shifted(x: Any, down: int, right: int, padding: str) -> Any:
    _check_images(x)
    numpy: Any = jnp if isinstance(x, jax.Array) else np
    if padding == "CIRCULAR":
        return numpy.roll(x, (down, right), (1, 2))
    height, width = x.shape[1:3]
    if abs(down) >= height or abs(right) >= width:
        raise InputError(
            f"translations: a shift by ({down}, {right}) leaves nothing of images of {height} by {width}; use a smaller reach"
        )
    wide = numpy.pad(x, ((0, 0), (abs(down),) * 2, (abs(right),) * 2, (0, 0)))
    top, left = abs(down) - down, abs(right) - right
    return wide[:, top : top + height, left : left + width]


def _check_images(x: Any) -> None:
    if np.ndim(x) != 4:
        raise InputError(
            f"flips and translations are of images, (n, height, width, channels); found shape {np.shape(x)}"
        )
