"""One stage over a few row images and a block of column images: read, run, and write, displacement by displacement."""

import functools
import hashlib
import pathlib
from typing import Any

from numba import njit

from ntkit.engines.fused.code import OUTPUT, STEP_IN
from ntkit.engines.fused.ends import add_pooled, add_sum, read_images, read_pairs, read_vectors, write_out
from ntkit.engines.fused.functions import joined
from ntkit.engines.fused.machine import run
from ntkit.engines.fused.vector import BYTES, OPTIONS, load, store

VECTORS, IMAGES, PAIRS, GAPS = range(4)  # where a stage reads
SUM, POOL, RESULT = range(3)  # what it writes


def digest(*folders: pathlib.Path) -> str:
    """Of all source files in some folders.

    Numba keeps compiled code on disk by the time stamp of the file of the function alone, and would not see that what the
    function calls has changed; but it does see what the function closes over.
    """
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_SOURCES = digest(pathlib.Path(__file__).parent)


@joined
def read(plan, source, begin, end, dy, dx, ones, two, lanes, tangent, d, t, frame):
    """The pairs of a displacement, of which row images begin … end are the first."""
    code, _, _, grid, _, wrap, reads, _ = plan
    images1, images2, stored_d, stored_t, starts = source
    y, x = dy * code[0, STEP_IN], dx * code[0, STEP_IN + 1]
    if reads == VECTORS:
        for i in range(begin, end, 4):
            j, k, m = min(i + 1, end - 1), min(i + 2, end - 1), min(i + 3, end - 1)
            rows = images1[i, 0, 0], images1[j, 0, 0], images1[k, 0, 0], images1[m, 0, 0]
            outs = d[i - begin, 0, 0], d[j - begin, 0, 0], d[k - begin, 0, 0], d[m - begin, 0, 0]
            read_vectors(rows, images2[0, 0], lanes, outs)
        t[:, 0] = 0
        return
    if reads == GAPS:
        for i in range(begin, end):
            for j in range(0, lanes, BYTES // d.itemsize):
                store(d[i - begin, 0, 0], j, load(stored_d[i, 0], j))
        t[:, 0] = 0
        return
    start = 0 if reads == IMAGES else starts[y, x] if wrap else starts[y + grid[0] - 1, x + grid[1] - 1]
    for i in range(begin, end):
        out_d, out_t = d[i - begin, 0], t[i - begin, 0]
        if reads == IMAGES:
            read_images(images1[i], images2, y, x, lanes, wrap, tangent, out_d, out_t, frame)
        else:
            pairs = stored_d[i], stored_t[i], start
            read_pairs(pairs, grid, ones[i], two, lanes, y, x, wrap, tangent, out_d, out_t, frame)


@joined
def write(plan, ends, i, dy, dx, lanes, tangent, d, t, line, frame):
    """Add the pairs of a displacement to what row image i ends in."""
    _, _, _, _, grid, wrap, _, writes = plan
    sum_d, sum_t, down, across, starts, below, wrap_below, pooled_d, pooled_t, variances, result = ends
    if writes == RESULT:
        nngp, ntk, row, column, count, finite, sums, head = result
        found = nngp, ntk, row + i, column, count, sums, head
        finite[0] &= write_out(d[frame], t[frame if tangent else 0], found, variances[i], lanes, tangent)
    elif writes == SUM:
        add_sum(d, dy, dx, grid, lanes, wrap, frame, line, sum_d[i])
        if tangent:
            add_sum(t, dy, dx, grid, lanes, wrap, frame, line, sum_t[i])
    else:
        pool = down, across, starts, below, wrap_below
        add_pooled(d, dy, dx, grid, lanes, wrap, frame, pool, pooled_d[i])
        if tangent:
            add_pooled(t, dy, dx, grid, lanes, wrap, frame, pool, pooled_t[i])


@functools.cache
def stage_runner(functions: str) -> Any:
    """`run_stage` for networks of these functions, compiled once for each state of the sources, and kept on disk."""
    sources = _SOURCES

    @njit(cache=True, **OPTIONS)
    def run_stage(plan, source, ends, fields, same, lanes, tangent, polynomials, space):
        """Fill the ends of a stage for all row images.

        Args:
            plan: (code, numbers, displacements, extents of the first grid and of the last, wrap, reads, writes).
            source: (row images, column images; stored gaps, stored tangent kernels, where displacements begin in them).
            ends: (sums of gaps, of tangent kernels; pool down, across, where displacements begin, extents below, whether
                these wrap, pooled gaps, pooled tangent kernels; sums of variances of the row images, and
                (nngp, ntk, row, column, columns, whether they are finite, sums of variances of the columns, head)).
            fields: (of the row images, of the column images).
            same: For every row image, the lane that is itself, or a negative number.
            lanes: How many column images.
            tangent: Whether tangent kernels are wanted.
            polynomials: Those of `approximations`.
            space: (gaps, tangent kernels, rings, rows, line, what has been cleared, frame).
        """
        _ = sources
        code, numbers, displacements, _, _, wrap, _, _ = plan
        ones, two = fields
        d, t, rings, rows, line, clean, frame = space
        work = d, t, rings, rows, clean, frame
        last, together = code[-1, OUTPUT], d.shape[0]
        for begin in range(0, ones.shape[0], together):
            end = min(begin + together, ones.shape[0])
            for k in range(displacements.shape[0]):
                dy, dx = displacements[k, 0], displacements[k, 1]
                some, which = ones[begin:end], same[begin:end]
                read(plan, source, begin, end, dy, dx, ones, two, lanes, tangent, d, t, frame)
                run(
                    code,
                    numbers,
                    dy,
                    dx,
                    some,
                    two,
                    lanes,
                    wrap,
                    which,
                    tangent,
                    polynomials,
                    functions,
                    work,
                )
                for i in range(begin, end):
                    r = i - begin
                    write(plan, ends, i, dy, dx, lanes, tangent, d[r, last], t[r, last], line, frame)

    return run_stage
