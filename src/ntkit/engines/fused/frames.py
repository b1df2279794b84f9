"""What windows read around the pixel pairs of one displacement: the other edge of the grid, or the gap to a zero.

Of a pair beyond the edge, at most one pixel lies on its image; the other counts as 0. Their gap is the variance of the
one, and their tangent kernel 0.
"""

from ntkit.engines.fused.code import FIELD_IN, GRID_IN, HIGH, LOW
from ntkit.engines.fused.functions import fast
from ntkit.engines.fused.vector import BYTES, fill, load, store


@fast
def overlap(d, extent, wrap):
    """The first p for which p and p + d both lie on a line of that extent, and how many there are."""
    if wrap:
        return 0, extent
    return max(0, -d), extent - abs(d)


@fast
def copy(source, begin, out, to, n):
    """`n` numbers, a whole number of vectors."""
    for i in range(0, n, BYTES // out.itemsize):
        store(out, to + i, load(source, begin + i))


@fast
def spread(number, out, to, n):
    """One number, n times."""
    every = fill(number)
    for i in range(0, n, BYTES // out.itemsize):
        store(out, to + i, every)


@fast
def wrap_around(step, many, pixels, lanes, image, frame):
    """The other edge."""
    for r in range(many):
        row = image[frame + r]
        for c in range(-step[LOW + 1], 0):
            copy(row, (frame + c % pixels) * lanes, row, (frame + c) * lanes, lanes)
        for c in range(pixels, pixels + step[HIGH + 1]):
            copy(row, (frame + c % pixels) * lanes, row, (frame + c) * lanes, lanes)
    begin = (frame - step[LOW + 1]) * lanes
    n = (step[LOW + 1] + pixels + step[HIGH + 1]) * lanes
    for r in range(-step[LOW], 0):
        copy(image[frame + r % many], begin, image[frame + r], begin, n)
    for r in range(many, many + step[HIGH]):
        copy(image[frame + r % many], begin, image[frame + r], begin, n)


@fast
def clear_around(step, many, pixels, lanes, image, frame):
    """Zeros, as wide as the frame."""
    zero, n = image.dtype.type(0), frame * lanes
    for r in range(-frame, many + frame):
        if 0 <= r < many:
            spread(zero, image[frame + r], 0, n)
            spread(zero, image[frame + r], n + pixels * lanes, n)
        else:
            spread(zero, image[frame + r], 0, 2 * n + pixels * lanes)


@fast
def gaps_to_zero(step, dy, dx, one, two, lanes, image, frame):
    """The variance of that pixel of a pair which lies on its image."""
    height, width = step[GRID_IN], step[GRID_IN + 1]
    y0, many = overlap(dy, height, False)
    x0, pixels = overlap(dx, width, False)
    for c in range(-step[LOW + 1], 0):
        gaps_of_column(step[FIELD_IN], width, y0, x0, dy, dx, many, c, one, two, lanes, image, frame)
    for c in range(pixels, pixels + step[HIGH + 1]):
        gaps_of_column(step[FIELD_IN], width, y0, x0, dy, dx, many, c, one, two, lanes, image, frame)
    for r in range(-step[LOW], 0):
        gaps_of_row(step, y0, x0, dy, dx, pixels, r, one, two, lanes, image[frame + r], frame)
    for r in range(many, many + step[HIGH]):
        gaps_of_row(step, y0, x0, dy, dx, pixels, r, one, two, lanes, image[frame + r], frame)


@fast
def gaps_of_column(field, width, y0, x0, dy, dx, many, c, one, two, lanes, image, frame):
    """Pairs in column c, left or right of all that lie on both images."""
    to = (frame + c) * lanes
    first, second = c + x0, c + x0 + dx
    for r in range(many):
        if 0 <= second < width:
            pixel = field + (r + y0 + dy) * width + second
            copy(two, pixel * lanes, image[frame + r], to, lanes)
        elif 0 <= first < width:
            spread(one[field + (r + y0) * width + first], image[frame + r], to, lanes)
        else:
            spread(image.dtype.type(0), image[frame + r], to, lanes)


@fast
def gaps_of_row(step, y0, x0, dy, dx, pixels, r, one, two, lanes, row, frame):
    """Pairs in row r, above or below all that lie on both images."""
    height, width, field = step[GRID_IN], step[GRID_IN + 1], step[FIELD_IN]
    begin, end = -step[LOW + 1], pixels + step[HIGH + 1]
    y1, y2 = r + y0, r + y0 + dy
    inside1, inside2 = 0 <= y1 < height, 0 <= y2 < height
    # The columns whose pixel lies on the image.
    start = x0 + dx if inside2 else x0
    low, high = max(begin, -start), min(end, width - start)
    if not inside1 and not inside2:
        low = high = end
    zero = row.dtype.type(0)
    spread(zero, row, (frame + begin) * lanes, (low - begin) * lanes)
    spread(zero, row, (frame + high) * lanes, (end - high) * lanes)
    if inside2:
        copy(
            two, (field + y2 * width + start + low) * lanes, row, (frame + low) * lanes, (high - low) * lanes
        )
    elif inside1:
        for c in range(low, high):
            spread(one[field + y1 * width + start + c], row, (frame + c) * lanes, lanes)
