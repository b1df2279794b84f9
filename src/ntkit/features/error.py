"""`error_by_dimension`: how far the kernels of sketches are from the exact ones."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from ntkit.errors import InputError
from ntkit.features.sketch import sketch
from ntkit.kernels import kernel
from ntkit.layer import Layer


class SketchError(NamedTuple):
    """Relative errors ‖K̂ − K‖/‖K‖ of sketches.

    Attributes:
        dimensions: (k,)
        nngp: (k, seeds)
        ntk: (k, seeds)
    """

    dimensions: Int64[np.ndarray, " k"]
    nngp: Float64[np.ndarray, "k seeds"]
    ntk: Float64[np.ndarray, "k seeds"]


def error_by_dimension(
    net: Layer, x: Any, dimensions: Sequence[int], *, width: int | None = None, seeds: int = 3
) -> SketchError:
    r"""Sketches of several dimensions beside the exact kernels of a few examples: which dimension is enough?

    Args:
        net: The network.
        x: (n, …) a few examples, such as 200 rows of the data.
        dimensions: At least one.
        width: As that of `sketch`; None for half of each dimension.
        seeds: Sketches of each dimension, at least 1.

    Raises:
        InputError: There is no dimension or no seed, or what `sketch` refuses.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x = np.random.default_rng(0).normal(size=(30, 4))
        >>> found = nk.features.error_by_dimension(nk.Dense(1) >> nk.Relu() >> nk.Dense(1), x, [64, 4096])
        >>> bool(found.ntk[1].mean() < found.ntk[0].mean())
        True
    """
    if len(dimensions) == 0 or seeds < 1:
        raise InputError(
            f"dimensions is {list(dimensions)} and seeds is {seeds}; expected at least one of each."
        )
    exact = kernel(net, x)
    errors = np.empty((2, len(dimensions), seeds))
    for i, dimension in enumerate(dimensions):
        first = sketch(net, np.shape(x)[1:], dimension, width=width)
        for seed in range(seeds):
            found = first.reseeded(seed)(x)
            errors[:, i, seed] = [_relative(a, b) for a, b in zip(found, exact, strict=True)]
    return SketchError(np.array(dimensions), *errors)


def _relative(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found.astype(float) - exact) / np.linalg.norm(exact))
