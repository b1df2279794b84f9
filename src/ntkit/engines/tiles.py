"""Both kernels of two batches by one engine, in tiles of bounded memory."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkit.engines import reference
from ntkit.engines.fused.compile import BeyondEngine
from ntkit.errors import InputError
from ntkit.layer import Layer

Pairs = Callable[..., tuple[Any, Any, bool]]  # what computes a tile, and whether it is finite
Cut = Callable[[np.ndarray, int, int], np.ndarray]  # what takes its rows

# Working arrays beyond this are slower an entry: fresh pages for large arrays took half of the time (21 layers, 32×32
# images: 0.39 s of processor time an entry in tiles of one pair, 72 MiB, and 0.65 s in tiles of four).
FASTEST = 108 * 2**20


def by_reference(net: Layer, x1: np.ndarray, x2: np.ndarray, *, memory: int, **how: bool) -> tuple[Any, ...]:
    """Both kernels by the reference engine, and whether they are finite; tiles of one shape, so that one program serves all."""
    per_pair = reference.bytes_per_pair(net, x1.shape[1:], x1.dtype.itemsize)
    side = tile_side(max(len(x1), len(x2)), per_pair, memory, fastest(memory), power=2)

    def pairs(a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, tangent: bool):
        both = reference.pairs(net, a, b, rows, columns, tangent=tangent)
        own = np.array_equal(rows, columns)
        found = [None if k is None else symmetrised(np.asarray(k)) if own else np.asarray(k) for k in both]
        return *found, all(np.isfinite(k).all() for k in found if k is not None)

    with jax.enable_x64(x1.dtype == np.float64):
        return _in_tiles(pairs, x1, x2, side, cut=_filled_up, **how)


def by_fused(
    net: Layer,
    x1: np.ndarray,
    x2: np.ndarray,
    threads: int | None,
    *,
    or_none: bool,
    memory: int,
    **how: bool,
) -> tuple[Any, ...] | None:
    """The same by the fused engine, imported with Numba when it is first asked for.

    Whether it can may depend on the variances of the data; then the answer is an error, or with `or_none` None.
    """
    from ntkit.engines.fused.tile import Engine

    try:
        engine = Engine(net, x1.shape[1:], threads)
        per_example = 2 * engine.bytes_per_example()
        side = tile_side(max(len(x1), len(x2)), per_example, memory, memory, power=1)
        return _in_tiles(engine.pairs, x1, x2, side, cut=_part, **how)
    except BeyondEngine:
        if or_none:
            return None
        raise


def fastest(memory: int) -> int:
    """Bytes of working arrays that are fastest an entry: a few on a CPU, all of them where each launch costs."""
    return FASTEST if jax.default_backend() == "cpu" else memory


def tile_side(n: int, bytes_per_pair: int, memory: int, enough: int, *, power: int) -> int:
    """Rows (and columns, with power 2) of a tile that fits into `memory` bytes, of which it takes no more than `enough`."""
    if bytes_per_pair > memory:
        raise InputError(
            f"one pair of examples takes about {bytes_per_pair / 2**20:.0f} MiB, more than memory={memory / 2**20:.0f} MiB; "
            "give more memory, or smaller images"
        )
    fits = max(1, int((min(memory, enough) / bytes_per_pair) ** (1 / power)))
    return math.ceil(n / math.ceil(n / fits))


def numbers_of(rows: range, columns: range, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the examples; those of two batches never agree."""
    return np.asarray(rows), np.asarray(columns) if symmetric else -1 - np.asarray(columns)


def symmetrised(k: Any) -> Any:
    """(K + Kᵀ)/2, positions exchanged with examples."""
    return (k + k.transpose(1, 0, *((3, 2) if k.ndim == 4 else ()))) / 2


def _in_tiles(
    pairs: Pairs, x1: np.ndarray, x2: np.ndarray, side: int, *, cut: Cut, symmetric: bool, tangent: bool
) -> tuple[Any, ...]:
    """Both kernels tile by tile, of a symmetric one the tiles above the diagonal, mirrored; and whether all is finite."""
    results: list[Any] = [None, None]
    finite = True
    rows, columns = min(side, len(x1)), min(side, len(x2))
    for i in range(0, len(x1), rows):
        for j in range(i if symmetric else 0, len(x2), columns):
            a, b = cut(x1, i, rows), cut(x2, j, columns)
            numbers = numbers_of(range(i, i + len(a)), range(j, j + len(b)), symmetric)
            *both, one_finite = pairs(a, b, *numbers, tangent=tangent)
            finite = finite and one_finite
            for k, computed in enumerate(both):
                if computed is not None:
                    values = computed[: len(x1) - i, : len(x2) - j]
                    results[k] = _place(results[k], values, i, j, (len(x1), len(x2)), symmetric)
    return *results, finite


def _place(
    result: np.ndarray | None, values: np.ndarray, i: int, j: int, shape: tuple[int, int], symmetric: bool
) -> np.ndarray:
    """A tile in its place; a tile that is all, as it is."""
    if values.shape[:2] == shape:
        return values
    if result is None:
        result = np.empty((*shape, *values.shape[2:]), values.dtype)
    result[i : i + len(values), j : j + values.shape[1]] = values
    if symmetric and i != j:
        mirrored = values.transpose(1, 0, *((3, 2) if values.ndim == 4 else ()))
        result[j : j + len(mirrored), i : i + mirrored.shape[1]] = mirrored
    return result


def _part(x: np.ndarray, start: int, count: int) -> np.ndarray:
    """Rows start … start + count, fewer at the end."""
    return x[start : start + count]


def _filled_up(x: np.ndarray, start: int, count: int) -> np.ndarray:
    """The same, the last row repeated beyond the end, so that every tile has one shape."""
    part = _part(x, start, count)
    if len(part) == count:
        return part
    return np.concatenate([part, np.repeat(x[-1:], count - len(part), axis=0)])
