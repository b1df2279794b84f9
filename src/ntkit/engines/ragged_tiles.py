"""Both kernels of batches of graphs or sequences, by the reference engine in tiles of examples of like sizes."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ntkit.batches import Graphs, Padded, Ragged
from ntkit.engines import reference, tiles
from ntkit.engines.fused.compile import beyond_engine
from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.tape import NotOnTape

Group = tuple[int, np.ndarray]  # room for positions, and the examples that get it


def by_reference(
    net: Layer, x1: Ragged, x2: Ragged | None, *, dtype: np.dtype, memory: int, tangent: bool
) -> tuple[Any, Any, bool]:
    """Both kernels, None for an NTK that is not asked for, and whether they are finite.

    Examples are sorted into groups whose room for positions is a power of two, so that little is computed for padding and
    few programs are compiled; a kernel that fits into one tile is one tile.

    Raises:
        InputError: The network ends with nodes of several graphs.
    """
    symmetric, other = x2 is None, x1 if x2 is None else x2
    ends = _ends_with_positions(net, x1)
    _check_ends(ends, x1, other)
    results: list[Any] = [None, None]
    with jax.enable_x64(dtype == np.float64):
        for room, rows, columns in _tiles(net, x1, other, dtype.itemsize, memory, symmetric, one_room=ends):
            numbers = tiles.numbers_of(rows, columns, symmetric)  # type: ignore[arg-type]
            padded = _filled(x1, rows, room, dtype), _filled(other, columns, room, dtype)
            both = reference.pairs(
                net, *padded, *(_fill(n, p) for n, p in zip(numbers, padded, strict=True)), tangent=tangent
            )
            for k, found in enumerate(both):
                if found is not None:
                    values = np.asarray(found)[: len(rows), : len(columns)]
                    results[k] = _place(results[k], values, rows, columns, (len(x1), len(other)), symmetric)
    if symmetric:
        results = [None if k is None else tiles.symmetrised(k) for k in results]
    finite = all(np.isfinite(k).all() for k in results if k is not None)
    if ends and isinstance(x1, Graphs):
        results = [None if k is None else k[0, 0, : x1.sizes[0], : other.sizes[0]] for k in results]
    return results[0], results[1], finite


def by_fused(
    net: Layer, x1: Ragged, x2: Ragged | None, threads: int | None, *, or_none: bool, **how: Any
) -> tuple[Any, Any, bool] | None:
    """The same of graphs by their colours, imported with Numba when it is first asked for.

    Raises:
        BeyondEngine: There is no instruction for the network or for sequences, and `or_none` is false.
    """
    from ntkit.engines.colours.engine import by_colours

    other = x1 if x2 is None else x2
    try:
        if not isinstance(x1, Graphs) or not isinstance(other, Graphs):
            raise NotOnTape("sequences")
        _check_ends(_ends_with_positions(net, x1), x1, other)
        return by_colours(net, x1, x2, threads=threads, **how)  # type: ignore[arg-type]
    except NotOnTape as beyond:
        if or_none:
            return None
        raise beyond_engine(beyond) from None


def diagonal(net: Layer, x: Ragged, *, dtype: np.dtype, memory: int) -> tuple[np.ndarray, np.ndarray]:
    """Both kernels of every example with itself, (n,) each."""
    _check_ends(_ends_with_positions(net, x), x, x)
    found = np.zeros((2, len(x)), dtype)
    with jax.enable_x64(dtype == np.float64):
        for room, rows in _groups(x):
            per_row = reference.bytes_per_pair(net, (room, x.channels), dtype.itemsize)
            side = tiles.tile_side(len(rows), per_row, memory, tiles.fastest(memory), power=1)
            for part in (rows[i : i + side] for i in range(0, len(rows), side)):
                padded = x.take(part).padded(room, dtype)
                found[0, part], found[1, part] = reference.diagonal(net, padded, tangent=True)
    return found[0], found[1]


def check_sizes(net: Layer, x: Ragged, name: str) -> None:
    """Raise `InputError` where an example is too short for the network's windows, or the network does not take it at all."""
    row = int(np.argmin(x.sizes))
    shape = (int(x.sizes[row]), x.channels)
    try:
        jax.eval_shape(lambda key: net.init(key, shape)[0], jax.ShapeDtypeStruct((2,), np.uint32))
    except InputError as error:
        raise InputError(f"{name}: example {row}, the shortest, has {shape[0]} positions. {error}") from None


