"""Windows over the pixel pairs of one displacement: sums of taps along rows and down."""

from ntkit.engines.fused.code import DILATION, LOW, STRIDE, TAPS
from ntkit.engines.fused.functions import fast
from ntkit.engines.fused.vector import BYTES, load, store


@fast
def has_window(step):
    """Whether an instruction reads more than the pair itself."""
    return step[TAPS] * step[TAPS + 1] > 1 or step[STRIDE] * step[STRIDE + 1] > 1


@fast
def sum_across(row, step, pixels, lanes, frame, out):
    """Sums over the taps of a window along a row."""
    width = BYTES // row.itemsize
    taps, hop, ahead = step[TAPS + 1], step[DILATION + 1] * lanes, (step[STRIDE + 1] - 1) * lanes
    start = (frame - step[LOW + 1]) * lanes
    for x in range(pixels):
        for i in range(x * lanes, (x + 1) * lanes, width):
            at = start + x * ahead + i
            total = load(row, at)
            for k in range(1, taps):
                total = total + load(row, at + k * hop)
            store(out, i, total)


@fast
def sum_down(ring, first, step, n, out):
    """Sums over the taps of a window down the rows; `ring` holds these with their sums across."""
    width = BYTES // out.itemsize
    taps, dilation, size = step[TAPS], step[DILATION], ring.shape[0]
    top = ring[first % size]
    if taps == 3:
        mid, low = ring[(first + dilation) % size], ring[(first + 2 * dilation) % size]
        for i in range(0, n, width):
            store(out, i, load(top, i) + load(mid, i) + load(low, i))
        return
    for i in range(0, n, width):
        total = load(top, i)
        for k in range(1, taps):
            total = total + load(ring[(first + k * dilation) % size], i)
        store(out, i, total)
