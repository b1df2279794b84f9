"""Where the pairs of a displacement come from and where they go: images, a grid above, a sum, a grid below."""

import numpy as np

from ntkit.engines.fused.rows import fast
from ntkit.engines.fused.windows import overlap


@fast
def read_images(one, two, dy, dx, lanes, wrap, tangent, d, t, frame):
    """The gap of the data, the mean over channels of (x − x')².

    `one` is (height, width, channels), `two` (height, width, channels, lanes), twice as wide where `wrap`.
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
def read_pairs(pairs, extents, one, two, lanes, dy, dx, wrap, tangent, d, t, frame):
    """A field that a pool has left, less half of the gaps that either image has within a window.

    `pairs` holds gaps and tangent kernels, each (pairs, lanes); those of this displacement begin at `start`, row by row. The
    first field of either image is half of the gap within a window. What rounding leaves of two equal images counts as 0.
    """
    stored_d, stored_t, start = pairs
    noise = 4 * np.finfo(d.dtype).eps
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
            a, b, to = stored_d[pair], two[there : there + lanes], d[frame + y, at : at + lanes]
            for i in range(lanes):
                within = one[here] + b[i]
                to[i] = a[i] - within if a[i] - within > noise * within else 0
            if tangent:
                for i in range(lanes):
                    t[frame + y, at + i] = stored_t[pair, i]


@fast
def add_sum(image, dy, dx, extents, lanes, wrap, frame, line, total):
    """Add the sum over all pairs of a displacement to `total`, (lanes,): single rows in `line`, rows in double precision."""
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
def add_pooled(image, dy, dx, extents, lanes, wrap, frame, pool, stored):
    """Add every pair to all pairs of windows that hold it, in `stored`, (pairs, lanes).

    `down` and `across` are the pool's matrices as sparse columns (`layout.sparse_pool`), `below` the extents of its grid,
    `starts` says where that grid's displacements begin in `stored`, −1 for those that nobody asks for.
    """
    down, across, starts, below, wrap_below = pool
    y0, many = overlap(dy, extents[0], wrap)
    x0, pixels = overlap(dx, extents[1], wrap)
    for y in range(many):
        p, q = y + y0, (y + y0 + dy) % extents[0]
        for j in range(down[0][p], down[0][p + 1]):
            for k in range(down[0][q], down[0][q + 1]):
                top, weight = (down[1][j], down[1][k]), down[2][j] * down[2][k]
                row = image[frame + y, frame * lanes :]
                add_row(
                    row,
                    x0,
                    dx,
                    pixels,
                    extents[1],
                    lanes,
                    across,
                    starts,
                    below,
                    wrap_below,
                    top,
                    weight,
                    stored,
                )


@fast
def add_row(row, x0, dx, pixels, extent, lanes, across, starts, below, wrap, top, weight, stored):
    """One row of pairs to the pairs of windows whose rows are those of `top`."""
    height, width = below
    ey = top[1] - top[0]
    for x in range(pixels):
        p, q = x + x0, (x + x0 + dx) % extent
        for j in range(across[0][p], across[0][p + 1]):
            for k in range(across[0][q], across[0][q + 1]):
                left, ex = across[1][j], across[1][k] - across[1][j]
                if wrap:
                    start = starts[ey % height, ex % width]
                    pair = start + top[0] * width + left
                else:
                    start = starts[ey + height - 1, ex + width - 1]
                    pair = start + (top[0] - max(0, -ey)) * (width - abs(ex)) + left - max(0, -ex)
                if start < 0:
                    continue
                w = weight * across[2][j] * across[2][k]
                to, more = stored[pair], row[x * lanes : (x + 1) * lanes]
                for i in range(lanes):
                    to[i] += w * more[i]
