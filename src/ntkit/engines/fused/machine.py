"""The interpreter: runs a stage over one row image and a block of column images, displacement by displacement.

Under a convolution the pixel pair (p, p + d) only ever meets pairs of the same displacement d. So all instructions of a
stage run on one displacement before the next is touched, and its images, the gap D and the tangent kernel T of the pairs
(p, p + d), stay in the cache. They lie as rows of pixels, each pixel with one number a column image (the lanes), inside
of a frame for what windows read beyond the edge.
"""

from ntkit.engines.fused.code import (
    ADD,
    BEND,
    DILATION,
    EXTRA,
    FIELD_A,
    FIELD_B,
    FUNCTION,
    GAIN,
    GRID_OUT,
    HALF_LINES,
    HIGH,
    INPUT,
    LINE,
    LOW,
    OPERATION,
    OTHER,
    OUTPUT,
    SCALE,
    SHIFT,
    STEP_IN,
    STEP_OUT,
    STRIDE,
    TAPS,
    WEIGH,
)
from ntkit.engines.fused.rows import fast, half_lines, half_lines_gap, linear, spread
from ntkit.engines.fused.windows import fill_frame, overlap, sum_across, sum_down

ALL_LANES = -2  # every lane is the row image itself
NO_LANE = -1


@fast
def run(code, numbers, dy, dx, one, two, lanes, wrap, same, tangent, g, work):
    """All instructions on the displacement (dy, dx) of the stage's last grid.

    Args:
        code: (instructions, COLUMNS).
        numbers: (instructions, NUMBERS).
        dy: Rows from p to p'.
        dx: Columns from p to p'.
        one: Fields of the row image, (pixels,).
        two: Fields of the column images, (pixels · lanes,), every row twice where `wrap`.
        lanes: How many column images.
        wrap: Whether positions are taken modulo the grid.
        same: The lane that is the row image itself, or NO_LANE or ALL_LANES.
        tangent: Whether T is wanted.
        g: Coefficients of angles (`arc.coefficients`).
        work: Registers of gaps and of tangent kernels, each (registers, rows, columns · lanes); rings of windows and rows,
            which are work space; and the width of the frame in pixels.
    """
    d, t, rings, rows, frame = work
    for k in range(code.shape[0]):
        step = code[k]
        y, x = dy * step[STEP_OUT], dx * step[STEP_OUT + 1]
        if step[OPERATION] == WEIGH:
            above = (dy * step[STEP_IN], dx * step[STEP_IN + 1])
            weigh(step, numbers[k], above, y, x, one, two, lanes, wrap, tangent, g, d, t, rings, rows, frame)
        elif step[OPERATION] == ADD:
            add(step, y, x, lanes, wrap, d, frame)
            if tangent:
                add(step, y, x, lanes, wrap, t, frame)
        else:
            mine = same if y == 0 and x == 0 else NO_LANE
            inflate(step, numbers[k], y, x, one, two, lanes, wrap, mine, tangent, d, t, rows, frame)


@fast
def weigh(step, numbers, above, dy, dx, one, two, lanes, wrap, tangent, g, d, t, rings, rows, frame):
    """A window, weights and a function: row after row of the outputs, each in one go while it is in the L1 cache."""
    height, width = step[GRID_OUT], step[GRID_OUT + 1]
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    n = pixels * lanes
    source_d, source_t = d[step[INPUT]], t[step[INPUT]]
    target_d, target_t = d[step[OUTPUT]], t[step[OUTPUT]]
    if step[LOW] + step[HIGH] + step[LOW + 1] + step[HIGH + 1] > 0:
        fill_frame(step, above[0], above[1], one, two, lanes, wrap, tangent, source_d, source_t, frame)
    scale, gain, shift = numbers[SCALE], numbers[GAIN], numbers[SHIFT]
    bend, line = numbers[BEND], numbers[LINE]
    twice = 2 if wrap else 1
    ready = -step[LOW]
    for y in range(many):
        first = y * step[STRIDE] - step[LOW]
        while ready <= first + (step[TAPS] - 1) * step[DILATION]:
            slot = ready % rings.shape[1]
            sum_across(source_d[frame + ready], step, pixels, lanes, frame, rings[0, slot])
            if tangent:
                sum_across(source_t[frame + ready], step, pixels, lanes, frame, rings[1, slot])
            ready += 1
        sum_down(rings[0], first, step, n, scale, rows[0])
        if tangent:
            sum_down(rings[1], first, step, n, scale, rows[1])
        to_d, to_t = target_d[frame + y, frame * lanes :], target_t[frame + y, frame * lanes :]
        here = (y + y0) * width + x0
        there = (y + y0 + dy) % height * (twice * width) + x0 + dx
        spread(one, step[FIELD_A] + here, pixels, lanes, rows[2])
        a = two[(twice * step[FIELD_A] + there) * lanes :]
        if step[FUNCTION] == HALF_LINES:
            spread(one, step[FIELD_B] + here, pixels, lanes, rows[3])
            b = two[(twice * step[FIELD_B] + there) * lanes :]
            if tangent:
                half_lines(
                    rows[0], rows[1], rows[2], rows[3], a, b, n, bend, line, g, gain, shift, to_d, to_t
                )
            else:
                half_lines_gap(rows[0], rows[2], rows[3], a, b, n, bend, line, g, to_d)
        else:
            linear(rows[0], rows[1], rows[2], a, n, gain, shift, tangent, to_d, to_t)


@fast
def add(step, dy, dx, lanes, wrap, images, frame):
    """OUTPUT = INPUT + OTHER."""
    _, many = overlap(dy, step[GRID_OUT], wrap)
    _, pixels = overlap(dx, step[GRID_OUT + 1], wrap)
    for y in range(many):
        a, b = images[step[INPUT], frame + y], images[step[OTHER], frame + y]
        out = images[step[OUTPUT], frame + y]
        for i in range(frame * lanes, (frame + pixels) * lanes):
            out[i] = a[i] + b[i]


@fast
def inflate(step, numbers, dy, dx, one, two, lanes, wrap, same, tangent, d, t, rows, frame):
    """Independent noise of relative variance `extra`, which only an image with itself shares."""
    extra = numbers[EXTRA]
    height, width = step[GRID_OUT], step[GRID_OUT + 1]
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    twice = 2 if wrap else 1
    for y in range(many):
        spread(one, step[FIELD_A] + (y + y0) * width + x0, pixels, lanes, rows[2])
        there = (y + y0 + dy) % height * (twice * width) + x0 + dx
        a = two[(twice * step[FIELD_A] + there) * lanes :]
        for i in range(pixels * lanes):
            at = frame * lanes + i
            mine = same == ALL_LANES or i % lanes == same
            gap = d[step[INPUT], frame + y, at]
            d[step[OUTPUT], frame + y, at] = gap * (1 + extra) if mine else gap + extra * (rows[2, i] + a[i])
            if tangent:
                t[step[OUTPUT], frame + y, at] = t[step[INPUT], frame + y, at] * (1 + extra if mine else 1)
