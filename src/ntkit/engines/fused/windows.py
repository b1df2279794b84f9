"""Windows over the pixel pairs of one displacement: where pairs lie, what is read around them, and sums of taps."""

from ntkit.engines.fused.code import DILATION, FIELD_IN, GRID_IN, HIGH, LOW, STRIDE, TAPS
from ntkit.engines.fused.rows import fast


@fast
def overlap(d, extent, wrap):
    """The first p for which p and p + d both lie on a line of that extent, and how many there are."""
    if wrap:
        return 0, extent
    return max(0, -d), extent - abs(d)


@fast
def fill_frame(step, dy, dx, one, two, lanes, wrap, tangent, d, t, frame):
    """What windows read around the pairs of a displacement."""
    _, many = overlap(dy, step[GRID_IN], wrap)
    _, pixels = overlap(dx, step[GRID_IN + 1], wrap)
    left, right = step[LOW + 1], step[HIGH + 1]
    for r in range(-step[LOW], many + step[HIGH]):
        if 0 <= r < many:
            for c in range(-left, 0):
                fill_pixel(step, r, c, dy, dx, one, two, lanes, wrap, tangent, d, t, frame)
            for c in range(pixels, pixels + right):
                fill_pixel(step, r, c, dy, dx, one, two, lanes, wrap, tangent, d, t, frame)
        else:
            for c in range(-left, pixels + right):
                fill_pixel(step, r, c, dy, dx, one, two, lanes, wrap, tangent, d, t, frame)


@fast
def fill_pixel(step, r, c, dy, dx, one, two, lanes, wrap, tangent, d, t, frame):
    """The other edge of the grid, or the gap between a pixel and a zero.

    Of a pair outside, only one pixel lies on the image, if any; its variance is the gap, and their tangent kernel 0.
    """
    height, width = step[GRID_IN], step[GRID_IN + 1]
    to = (frame + c) * lanes
    if wrap:
        start = (frame + c % width) * lanes
        for i in range(lanes):
            d[frame + r, to + i] = d[frame + r % height, start + i]
        if tangent:
            for i in range(lanes):
                t[frame + r, to + i] = t[frame + r % height, start + i]
        return
    y, x = r + max(0, -dy), c + max(0, -dx)
    value = one[0] * 0
    if 0 <= y < height and 0 <= x < width:
        value = one[step[FIELD_IN] + y * width + x]
    for i in range(lanes):
        d[frame + r, to + i] = value
    y, x = y + dy, x + dx
    if 0 <= y < height and 0 <= x < width:
        start = (step[FIELD_IN] + y * width + x) * lanes
        for i in range(lanes):
            d[frame + r, to + i] += two[start + i]
    if tangent:
        for i in range(lanes):
            t[frame + r, to + i] = 0


@fast
def sum_across(row, step, pixels, lanes, frame, out):
    """Sums over the taps of a window along a row."""
    # Slices throughout: an index with an offset may be negative for all the compiler knows, which costs its vectors.
    taps, stride = step[TAPS + 1], step[STRIDE + 1]
    hop = step[DILATION + 1] * lanes
    start = (frame - step[LOW + 1]) * lanes
    n = pixels * lanes
    if stride == 1 and taps == 3:
        a, b, c = (
            row[start : start + n],
            row[start + hop : start + hop + n],
            row[start + 2 * hop : start + 2 * hop + n],
        )
        for i in range(n):
            out[i] = a[i] + b[i] + c[i]
    elif stride == 1:
        a = row[start : start + n]
        for i in range(n):
            out[i] = a[i]
        for k in range(1, taps):
            a = row[start + k * hop : start + k * hop + n]
            for i in range(n):
                out[i] += a[i]
    else:
        for x in range(pixels):
            begin = start + x * stride * lanes
            a, to = row[begin : begin + lanes], out[x * lanes : (x + 1) * lanes]
            for i in range(lanes):
                to[i] = a[i]
            for k in range(1, taps):
                a = row[begin + k * hop : begin + k * hop + lanes]
                for i in range(lanes):
                    to[i] += a[i]


@fast
def sum_down(ring, first, step, n, scale, out):
    """`scale` times the sum over the taps of a window down the rows; `ring` holds these with their sums across."""
    taps, dilation, size = step[TAPS], step[DILATION], ring.shape[0]
    if taps == 1:
        a = ring[first % size]
        for i in range(n):
            out[i] = a[i] * scale
    elif taps == 3:
        a, b, c = ring[first % size], ring[(first + dilation) % size], ring[(first + 2 * dilation) % size]
        for i in range(n):
            out[i] = (a[i] + b[i] + c[i]) * scale
    else:
        a = ring[first % size]
        for i in range(n):
            out[i] = a[i] * scale
        for k in range(1, taps):
            a = ring[(first + k * dilation) % size]
            for i in range(n):
                out[i] += a[i] * scale
