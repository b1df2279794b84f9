"""The interpreter: runs a stage over one row image and a block of column images, displacement by displacement.

Under a convolution the pixel pair (p, p + d) only ever meets pairs of the same displacement d. So all instructions of a
stage run on one displacement before the next is touched, and its images, the gap D and the tangent kernel T of the pairs
(p, p + d), stay in the cache. They lie as rows of pixels, each pixel with one number a column image (the lanes), inside
of a frame for what windows read beyond the edge.
"""

from ntkit.engines.fused.code import (
    ADD,
    DILATION,
    EXTRA,
    FUNCTION,
    GRID_IN,
    GRID_OUT,
    HIGH,
    INPUT,
    LOW,
    ONE,
    OPERATION,
    OTHER,
    OUTPUT,
    RELU,
    STEP_IN,
    STEP_OUT,
    STRIDE,
    TAPS,
    TWO,
    WEIGH,
)
from ntkit.engines.fused.frames import clear_around, gaps_to_zero, overlap, wrap_around
from ntkit.engines.fused.functions import fast, joined
from ntkit.engines.fused.rows import through, through_3x3
from ntkit.engines.fused.vector import BYTES, load, store
from ntkit.engines.fused.windows import has_window, sum_across, sum_down

ALL_LANES = -2  # every lane is the row image itself
NO_LANE = -1


@joined
def run(code, numbers, dy, dx, ones, two, lanes, wrap, same, tangent, g, functions, work):
    """All instructions on the displacement (dy, dx) of the stage's last grid.

    Every instruction goes over all row images before the next: the fields of the column images, the largest of what is
    read, come from memory once for all of them.

    Args:
        code: (instructions, COLUMNS).
        numbers: (instructions, NUMBERS).
        dy: Rows from p to p'.
        dx: Columns from p to p'.
        ones: Fields of the row images, (images, pixels).
        two: Fields of the column images, (pixels · lanes,), every row twice where `wrap`.
        lanes: How many column images.
        wrap: Whether positions are taken modulo the grid.
        same: Of every row image, the lane that is the image itself, or NO_LANE or ALL_LANES.
        tangent: Whether T is wanted.
        g: Polynomials (`approximations`).
        functions: Which functions the code has, as a text that is known when this is compiled (`rows.through`).
        work: Registers of gaps and of tangent kernels, each (images, registers, rows, columns · lanes); rings of windows and
            rows, which are work space; around how many pairs the frame of each register has been cleared; the frame's width.
    """
    d, t, rings, rows, clean, frame = work
    clean[:] = -1
    for k in range(code.shape[0]):
        step = code[k]
        y, x = dy * step[STEP_OUT], dx * step[STEP_OUT + 1]
        above = dy * step[STEP_IN], dx * step[STEP_IN + 1]
        for i in range(ones.shape[0]):
            mark(step, y, x, wrap, clean[i])
            if step[OPERATION] == WEIGH:
                weigh(
                    step,
                    numbers[k],
                    above,
                    y,
                    x,
                    ones[i],
                    two,
                    lanes,
                    wrap,
                    tangent,
                    g,
                    d[i],
                    t[i],
                    rings,
                    rows,
                    clean[i],
                    frame,
                    functions,
                )
            elif step[OPERATION] == ADD:
                add(step, y, x, lanes, wrap, d[i], frame)
                if tangent:
                    add(step, y, x, lanes, wrap, t[i], frame)
            else:
                mine = same[i] if y == 0 and x == 0 else NO_LANE
                inflate(step, numbers[k], y, x, ones[i], two, lanes, wrap, mine, tangent, d[i], t[i], frame)


@joined
def fill_frame(step, above, one, two, lanes, wrap, tangent, d, t, clean, frame):
    """What a window reads beyond the pairs of a displacement."""
    many, pixels = overlap(above[0], step[GRID_IN], wrap)[1], overlap(above[1], step[GRID_IN + 1], wrap)[1]
    if wrap:
        wrap_around(step, many, pixels, lanes, d, frame)
        if tangent:
            wrap_around(step, many, pixels, lanes, t, frame)
        return
    gaps_to_zero(step, above[0], above[1], one, two, lanes, d, frame)
    # Nothing but this writes around the pairs of a tangent kernel, so of many layers only the first has to.
    if tangent and (clean[step[INPUT], 0] != many or clean[step[INPUT], 1] != pixels):
        clear_around(step, many, pixels, lanes, t, frame)
        clean[step[INPUT], 0], clean[step[INPUT], 1] = many, pixels


