"""`compute`, the kernel matrix of any number of rows, tile by tile on several threads."""

import hashlib
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from ntkit.arrays import check_batch
from ntkit.batches import Ragged
from ntkit.errors import InputError, NumericalError
from ntkit.gram.folder import Folder, describe
from ntkit.gram.plan import Plan, Tile
from ntkit.gram.progress import Progress
from ntkit.gram.result import Arrays, Memory, Result
from ntkit.kernel_fn import KernelFn, kernel_fn
from ntkit.layer import Layer
from ntkit.pair import KernelPair

KERNELS = ("nngp", "ntk")
_SECONDS = 4.0  # that a tile may take: an interrupted run loses no more
_SIDES = 32, 2048  # at least the lanes of the fused engine; at most, what two threads hold beside each other


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, and what was finished before it.

    Attributes:
        pair: The matrices, not a number where tiles are missing; None where they are in a folder.
        finished: How many tiles are finished.
        tiles: How many there are.
    """

    def __init__(self, message: str, pair: KernelPair | None, finished: int, tiles: int):
        super().__init__(message)
        self.pair, self.finished, self.tiles = pair, finished, tiles


def compute(
    kernel: KernelFn | Layer,
    x1: Any,
    x2: Any = None,
    *,
    out: str | os.PathLike | None = None,
    kernels: Sequence[str] = KERNELS,
    tile: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> KernelPair:
    """A kernel matrix in tiles, several at a time, in memory or in a folder where a second call goes on.

    Ctrl-C lets the tiles in work finish, and keeps all that are finished: in a folder, where the same call goes on from
    them, or in the exception (`Interrupted`).

    Args:
        kernel: A network, or any `KernelFn`.
        x1: (n1, …), the rows; or a batch of `Graphs` or `Sequences`.
        x2: (n2, …) alike, the columns; None for `x1` with itself, an exactly symmetric matrix of which half is computed.
        out: A folder for NumPy files `nngp.npy` and `ntk.npy`; None to keep the matrices in memory.
        kernels: Which of "nngp" and "ntk".
        tile: Rows and columns of a tile; None for about four seconds' work each.
        threads: How many tiles are computed at a time; None for one a core.
        progress: Whether to draw a bar with the remaining time; None where standard error is a terminal.

    Returns:
        A pair with `.nngp` and `.ntk`, None where one was not asked for.

    Raises:
        InputError: An option or the data are not usable; there is no room for the result; the folder holds something else, is
            damaged or in use.
        NumericalError: A kernel is not finite.
        Interrupted: Ctrl-C.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Relu() >> nk.Dense(1)
        >>> nk.gram.compute(net, np.eye(100), kernels=["ntk"], tile=32).ntk.shape
        (100, 100)
    """
    k = kernel_fn(kernel) if isinstance(kernel, Layer) else kernel
    names = _checked(k, kernels, tile, threads)
    x1 = _checked_batch(x1, "x1")
    x2 = None if x2 is None else _checked_batch(x2, "x2")
    threads = threads or os.cpu_count() or 1
    n2 = len(x1 if x2 is None else x2)
    of_tiles: KernelFn = k
    if hasattr(k, "for_tiles"):
        of_tiles = k.for_tiles(x1.shape[1:], len(x1), None if x2 is None else n2)
    part = _part_of(of_tiles, names)
    dtype = _probe(part, x1, x2)
    plan = Plan(len(x1), n2, tile or _side(part, x1, x2, threads), x2 is None)
    result: Result
    if out is None:
        result = Memory(plan, names, dtype)
    else:
        fingerprints = k.fingerprint, _fingerprint(x1, x2)
        result = Folder(pathlib.Path(out), describe(plan, names, dtype, *fingerprints))
        plan = result.plan
    try:
        _fill(result, plan, part, x1, x2, threads, progress, out)
    finally:
        result.close()
    return KernelPair(result.arrays.get("nngp"), result.arrays.get("ntk"))


Part = Callable[..., Arrays]
Batch = np.ndarray | Ragged


def _checked_batch(x: Any, name: str) -> Batch:
    return x if isinstance(x, Ragged) else check_batch(x, name)


def _checked(k: Any, kernels: Sequence[str], tile: int | None, threads: int | None) -> list[str]:
    if not isinstance(k, KernelFn):
        raise InputError(f"kernel must be a network or a KernelFn, found {type(k).__name__}")
    for name, number in (("tile", tile), ("threads", threads)):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise InputError(f"{name} must be a whole number, at least 1, or None; found {number!r}")
    names = [kernels] if isinstance(kernels, str) else list(kernels)
    if not names or not set(names) <= set(KERNELS) or len(set(names)) < len(names):
        raise InputError(f'kernels must be some of "nngp" and "ntk", found {kernels!r}')
    return [name for name in KERNELS if name in names]


def _part_of(k: KernelFn, names: list[str]) -> Part:
    """The matrices of two batches; one alone by the kernel's own function for it, where it has one."""

    def part(a: Batch, b: Batch | None) -> Arrays:
        alone = getattr(k, names[0], None) if len(names) == 1 else None
        if alone is not None:
            return {names[0]: np.asarray(alone(a, b))}
        pair = k(a, b)
        return {name: np.asarray(getattr(pair, name)) for name in names}

    return part


