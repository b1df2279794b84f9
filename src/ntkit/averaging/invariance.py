"""Whether transformations are a group, and a kernel invariant under it: looked at on a few examples."""

from collections.abc import Sequence

import numpy as np

from ntkit.averaging.transformations import Transformation, transformed
from ntkit.errors import InputError
from ntkit.kernel_fn import KernelFn

_LOOKED_AT = 4  # transformations, evenly among all


def check_group(group: Sequence[Transformation], x: np.ndarray) -> None:
    """Raise `InputError` unless transformations lead from what they make of an example to the same images."""
    orbit = np.concatenate([transformed(g, x[:1]) for g in group])
    seen = _as_set(orbit)
    for g in _some(group):
        if _as_set(transformed(g, orbit)) != seen:
            raise InputError(
                f"averaged: the transformations are no group: {g.name!r} after others makes images that none makes alone. "
                "Leave invariant=False, or give all of a group, such as flips() or cyclic_translations(height, width)"
            )


def check_invariant(kernel: KernelFn, group: Sequence[Transformation], x: np.ndarray) -> None:
    """Raise `InputError` unless K(g x, g x') = K(x, x') to rounding."""
    some, rows = _some(group), x[:2]
    n = len(rows)
    pair = kernel(np.concatenate([rows, *(transformed(g, rows) for g in some)]))
    for name, k in zip(pair._fields, map(np.asarray, pair), strict=True):
        allowed = 4 * np.finfo(k.dtype).eps ** 0.5 * np.abs(k).max()
        for i, g in enumerate(some, start=1):
            off = np.abs(k[i * n : (i + 1) * n, i * n : (i + 1) * n] - k[:n, :n]).max()
            if off > allowed:
                raise InputError(
                    f"averaged: the {name} is not invariant under {g.name!r}: K(g x, g x') differs from K(x, x') by {off:.3g}. "
                    "Leave invariant=False (paddings and strides break the symmetry of a convolutional network; "
                    'padding="CIRCULAR" keeps translations)'
                )


def _some(group: Sequence[Transformation]) -> list[Transformation]:
    places = np.linspace(0, len(group) - 1, min(len(group), _LOOKED_AT)).astype(int)
    return [group[i] for i in places]


def _as_set(images: np.ndarray) -> set[bytes]:
    # Adding zero makes -0.0 what it is equal to.
    return {np.ascontiguousarray(image + 0.0).tobytes() for image in images}
