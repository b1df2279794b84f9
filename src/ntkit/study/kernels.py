"""Both kernels of a study, in blocks of rows so that progress can be shown, and whether they are positive definite."""

import math
import os
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

import ntkit as nk
from ntkit.batches import Graphs
from ntkit.engines.reference import bytes_per_pair
from ntkit.errors import InputError, NumericalError
from ntkit.layer import Layer
from ntkit.study.progress import Advance

BLOCK = 2**29  # bytes of working arrays per block
MOST_ROWS = 2048


@dataclass(frozen=True)
class Kernels:
    """The kernels between training rows, and between test and training rows, and the prior variance of test rows."""

    nngp_train: Float[np.ndarray, "n n"]
    ntk_train: Float[np.ndarray, "n n"]
    nngp_test: Float[np.ndarray, "m n"]
    ntk_test: Float[np.ndarray, "m n"]
    nngp_test_diagonal: Float[np.ndarray, " m"]


def blocks(rows: int, largest: int) -> list[slice]:
    """Slices of one length, at most ``largest``, that cover the rows; the last may reach beyond the end.

    Example:
        >>> [(s.start, s.stop) for s in blocks(10, 4)]
        [(0, 4), (4, 8), (8, 12)]
    """
    size = math.ceil(rows / math.ceil(rows / largest))
    return [slice(start, start + size) for start in range(0, rows, size)]


def work(n_train: int, n_test: int) -> float:
    """How many kernel entries `compute` evaluates."""
    return n_train * (n_train + 1) / 2 + n_test * n_train


def compute(
    layer: Layer, x_train: np.ndarray | Graphs, x_test: np.ndarray | Graphs, advance: Advance
) -> Kernels:
    """The kernels of a study, of the type of the inputs.

    Args:
        layer: The network.
        x_train: Training examples (n, …).
        x_test: Test examples (m, …).
        advance: Told how many entries were just computed.

    Raises:
        NumericalError: An entry is not finite.
    """
    nngp, ntk = symmetric(layer, x_train, advance)
    nngp_test, ntk_test = between(layer, x_test, x_train, advance)
    # The engine of graphs has all pairs of some hundred sooner than JAX has compiled the diagonal.
    graphs = isinstance(x_test, Graphs)
    diagonal = (
        np.diagonal(nk.nngp(layer, x_test)) if graphs else np.asarray(nk.kernel_fn(layer).diag(x_test).nngp)
    )
    check_finite({"NNGP": nngp, "NTK": ntk, "test NNGP": nngp_test, "test NTK": ntk_test})
    return Kernels(nngp, ntk, nngp_test, ntk_test, diagonal)


def symmetric(layer: Layer, x: np.ndarray | Graphs, advance: Advance) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of ``x`` with itself, exactly symmetric; every pair of blocks is computed once."""
    if isinstance(x, Graphs):  # their engine cuts them as it needs
        pair = nk.kernel(layer, x)
        advance(len(x) * (len(x) + 1) / 2)
        return pair.nngp, pair.ntk
    nngp, ntk = np.empty((len(x), len(x)), x.dtype), np.empty((len(x), len(x)), x.dtype)
    parts = blocks(len(x), _block_size(layer, x))
    for number, i in enumerate(parts):
        for j in parts[number:]:
            pair = nk.kernel(layer, _cut(x, i)) if i == j else nk.kernel(layer, _cut(x, i), _cut(x, j))
            for whole, block in ((nngp, pair.nngp), (ntk, pair.ntk)):
                inside = whole[i, j].shape
                whole[i, j] = block[: inside[0], : inside[1]]
                whole[j, i] = whole[i, j].T
            advance(inside[0] * (inside[0] + 1) / 2 if i == j else inside[0] * inside[1])
    return nngp, ntk


def between(
    layer: Layer, x1: np.ndarray | Graphs, x2: np.ndarray | Graphs, advance: Advance
) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK between the rows of ``x1`` and those of ``x2``."""
    if isinstance(x1, Graphs) or isinstance(x2, Graphs):
        pair = nk.kernel(layer, x1, x2)
        advance(len(x1) * len(x2))
        return pair.nngp, pair.ntk
    nngp, ntk = np.empty((len(x1), len(x2)), x1.dtype), np.empty((len(x1), len(x2)), x1.dtype)
    size = _block_size(layer, x1)
    columns = blocks(len(x2), size)
    for i, j in product(_rows_like(columns, len(x1), layer, x1) or blocks(len(x1), size), columns):
        pair = nk.kernel(layer, _cut(x1, i), _cut(x2, j))
        for whole, block in ((nngp, pair.nngp), (ntk, pair.ntk)):
            inside = whole[i, j].shape
            whole[i, j] = block[: inside[0], : inside[1]]
        advance(inside[0] * inside[1])
    return nngp, ntk


def _cut(x: np.ndarray, part: slice) -> np.ndarray:
    """The rows of a block, the last row repeated beyond the end: blocks of one shape are compiled once."""
    return x[np.minimum(np.arange(part.start, part.stop), len(x) - 1)]


def _rows_like(columns: list[slice], rows: int, layer: Layer, x: np.ndarray) -> list[slice] | None:
    """Blocks of rows as long as those of the columns, where compiling another shape would take longer than the excess."""
    size = columns[0].stop
    starts = range(0, rows, size)
    excess = (len(starts) * size - rows) * size * len(columns)
    cheap = excess * bytes_per_pair(layer, x.shape[1:], x.dtype.itemsize) <= BLOCK
    return [slice(start, start + size) for start in starts] if cheap else None


def _block_size(layer: Layer, x: np.ndarray) -> int:
    """So many rows that a block of pairs takes about half a gibibyte, a second or a few."""
    per_pair = bytes_per_pair(layer, x.shape[1:], x.dtype.itemsize)
    return int(np.clip(np.sqrt(BLOCK / per_pair), 1, MOST_ROWS))


def check_finite(named: dict[str, np.ndarray]) -> None:
    """Refuse kernels with entries that are not finite.

    Raises:
        NumericalError: The first such entry, and what to do.
    """
    for name, values in named.items():
        if not np.all(np.isfinite(values)):
            row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise NumericalError(
                f"the {name} of rows {row} and {column} is {values[row, column]}: the network's variance overflows; "
                "use a smaller w_std or fewer layers, or --dtype float64"
            )


def check_memory(n_train: int, n_test: int) -> None:
    """Refuse a study whose matrices would not fit in memory.

    Raises:
        InputError: They would need more than three quarters of the machine's memory.
    """
    needed = 8.0 * n_train * (8 * n_train + 4 * n_test)
    try:
        present = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return
    if needed > 0.75 * present:
        raise InputError(
            f"{n_train} training rows need about {needed / 2**30:.0f} GiB for dense kernels, and this machine has "
            f"{present / 2**30:.0f} GiB: pass a smaller --train"
        )
