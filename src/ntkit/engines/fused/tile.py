"""The fused engine on a tile: some row images by some column images, blocks of lanes one after another."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ntkit.engines.fused.compile import compile_network
from ntkit.engines.fused.examples import fields_of
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.program import Program, as_grid, pool_matrices
from ntkit.engines.fused.runner import Runner
from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.tape import Mix, NotOnTape

LANES = 32  # column images side by side: two vector registers of single precision
ROW_LANES = 2048  # the same for vectors, whose images have one pixel
ROWS = 64  # row images that share a block of column images


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
            InputError: The network is beyond this engine.
        """
        self.shape, self.threads = shape, threads or os.cpu_count() or 1
        try:
            self.program: Program = compile_network(net, shape)
        except NotOnTape as beyond:
            raise InputError(
                f"engine='fused' has no instruction for {beyond}; use engine='reference', which runs every network"
            ) from None

    def bytes_per_example(self) -> int:
        """About how many bytes the fields of one example take: those kept in double precision, and those of its block."""
        pixels = sum(int(np.prod(as_grid(step.shape))) for step in self.program.tape)
        return 8 * (2 * pixels + int(np.prod(self.shape)))

    def pairs(
        self, x1: np.ndarray, x2: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, tangent: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """NNGP and NTK of all rows of `x1` with all rows of `x2`; arguments as those of the reference engine."""
        program, dtype = self.program, x1.dtype
        grid = as_grid(program.tape[0].shape)
        x1, x2 = (x.reshape(len(x), *grid, x.shape[-1]) for x in (x1, x2))
        one, two = fields_of(program, x1), fields_of(program, x2)
        lanes = min(ROW_LANES if grid == (1, 1) else LANES, len(x2))
        together = max(1, min(ROWS, -(-len(x1) // self.threads)))
        nngp, ntk = np.empty((2, len(x1), len(x2)))
        runners, upto = threading.local(), len(program.stages)

        def run(part: slice, block: slice) -> None:
            if not hasattr(runners, "own"):
                runners.own = Runner(program, dtype, lanes, tangent=tangent)
            some, others = one.at(part), two.at(block)
            same = np.array([_lane(r, columns[block]) for r in rows[part]])
            found = runners.own.stages(
                x1[part], runners.own.columns(x2[block], others, upto), some, same, upto
            )
            nngp[part, block], ntk[part, block] = _outputs(program, found, some, others)

        with ThreadPoolExecutor(self.threads) as pool:
            jobs = [
                pool.submit(run, slice(i, i + together), slice(j, j + lanes))
                for j in range(0, len(x2), lanes)
                for i in range(0, len(x1), together)
            ]
            for job in jobs:
                job.result()
        return nngp.astype(dtype), ntk.astype(dtype) if tangent else None


def _lane(row: int, columns: np.ndarray) -> int:
    (found,) = np.nonzero(columns == row)
    return int(found[0]) if len(found) else -1


def _outputs(program: Program, found: tuple, one: Fields, two: Fields) -> tuple[np.ndarray, np.ndarray]:
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
