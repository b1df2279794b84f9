"""The fused engine on a tile: some row images by some column images, blocks of lanes one after another."""

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from ntkit.engines.fused.blas import one_blas_thread
from ntkit.engines.fused.compile import beyond_engine, compile_network
from ntkit.engines.fused.examples import fields_of
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import whole_vectors
from ntkit.engines.fused.outputs import Result, head_table, mirror, variance_sums
from ntkit.engines.fused.products import LONG, Products
from ntkit.engines.fused.program import Program, as_grid
from ntkit.engines.fused.runner import Rows, Runner
from ntkit.engines.fused.vector import WIDE
from ntkit.layer import Layer
from ntkit.tape import NotOnTape

LANES = 32  # column images side by side
VECTORS = 2048  # the same for vectors, whose images have one pixel
BLOCK_BYTES = 2**19  # at most of vectors side by side: they stay in the L2 cache
# How many times larger the norm of one example may be than that of another.
APART = {"float32": 30.0, "float64": 1e5}

Found = tuple[np.ndarray, np.ndarray | None, bool]


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
        return 8 * (2 * pixels + 2 * int(np.prod(self.shape)))

    def pairs(
        self, x1: np.ndarray, x2: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, tangent: bool
    ) -> Found:
        """NNGP and NTK of all rows of `x1` with all rows of `x2`, and whether all is finite; as the reference engine.

        Where `rows` and `columns` are the same examples, each unordered pair is computed once.

        Raises:
            BeyondEngine: The variances of the data are beyond this engine.
        """
        program, given = self.program, x1.dtype
        grid = as_grid(program.tape[0].shape)
        symmetric = np.array_equal(rows, columns)
        x1 = x1.reshape(len(x1), *grid, x1.shape[-1])
        x2 = x1 if symmetric else x2.reshape(len(x2), *grid, x2.shape[-1])
        with ThreadPoolExecutor(self.threads) as pool:
            batches = [x1] if symmetric else [x1, x2]
            try:
                one, *others = pool.map(functools.partial(fields_of, program), batches)
            except NotOnTape as beyond:
                raise beyond_engine(beyond) from None
        two = one if symmetric else others[0]
        dtype = _working_dtype(x1.dtype, one, two)
        if dtype != x1.dtype:
            x1, x2 = x1.astype(dtype), x2.astype(dtype)
        lanes = self._lanes(len(x2), dtype)
        with np.errstate(over="ignore"):
            prepared = Rows.of(program, one, dtype)
        same = _positions(rows, columns)
        head, sums1, sums2 = head_table(program), variance_sums(program, one), variance_sums(program, two)
        nngp = np.empty((len(x1), len(x2)), dtype)
        ntk = np.empty((len(x1), len(x2)) if tangent else (1, 1), dtype)
        products = (
            Products.of(x1[:, 0, 0], None if symmetric else x2[:, 0, 0], nngp) if self._long() else None
        )
        runners = threading.local()

        # What overflows is infinite in the result, and said there.
        @np.errstate(over="ignore", invalid="ignore")
        def run(part: slice, block: slice) -> bool:
            if not hasattr(runners, "own"):
                runners.own = Runner(program, dtype, lanes, tangent=tangent, products=self._long())
            runner: Runner = runners.own
            lane = np.where(same[part] >= block.start, same[part] - block.start, -1)
            to = Result(
                nngp, ntk, part.start, block.start, sums1[part], sums2[block], head, np.ones(1, np.bool_)
            )
            if products:
                products.multiply(part, block)
            return runner.fill(
                x1[part],
                runner.columns(x2[block], two.at(block), products),
                prepared.at(part),
                lane,
                to,
            )

        with ThreadPoolExecutor(self.threads) as pool, one_blas_thread() if products else nullcontext():
            jobs = [pool.submit(run, *where) for where in self._blocks(len(x1), len(x2), lanes, symmetric)]
            finite = all(job.result() for job in jobs)
            if symmetric:
                list(pool.map(mirror, (nngp, ntk) if tangent else (nngp,)))
        nngp, ntk = (k.astype(given, copy=False) for k in (nngp, ntk))
        return nngp, ntk if tangent else None, finite

    def _long(self) -> bool:
        return not self.program.tape[0].shape and self.shape[-1] >= LONG

    def _lanes(self, n: int, dtype: np.dtype) -> int:
        """How many column images stand side by side."""
        if self.program.tape[0].shape:
            return whole_vectors(min(LANES, n), dtype)
        together = 1 if self._long() else self.shape[-1]
        most = min(VECTORS, max(2 * LANES, BLOCK_BYTES // (dtype.itemsize * together)))
        return whole_vectors(min(most, n), dtype, WIDE)

    def _blocks(self, n1: int, n2: int, lanes: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the blocks; of a symmetric kernel those that reach above the diagonal."""
        blocks = -(-n2 // lanes)
        # Rows are split where blocks of columns alone would leave threads idle, in the end at the latest.
        pieces = max(1, 4 * self.threads // blocks)
        for j in reversed(range(0, n2, lanes)):
            last = min(n1, j + lanes) if symmetric else n1
            size = -(-last // pieces)
            for i in range(0, last, size):
                yield slice(i, min(i + size, last)), slice(j, min(j + lanes, n2))


def _working_dtype(dtype: np.dtype, one: Fields, two: Fields) -> np.dtype:
    """The dtype of the data, or double precision where examples differ much in size.

    The covariance of two examples is what their gap leaves of their variances: rounding of the larger variance, beside the
    root of both, grows with the ratio of their norms.

    Raises:
        BeyondEngine: They differ too much for that too.
    """
    sizes = np.concatenate([f.variances[0].reshape(len(f.variances[0]), -1).mean(axis=1) for f in (one, two)])
    some = sizes[sizes > 0]
    apart = float(np.sqrt(some.max() / some.min())) if some.size else 1.0
    if apart <= APART[dtype.name]:
        return dtype
    if apart > APART["float64"]:
        what = f"examples whose norms are {apart:.0e} times apart, where digits would be lost"
        raise beyond_engine(NotOnTape(what))
    return np.dtype(np.float64)


def _positions(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Of every row its place among the columns, −1 where it is none of them."""
    order = np.argsort(columns, kind="stable")
    at = np.clip(np.searchsorted(columns, rows, sorter=order), 0, len(columns) - 1)
    return np.where(columns[order[at]] == rows, order[at], -1)
