"""Where the pairs of a displacement come from and where they go: images, a grid above, a sum, a grid below."""

from ntkit.engines.fused.rows import fast
from ntkit.engines.fused.windows import overlap


@fast
def read_images(one, two, dy, dx, lanes, wrap, tangent, d, t, frame):
    """The gap of the data, the mean over channels of (x − x')².

    Args:
        one: (height, width, channels).
        two: (height, width, channels, lanes); twice the width where `wrap`.
    """
    height, width, channels = one.shape
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    for y in range(many):
        for x in range(pixels):
            a = one[y + y0, x + x0]
            b = two[(y + y0 + dy) % height, x + x0 + dx]
            to = d[frame + y, (frame + x) * lanes : (frame + x + 1) * lanes]
            for i in range(lanes):
                to[i] = 0
            for c in range(channels):
                for i in range(lanes):
                    e = a[c] - b[c, i]
                    to[i] += e * e
            for i in range(lanes):
                to[i] = to[i] / channels
        if tangent:
            for i in range(frame * lanes, (frame + pixels) * lanes):
                t[frame + y, i] = 0


@fast
def read_pairs(stored_d, stored_t, start, extents, one, two, lanes, dy, dx, wrap, tangent, d, t, frame):
    """A field that a pool has left, less half of the gaps that either image has within a window.

    Args:
        stored_d: (pairs, lanes), means of gaps.
        start: The first of them that has this displacement; they follow row by row.
        extents: Of the grid.
        one: Fields of the row image, of which the first is half of the gap within a window.
        two: The same of the column images.
    """
    height, width = extents
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    wide = 2 * width if wrap else width
    for y in range(many):
        for x in range(pixels):
            pair = start + y * pixels + x
            here = (y + y0) * width + x + x0
            there = ((y + y0 + dy) % height * wide + x + x0 + dx) * lanes
            at = (frame + x) * lanes
            for i in range(lanes):
                d[frame + y, at + i] = max(stored_d[pair, i] - one[here] - two[there + i], 0)
            if tangent:
                for i in range(lanes):
                    t[frame + y, at + i] = stored_t[pair, i]


@fast
def add_sum(image, dy, dx, extents, lanes, wrap, frame, line, total):
    """Add the sum over all pairs of a displacement to `total`, (lanes,), in double precision but for rows.

    Args:
        line: (lanes,), work space.
    """
    _, many = overlap(dy, extents[0], wrap)
    _, pixels = overlap(dx, extents[1], wrap)
    for y in range(many):
        for i in range(lanes):
            line[i] = 0
        for x in range(frame, frame + pixels):
            for i in range(lanes):
                line[i] += image[frame + y, x * lanes + i]
        for i in range(lanes):
            total[i] += line[i]


@fast
def add_pooled(image, dy, dx, extents, lanes, wrap, frame, down, across, starts, below, wrap_below, stored):
    """Add every pair to all pairs of windows that hold it.

    Args:
        down: (of every row, the first of its entries; window; weight), the matrix of the pool as sparse columns.
        across: The same of columns.
        starts: (2·height − 1, 2·width − 1) of the grid below, where its displacements begin in `stored`; −1 for those that
            nobody asks for.
        below: Extents of the grid below.
        stored: (pairs, lanes).
    """
    y0, many = overlap(dy, extents[0], wrap)
    x0, pixels = overlap(dx, extents[1], wrap)
    height, width = below
    for y in range(many):
        p, q = y + y0, (y + y0 + dy) % extents[0]
        for j in range(down[0][p], down[0][p + 1]):
            for k in range(down[0][q], down[0][q + 1]):
                top, ey = down[1][j], down[1][k] - down[1][j]
                weight = down[2][j] * down[2][k]
                add_row(
                    image[frame + y], x0, dx, pixels, extents[1], lanes, frame, across, starts, height, width, wrap_below, top, ey, weight, stored
                )


@fast
def add_row(
    row, x0, dx, pixels, extent, lanes, frame, across, starts, height, width, wrap, top, ey, weight, stored
):
    """One row of pairs to one pair of rows of windows."""
    for x in range(pixels):
        p, q = x + x0, (x + x0 + dx) % extent
        for j in range(across[0][p], across[0][p + 1]):
            for k in range(across[0][q], across[0][q + 1]):
                left, ex = across[1][j], across[1][k] - across[1][j]
                if wrap:
                    start = starts[ey % height, ex % width]
                    pair = start + top * width + left
                else:
                    start = starts[ey + height - 1, ex + width - 1]
                    pair = start + (top - max(0, -ey)) * (width - abs(ex)) + left - max(0, -ex)
                if start < 0:
                    continue
                w = weight * across[2][j] * across[2][k]
                at = (frame + x) * lanes
                for i in range(lanes):
                    stored[pair, i] += w * row[at + i]
