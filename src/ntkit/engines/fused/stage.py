"""One stage over a few row images and a block of column images: read, run, and write, displacement by displacement."""

from ntkit.engines.fused.code import OUTPUT, STEP_IN
from ntkit.engines.fused.ends import add_pooled, add_sum, read_images, read_pairs
from ntkit.engines.fused.machine import run
from ntkit.engines.fused.rows import fast

IMAGES, PAIRS = range(2)  # where a stage reads
SUM, POOL = range(2)  # what it writes


@fast
def run_stage(plan, source, ends, fields, same, lanes, tangent, polynomials, space):
    """Fill the ends of a stage for all row images.

    Args:
        plan: (code, numbers, displacements, extents of the first grid and of the last, wrap, reads, writes).
        source: (row images, column images; stored gaps, stored tangent kernels, where displacements begin in them).
        ends: (sums of gaps and of tangent kernels; pool down, across, where displacements begin, extents below, whether these wrap, pooled
            gaps, pooled tangent kernels).
        fields: (of the row images, of the column images).
        same: For every row image, the lane that is itself, or a negative number.
        lanes: How many column images.
        tangent: Whether tangent kernels are wanted.
        polynomials: (of angles, of arcs).
        space: (gaps, tangent kernels, rings, rows, line, frame).
    """
    code, numbers, displacements, grid_in, grid_out, wrap, reads, writes = plan
    images1, images2, stored_d, stored_t, starts_in = source
    sum_d, sum_t, down, across, starts_out, below, wrap_below, pooled_d, pooled_t = ends
    ones, two = fields
    p, r = polynomials
    d, t, rings, rows, line, frame = space
    for i in range(ones.shape[0]):
        one = ones[i]
        for k in range(displacements.shape[0]):
            dy, dx = displacements[k, 0], displacements[k, 1]
            y, x = dy * code[0, STEP_IN], dx * code[0, STEP_IN + 1]
            if reads == IMAGES:
                read_images(images1[i], images2, y, x, lanes, wrap, tangent, d[0], t[0], frame)
            else:
                if wrap:
                    start = starts_in[y, x]
                else:
                    start = starts_in[y + grid_in[0] - 1, x + grid_in[1] - 1]
                read_pairs(
                    stored_d[i], stored_t[i], start, grid_in, one, two, lanes, y, x, wrap, tangent, d[0], t[0], frame
                )
            run(code, numbers, dy, dx, one, two, lanes, wrap, same[i], tangent, p, r, d, t, rings, rows, frame)
            last = code[-1, OUTPUT]
            if writes == SUM:
                add_sum(d[last], dy, dx, grid_out, lanes, wrap, frame, line, sum_d[i])
                if tangent:
                    add_sum(t[last], dy, dx, grid_out, lanes, wrap, frame, line, sum_t[i])
            else:
                add_pooled(
                    d[last], dy, dx, grid_out, lanes, wrap, frame, down, across, starts_out, below, wrap_below, pooled_d[i]
                )
                if tangent:
                    add_pooled(
                        t[last], dy, dx, grid_out, lanes, wrap, frame, down, across, starts_out, below, wrap_below, pooled_t[i]
                    )