def _probe(part: Part, x1: Batch, x2: Batch | None) -> np.dtype:
    """The dtype of the matrices, and whether they are matrices."""
    found = part(x1[:1], None if x2 is None else x2[:1])
    for name, values in found.items():
        if values.shape != (1, 1):
            raise InputError(
                f"the {name} of one row with one row is shaped {values.shape}: a kernel with positions has no matrix; end "
                "the network with Flatten or a pool"
            )
    return next(iter(found.values())).dtype


def _side(part: Part, x1: Batch, x2: Batch | None, threads: int) -> int:
    """Rows of a tile that takes a few seconds, by the time that a small one takes."""
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    low, high = _SIDES
    if max(n1, n2) <= low:
        return low
    some = x1[:low], (x1 if x2 is None else x2)[-low:]
    seconds = []
    for _ in range(2):  # the first time it may compile
        begin = time.perf_counter()
        part(*some)
        seconds.append(time.perf_counter() - begin)
    each = seconds[-1] / (len(some[0]) * len(some[1]))
    # A few tiles for each thread, so that all end at about the same time.
    shares = math.sqrt(n1 * n2 / (8 * threads))
    side = min(math.sqrt(_SECONDS / each), shares, high)
    return max(low, int(side) // low * low)


def _fingerprint(x1: Batch, x2: Batch | None) -> str:
    """A text that differs between data that differ."""
    digest = hashlib.sha256()
    for x in (x1, x2):
        tables = x.tables if isinstance(x, Ragged) else {} if x is None else {"": x}
        digest.update(f"{type(x).__name__} {len(tables)}".encode() if isinstance(x, Ragged) else b"")
        for table in tables.values():
            digest.update(repr((table.shape, table.dtype.str)).encode())
            digest.update(np.ascontiguousarray(table).data)
        if x is None:
            digest.update(b"None")
    return digest.hexdigest()


def _fill(
    result: Result,
    plan: Plan,
    part: Part,
    x1: Batch,
    x2: Batch | None,
    threads: int,
    progress: bool | None,
    out: Any,
) -> None:
    """Compute the tiles that are missing."""
    tiles = plan.tiles()
    missing = [tile for tile in tiles if tile.number not in result.finished]

    def work(tile: Tile) -> int:
        columns = None if tile.own else (x1 if x2 is None else x2)[tile.columns]
        values = part(x1[tile.rows], columns)
        _check_finite(values, tile)
        result.put(tile, values)
        return tile.entries

    done = sum(tile.entries for tile in tiles) - sum(tile.entries for tile in missing)
    with (
        Progress(progress, sum(tile.entries for tile in tiles), done) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        futures: set[Future] = {pool.submit(work, tile) for tile in missing}
        try:
            while futures:
                finished, futures = wait(futures, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in finished:
                    bar.advance(future.result())
        except BaseException as stopped:
            pool.shutdown(wait=True, cancel_futures=True)
            if not isinstance(stopped, KeyboardInterrupt):
                raise
            raise _interrupted(result, len(tiles), out) from None


def _check_finite(values: Arrays, tile: Tile) -> None:
    for name, part in values.items():
        if not np.isfinite(part).all():
            raise NumericalError(
                f"the {name} is not finite in rows {tile.rows.start} to {tile.rows.stop} by columns {tile.columns.start} to "
                f"{tile.columns.stop}"
            )


def _interrupted(result: Result, tiles: int, out: Any) -> Interrupted:
    count = len(result.finished)
    if out is None:
        pair = KernelPair(result.arrays.get("nngp"), result.arrays.get("ntk"))
        return Interrupted(f"{count} of {tiles} tiles are finished; they are in .pair", pair, count, tiles)
    where = f"{count} of {tiles} tiles are finished in {out}; the same call goes on from there"
    return Interrupted(where, None, count, tiles)
