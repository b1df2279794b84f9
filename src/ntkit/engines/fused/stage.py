"""One stage over a few row images and a block of column images: read, run, and write, displacement by displacement."""

import hashlib
import pathlib
from typing import Any

from numba import njit

from ntkit.engines.fused.code import OUTPUT, STEP_IN
from ntkit.engines.fused.ends import add_pooled, add_sum, read_images, read_pairs
from ntkit.engines.fused.machine import run
from ntkit.engines.fused.rows import OPTIONS, fast

IMAGES, PAIRS = range(2)  # where a stage reads
SUM, POOL = range(2)  # what it writes


def _sources() -> str:
    """A digest of the engine's source.

    Numba keeps compiled code on disk by the time stamp of the file of the function alone, and would not see that what the
    function calls has changed; but it does see what the function closes over.
    """
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@fast
def read(plan, source, i, dy, dx, one, two, lanes, tangent, d, t, frame):
    """The pairs of a displacement, of which row image i is the first."""
    code, _, _, grid, _, wrap, reads, _ = plan
    images1, images2, stored_d, stored_t, starts = source
    y, x = dy * code[0, STEP_IN], dx * code[0, STEP_IN + 1]
    if reads == IMAGES:
        read_images(images1[i], images2, y, x, lanes, wrap, tangent, d, t, frame)
    else:
        start = starts[y, x] if wrap else starts[y + grid[0] - 1, x + grid[1] - 1]
        pairs = stored_d[i], stored_t[i], start
        read_pairs(pairs, grid, one, two, lanes, y, x, wrap, tangent, d, t, frame)


@fast
def write(plan, ends, i, dy, dx, lanes, tangent, d, t, line, frame):
    """Add the pairs of a displacement to what row image i ends in."""
    _, _, _, _, grid, wrap, _, writes = plan
    sum_d, sum_t, down, across, starts, below, wrap_below, pooled_d, pooled_t = ends
    if writes == SUM:
        add_sum(d, dy, dx, grid, lanes, wrap, frame, line, sum_d[i])
        if tangent:
            add_sum(t, dy, dx, grid, lanes, wrap, frame, line, sum_t[i])
    else:
        pool = down, across, starts, below, wrap_below
        add_pooled(d, dy, dx, grid, lanes, wrap, frame, pool, pooled_d[i])
        if tangent:
            add_pooled(t, dy, dx, grid, lanes, wrap, frame, pool, pooled_t[i])


def _compiled(sources: str) -> Any:
    """`run_stage`, compiled once for each state of the sources, and kept on disk."""

    @njit(cache=True, **OPTIONS)
    def run_stage(plan, source, ends, fields, same, lanes, tangent, angles, space):
        """Fill the ends of a stage for all row images.

        Args:
            plan: (code, numbers, displacements, extents of the first grid and of the last, wrap, reads, writes).
            source: (row images, column images; stored gaps, stored tangent kernels, where displacements begin in them).
            ends: (sums of gaps, of tangent kernels; pool down, across, where displacements begin, extents below, whether
                these wrap, pooled gaps, pooled tangent kernels).
            fields: (of the row images, of the column images).
            same: For every row image, the lane that is itself, or a negative number.
            lanes: How many column images.
            tangent: Whether tangent kernels are wanted.
            angles: The polynomial of angles.
            space: (gaps, tangent kernels, rings, rows, line, frame).
        """
        _ = sources
        code, numbers, displacements, _, _, wrap, _, _ = plan
        ones, two = fields
        d, t, rings, rows, line, frame = space
        work = d, t, rings, rows, frame
        last = code[-1, OUTPUT]
        for i in range(ones.shape[0]):
            for k in range(displacements.shape[0]):
                dy, dx = displacements[k, 0], displacements[k, 1]
                read(plan, source, i, dy, dx, ones[i], two, lanes, tangent, d[0], t[0], frame)
                run(code, numbers, dy, dx, ones[i], two, lanes, wrap, same[i], tangent, angles, work)
                write(plan, ends, i, dy, dx, lanes, tangent, d[last], t[last], line, frame)

    return run_stage


run_stage = _compiled(_sources())