def room_of(x: Ragged) -> int:
    """Room for the positions of all examples."""
    return int(x.sizes.max())


def _groups(x: Ragged) -> list[Group]:
    """Examples by the power of two that their sizes are rounded up to."""
    rooms = 2 ** np.ceil(np.log2(np.maximum(x.sizes, 4))).astype(int)
    return [(int(room), np.flatnonzero(rooms == room)) for room in np.unique(rooms)]


def _tiles(
    net: Layer, x1: Ragged, x2: Ragged, itemsize: int, memory: int, symmetric: bool, *, one_room: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Room, rows and columns of each tile."""
    whole = max(room_of(x1), room_of(x2))
    most = len(x1) * len(x2) * reference.bytes_per_pair(net, (whole, x1.channels), itemsize)
    groups1, groups2 = _groups(x1), _groups(x2)
    if one_room or most <= min(memory, tiles.fastest(memory)):
        groups1, groups2 = [(whole, np.arange(len(x1)))], [(whole, np.arange(len(x2)))]
    for (i, (room1, rows)), (j, (room2, columns)) in itertools.product(
        enumerate(groups1), enumerate(groups2)
    ):
        if symmetric and j < i:
            continue
        room = max(room1, room2)
        per_pair = reference.bytes_per_pair(net, (room, x1.channels), itemsize)
        side = tiles.tile_side(max(len(rows), len(columns)), per_pair, memory, tiles.fastest(memory), power=2)
        for a in range(0, len(rows), side):
            for b in range(a if symmetric and i == j else 0, len(columns), side):
                yield room, rows[a : a + side], columns[b : b + side]


def _filled(x: Ragged, rows: np.ndarray, room: int, dtype: np.dtype) -> Padded:
    """These examples, the last one repeated up to a power of two: few shapes, few programs."""
    count = 1 << (len(rows) - 1).bit_length()
    return x.take(np.concatenate([rows, np.repeat(rows[-1:], count - len(rows))])).padded(room, dtype)


def _fill(numbers: np.ndarray, padded: Padded) -> np.ndarray:
    return np.concatenate([numbers, np.repeat(numbers[-1:], len(padded) - len(numbers))])


def _ends_with_positions(net: Layer, x: Ragged) -> bool:
    found: list[int] = []

    def shape(key: Any) -> Any:
        params, out = net.init(key, (room_of(x), x.channels))
        found.append(len(out))
        return params

    jax.eval_shape(shape, jax.ShapeDtypeStruct((2,), np.uint32))
    return found[0] > 1


def _check_ends(ends: bool, x1: Ragged, x2: Ragged) -> None:
    if ends and isinstance(x1, Graphs) and (len(x1) > 1 or len(x2) > 1):
        raise InputError(
            f"the network ends with nodes, and there are {len(x1)} and {len(x2)} graphs: end it with GlobalSumPool or "
            "GlobalAvgPool for a kernel of graphs, or give one graph for a kernel of its nodes"
        )


def _place(
    result: np.ndarray | None,
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
    symmetric: bool,
) -> np.ndarray:
    if result is None:
        result = np.empty((*shape, *values.shape[2:]), values.dtype)
    result[np.ix_(rows, columns)] = values
    if symmetric:
        result[np.ix_(columns, rows)] = values.transpose(1, 0, *((3, 2) if values.ndim == 4 else ()))
    return result