@joined
def mark(step, dy, dx, wrap, clean):
    """The output's register is filled anew: what was cleared around pairs of another number is no more."""
    many, pixels = overlap(dy, step[GRID_OUT], wrap)[1], overlap(dx, step[GRID_OUT + 1], wrap)[1]
    if clean[step[OUTPUT], 0] != many or clean[step[OUTPUT], 1] != pixels:
        clean[step[OUTPUT], 0] = -1


@joined
def weigh(
    step,
    numbers,
    above,
    dy,
    dx,
    one,
    two,
    lanes,
    wrap,
    tangent,
    g,
    d,
    t,
    rings,
    rows,
    clean,
    frame,
    functions,
):
    """A window, weights and a function: row after row of the outputs, each in one go while it is in the L1 cache."""
    height, width = step[GRID_OUT], step[GRID_OUT + 1]
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    source_d, source_t = d[step[INPUT]], t[step[INPUT]]
    target_d, target_t = d[step[OUTPUT]], t[step[OUTPUT]]
    if step[LOW] + step[HIGH] + step[LOW + 1] + step[HIGH + 1] > 0:
        fill_frame(step, above, one, two, lanes, wrap, tangent, source_d, source_t, clean, frame)
    stride = 2 * width if wrap else width
    at = frame * lanes
    windowed, at_once = has_window(step), step[FUNCTION] == RELU
    # The middle of the window of the first pixel.
    middle = at + (1 - step[LOW + 1]) * lanes
    ready = -step[LOW]
    for y in range(many):
        here, there = (y + y0) * width + x0, (y + y0 + dy) % height * stride + x0 + dx
        place = one, here, two, there, pixels, lanes, lanes
        target = target_d[frame + y], target_t[frame + y if tangent else 0], at
        if at_once:
            images = source_d, source_t, frame + y - step[LOW], middle
            through_3x3(functions, step, numbers, images, place, tangent, g, target)
        elif windowed:
            begin = y * step[STRIDE] - step[LOW]
            while ready <= begin + (step[TAPS] - 1) * step[DILATION]:
                slot = ready % rings.shape[1]
                sum_across(source_d[frame + ready], step, pixels, lanes, frame, rings[0, slot])
                if tangent:
                    sum_across(source_t[frame + ready], step, pixels, lanes, frame, rings[1, slot])
                ready += 1
            sum_down(rings[0], begin, step, pixels * lanes, rows[0])
            if tangent:
                sum_down(rings[1], begin, step, pixels * lanes, rows[1])
            through(functions, step, numbers, (rows[0], rows[1], 0), place, tangent, g, target)
        else:
            row = source_d[frame + y], source_t[frame + y if tangent else 0], at
            through(functions, step, numbers, row, place, tangent, g, target)


@fast
def add(step, dy, dx, lanes, wrap, images, frame):
    """OUTPUT = INPUT + OTHER."""
    _, many = overlap(dy, step[GRID_OUT], wrap)
    _, pixels = overlap(dx, step[GRID_OUT + 1], wrap)
    width = BYTES // images.itemsize
    for y in range(many):
        a, b = images[step[INPUT], frame + y], images[step[OTHER], frame + y]
        out = images[step[OUTPUT], frame + y]
        for i in range(frame * lanes, (frame + pixels) * lanes, width):
            store(out, i, load(a, i) + load(b, i))


@fast
def inflate(step, numbers, dy, dx, one, two, lanes, wrap, same, tangent, d, t, frame):
    """Independent noise of relative variance `extra`, which only an image with itself shares."""
    extra = numbers[EXTRA]
    height, width = step[GRID_OUT], step[GRID_OUT + 1]
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    stride = 2 * width if wrap else width
    for y in range(many):
        here = step[ONE] + (y + y0) * width + x0
        there = (step[TWO] + (y + y0 + dy) % height * stride + x0 + dx) * lanes
        for i in range(pixels * lanes):
            at = frame * lanes + i
            mine = same == ALL_LANES or i % lanes == same
            gap = d[step[INPUT], frame + y, at]
            apart = one[here + i // lanes] + two[there + i]
            d[step[OUTPUT], frame + y, at] = gap * (1 + extra) if mine else gap + extra * apart
            if tangent:
                t[step[OUTPUT], frame + y, at] = t[step[INPUT], frame + y, at] * (1 + extra if mine else 1)
