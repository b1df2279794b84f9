"""The fused engine on a tile: some row images by some column images, blocks of lanes one after another."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ntkit.engines.fused.compile import beyond_engine, compile_network
from ntkit.engines.fused.examples import fields_of
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import whole_vectors
from ntkit.engines.fused.program import Program, as_grid, pool_matrices
from ntkit.engines.fused.runner import Runner
from ntkit.engines.fused.vector import WIDE
from ntkit.layer import Layer
from ntkit.tape import Mix, NotOnTape

LANES = 32  # column images side by side
VECTORS = (
    2048  # the same for vectors, whose images have one pixel, where a block of them stays in the L2 cache
)
ROWS = 64  # row images that share a block of column images
_BLOCK_BYTES = 2**19

Pair = tuple[np.ndarray, np.ndarray | None]


class Engine:
    """A network ready to run on examples of one shape.

    Attributes:
        program: Its stages.
        shape: (*positions, channels) of an example.
        threads: How many blocks run beside each other.
    """

    def __init__(self, net: Layer, shape: tuple[int, ...], threads: int | None = None):
        """Compile a network.

        Raises:
            BeyondEngine: The network is beyond this engine.
        """
        self.shape, self.threads = shape, threads or os.cpu_count() or 1
        try:
            self.program: Program = compile_network(net, shape)
        except NotOnTape as beyond:
            raise beyond_engine(beyond) from None

    def bytes_per_example(self) -> int:
        """About how many bytes the fields of one example take: those kept in double precision, and those of its block."""
        pixels = sum(int(np.prod(as_grid(step.shape))) for step in self.program.tape)
        return 8 * (2 * pixels + int(np.prod(self.shape)))

    def pairs(
        self, x1: np.ndarray, x2: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, tangent: bool
    ) -> Pair:
        """NNGP and NTK of all rows of `x1` with all rows of `x2`; arguments as those of the reference engine.

        Where `rows` and `columns` are the same examples, each unordered pair is computed once.

        Raises:
            BeyondEngine: The variances of the data are beyond this engine.
        """
        program, dtype = self.program, x1.dtype
        grid = as_grid(program.tape[0].shape)
        symmetric = np.array_equal(rows, columns)
        x1, x2 = (x.reshape(len(x), *grid, x.shape[-1]) for x in (x1, x2))
        try:
            one = fields_of(program, x1)
            two = one if symmetric else fields_of(program, x2)
        except NotOnTape as beyond:
            raise beyond_engine(beyond) from None
        lanes = self._lanes(len(x2), dtype)
        same = _positions(rows, columns)
        results = np.empty((2 if tangent else 1, len(x1), len(x2)), dtype)
        runners = threading.local()

        def run(rows: range, block: slice) -> None:
            if not hasattr(runners, "own"):
                runners.own = Runner(program, dtype, lanes, tangent=tangent)
            runner: Runner = runners.own
            others = two.at(block)
            prepared = runner.columns(x2[block], others)
            for i in rows[::ROWS]:
                part = slice(i, min(i + ROWS, rows.stop))
                lane = np.where(same[part] >= block.start, same[part] - block.start, -1)
                some = one.at(part)
                found = runner.through(x1[part], prepared, some, lane)
                for k, values in enumerate(_outputs(program, found, some, others)[: len(results)]):
                    _write(results[k], values, part, block, symmetric)

        with ThreadPoolExecutor(self.threads) as pool:
            jobs = [pool.submit(run, *where) for where in self._blocks(len(x1), len(x2), lanes, symmetric)]
            for job in jobs:
                job.result()
        return results[0], results[1] if tangent else None

    def _lanes(self, n: int, dtype: np.dtype) -> int:
        """How many column images stand side by side."""
        if self.program.tape[0].shape:
            return whole_vectors(min(LANES, n), dtype)
        most = min(VECTORS, max(2 * LANES, _BLOCK_BYTES // (dtype.itemsize * self.shape[-1])))
        return whole_vectors(min(most, n), dtype, WIDE)

    def _blocks(self, n1: int, n2: int, lanes: int, symmetric: bool) -> Iterator[tuple[range, slice]]:
        """Rows and columns of the blocks; of a symmetric kernel those that reach above the diagonal."""
        blocks = -(-n2 // lanes)
        # Rows are split where blocks of columns alone would leave threads idle, in the end at the latest.
        pieces = max(1, 4 * self.threads // blocks)
        for j in reversed(range(0, n2, lanes)):
            last = min(n1, j + lanes) if symmetric else n1
            size = -(-last // pieces)
            for i in range(0, last, size):
                yield range(i, min(i + size, last)), slice(j, min(j + lanes, n2))


def _write(result: np.ndarray, values: np.ndarray, rows: slice, columns: slice, symmetric: bool) -> None:
    """Into a kernel, and of a symmetric one the mirror image of what lies above the diagonal."""
    if not symmetric:
        result[rows, columns] = values
        return
    # Columns left of the diagonal are left out; those that meet it go by where they do.
    low, high = (max(columns.start, min(n, columns.stop)) for n in (rows.start, rows.stop))
    right = values[:, high - columns.start :]
    result[rows, high : columns.stop], result[high : columns.stop, rows] = right, right.T
    i, j = np.nonzero(np.arange(rows.start, rows.stop)[:, None] <= np.arange(low, high)[None])
    met = values[i, j + low - columns.start]
    result[i + rows.start, j + low], result[j + low, i + rows.start] = met, met


def _positions(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Of every row its place among the columns, −1 where it is none of them."""
    order = np.argsort(columns, kind="stable")
    at = np.clip(np.searchsorted(columns, rows, sorter=order), 0, len(columns) - 1)
    return np.where(columns[order[at]] == rows, order[at], -1)


def _outputs(program: Program, found: tuple, one: Fields, two: Fields) -> Pair:
    """Kernels from what the last stage has summed over pairs of pixels, through the weights that are left."""
    stage = program.stages[-1]
    n = len(next(iter(two.variances.values())))
    gap, tangent = (s[:, 0, :n] for s in found)
    q1, q2 = (f.variances[stage.last].reshape(len(f.variances[stage.last]), -1) for f in (one, two))
    weight = 1 / q1.shape[1]
    if isinstance(stage.end, Mix):
        # (A q)(x) and (A q)(x') stand beside the row sums of A.
        a, b = pool_matrices(stage.end)
        weight = float(a[0, 0] * b[0, 0] * a.sum() * b.sum())
    k = (weight * (q1.sum(1)[:, None] + q2.sum(1)[None, :]) - gap) / 2
    t = tangent
    for step in program.head:
        k, t = step.scale * k + step.shift, step.scale * t + (step.weight_rate * k + step.bias_rate)
    return k, t
