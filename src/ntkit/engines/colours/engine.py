"""Kernels of graphs by colours: the plan of a network, blocks of graphs, passes over pairs of blocks on threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np

from ntkit.batches import Graphs
from ntkit.engines.colours.blocks import cut, room_for
from ntkit.engines.colours.passes import DOUBLE, Kernels, Passes
from ntkit.engines.colours.plan import Plan, plan_of
from ntkit.engines.colours.sides import Block
from ntkit.engines.fused.blas import one_blas_thread
from ntkit.engines.fused.tile import APART
from ntkit.layer import Layer
from ntkit.tape import NotOnTape, record

COLOURS = 1024  # of a block

Found = tuple[np.ndarray, np.ndarray | None, bool]


def by_colours(
    net: Layer,
    x1: Graphs,
    x2: Graphs | None,
    *,
    dtype: Any,
    memory: int,
    threads: int | None,
    tangent: bool,
    colours: int = COLOURS,
) -> Found:
    """NNGP and NTK of all graphs of `x1` with all of `x2`, or with one another, and whether all is finite.

    Args:
        net: The network.
        x1: The rows.
        x2: The columns; None for `x1`, and a result that is exactly symmetric.
        dtype: float32 or float64, of the result and of what is computed between different blocks.
        memory: Bytes of working arrays.
        threads: How many pairs of blocks run beside each other; None for one a core.
        tangent: Whether the NTK is asked for.
        colours: About how many nodes that differ a block has; the result does not depend on it.

    Returns:
        Kernels (n1, n2), of a network that ends with nodes (nodes of x1, nodes of x2); None in place of an NTK that is not
        asked for.

    Raises:
        NotOnTape: The network, or the variances that the data lead to, are beyond this engine.
        NoClosedFormError: Second moments do not determine the network's kernel.
        InputError: One graph does not fit into `memory`.
    """
    tape = record(net, (None, x1.channels))
    batches = [x1] if x2 is None else [x1, x2]
    if tape[-1].shape and any(len(x) > 1 for x in batches):
        raise NotOnTape("a network that ends with nodes, of batches of more than one graph")
    threads = threads or os.cpu_count() or 1
    plan = plan_of(tape, batches)
    sizes = np.concatenate([x.sizes for x in batches])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    count = len(x1.values) if tape[-1].shape else len(x1)
    every = plan.outputs.colours
    outputs = [np.unique(part) for part in (every[:count], every[count:]) if len(part)]
    alone = room_for(memory, 1)
    if tape[-1].shape and room_for(memory, threads) < plan.nodes.count <= alone:
        threads = 1  # one block of all nodes: pieces of a graph would have most of it in common
    room = room_for(memory, threads)
    sides = [[Block(c) for c in cut(plan, part, offsets, colours, room)] for part in outputs]
    run = _Run(plan, np.dtype(dtype), threads, tangent=tangent)
    both = run.kernels(sides[0], sides[-1] if x2 is not None else None)
    rows = np.searchsorted(outputs[0], every[:count])
    columns = rows if x2 is None else np.searchsorted(outputs[1], every[count:])
    nngp, ntk = (None if k is None else k[rows[:, None], columns] for k in both)
    assert nngp is not None
    return nngp, ntk, all(np.isfinite(k).all() for k in both if k is not None)


class _Run:
    """The passes of a plan on threads."""

    def __init__(self, plan: Plan, dtype: np.dtype, threads: int, *, tangent: bool):
        self.plan, self.dtype, self.threads, self.tangent = plan, dtype, threads, tangent
        self._local = threading.local()

    def _passes(self) -> Passes:
        """Those of this thread."""
        if not hasattr(self._local, "passes"):
            self._local.passes = Passes(self.plan, self.dtype, tangent=self.tangent)
        return self._local.passes

    def kernels(self, rows: list[Block], columns: list[Block] | None) -> list[np.ndarray | None]:
        """Kernels between the outputs of blocks, in the order of their colours."""
        symmetric = columns is None
        columns = rows if columns is None else columns
        begins = [np.cumsum([0] + [len(b.cut.outputs[0]) for b in side]) for side in (rows, columns)]
        found = [np.empty((begins[0][-1], begins[1][-1]), self.dtype) for _ in range(1 + self.tangent)]

        @np.errstate(over="ignore")
        def place(i: int, j: int, kernels: Kernels) -> None:
            a, b = (slice(begin[k], begin[k + 1]) for begin, k in zip(begins, (i, j), strict=True))
            for to, k in zip(found, kernels, strict=False):
                assert k is not None
                if symmetric and i == j:
                    k = (k + k.T) / 2
                to[a, b] = k
                if symmetric and i != j:
                    to[b, a] = k.T

        def own(block: Block, i: int | None) -> None:
            kernels = self._passes().own(block)
            if i is not None:
                place(i, i, kernels)

        def cross(i: int, j: int) -> None:
            place(i, j, self._passes().cross(rows[i], columns[j], dtype))

        alone = [(b, i if symmetric else None) for i, b in enumerate(rows)]
        alone += [] if symmetric else [(b, None) for b in columns]
        pairs = [(i, j) for i in range(len(rows)) for j in range(i + 1 if symmetric else 0, len(columns))]
        many = self.threads > 1 and len(alone) > 1
        with ThreadPoolExecutor(self.threads) as pool, one_blas_thread() if many else nullcontext():
            list(pool.map(lambda job: own(*job), alone))
            dtype = self._working_dtype([*rows, *columns])
            list(pool.map(lambda job: cross(*job), pairs))
        return [*found, None][:2]

    def _working_dtype(self, blocks: list[Block]) -> np.dtype:
        """That of the kernel, or double precision where units differ much in size: see `APART`.

        Raises:
            NotOnTape: They differ too much for that too.
        """
        apart = max(known.apart for block in blocks for known in block.known)
        if apart > APART["float64"]:
            raise NotOnTape(f"nodes whose norms are {apart:.0e} times apart, where digits would be lost")
        return self.dtype if apart <= APART[self.dtype.name] else DOUBLE
