"""Where the pairs of a displacement come from and where they go: images, a grid above, a sum, a grid below."""

import numpy as np

from ntkit.engines.fused.frames import overlap, spread
from ntkit.engines.fused.functions import fast
from ntkit.engines.fused.vector import BYTES, WIDE, fill, load, load_wide, store, where_less

FEW = 32  # channels that are summed by themselves: the rounding of a long sum grows with its length


@fast
def read_images(one, two, dy, dx, lanes, wrap, tangent, d, t, frame):
    """The gap of the data, the mean over channels of (x − x')².

    `one` is (height, width, channels), `two` (height, width, channels, lanes), twice as wide where `wrap`.
    """
    height, width, channels = one.shape
    vector, share = BYTES // d.itemsize, d.dtype.type(1) / d.dtype.type(channels)
    y0, many = overlap(dy, height, wrap)
    x0, pixels = overlap(dx, width, wrap)
    for y in range(many):
        for x in range(pixels):
            a = one[y + y0, x + x0]
            b = two[(y + y0 + dy) % height, x + x0 + dx]
            to, row = (frame + x) * lanes, d[frame + y]
            for i in range(0, lanes, vector):
                total = fill(d.dtype.type(0))
                for c in range(channels):
                    apart = load(b[c], i) - a[c]
                    total = total + apart * apart
                store(row, to + i, total * share)
        if tangent:
            spread(t.dtype.type(0), t[frame + y], frame * lanes, pixels * lanes)


@fast
def read_vectors(rows, two, lanes, out):
    """The gaps of four vectors, (channels,) each, to all column vectors, (channels, lanes), a whole number of wide vectors."""
    a, b, c, d = rows
    channels = len(a)
    share, zero = two.dtype.type(1) / two.dtype.type(channels), two.dtype.type(0)
    for i in range(0, lanes, WIDE * BYTES // two.itemsize):
        nothing = load_wide(two[0], i) * zero
        sum_a = sum_b = sum_c = sum_d = nothing
        for begin in range(0, channels, FEW):
            part_a = part_b = part_c = part_d = nothing
            for k in range(begin, min(begin + FEW, channels)):
                other = load_wide(two[k], i)
                off_a, off_b, off_c, off_d = other - a[k], other - b[k], other - c[k], other - d[k]
                part_a, part_b = part_a + off_a * off_a, part_b + off_b * off_b
                part_c, part_d = part_c + off_c * off_c, part_d + off_d * off_d
            sum_a, sum_b, sum_c, sum_d = sum_a + part_a, sum_b + part_b, sum_c + part_c, sum_d + part_d
        store(out[0], i, sum_a * share)
        store(out[1], i, sum_b * share)
        store(out[2], i, sum_c * share)
        store(out[3], i, sum_d * share)


@fast
def read_pairs(pairs, extents, one, two, lanes, dy, dx, wrap, tangent, d, t, frame):
    """A field that a pool has left, less half of the gaps that either image has within a window.

    `pairs` holds gaps and tangent kernels, each (pairs, lanes); those of this displacement begin at `start`, row by row. The
    first field of either image is half of the gap within a window. What rounding leaves of two equal images counts as 0.
    """
    stored_d, stored_t, start = pairs
    noise, vector = 4 * np.finfo(d.dtype).eps, BYTES // d.itemsize
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
            for i in range(0, lanes, vector):
                within = load(two, there + i) + one[here]
                gap = load(stored_d[pair], i) - within
                store(d[frame + y], at + i, where_less(within * noise, gap, gap, 0))
                if tangent:
                    store(t[frame + y], at + i, load(stored_t[pair], i))


@fast
def add_sum(image, dy, dx, extents, lanes, wrap, frame, line, total):
    """Add the sum over all pairs of a displacement to `total`, (lanes,): single rows in `line`, rows in double precision."""
    _, many = overlap(dy, extents[0], wrap)
    _, pixels = overlap(dx, extents[1], wrap)
    for y in range(many):
        row = image[frame + y]
        for i in range(0, lanes, BYTES // image.itemsize):
            part = load(row, frame * lanes + i)
            for x in range(frame + 1, frame + pixels):
                part = part + load(row, x * lanes + i)
            store(line, i, part)
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
                line = image[frame + y], frame * lanes, x0, dx, pixels, extents[1], lanes
                add_row(line, across, starts, below, wrap_below, top, weight, stored)


@fast
def add_row(line, across, starts, below, wrap, top, weight, stored):
    """One row of pairs to the pairs of windows whose rows are those of `top`."""
    row, begin, x0, dx, pixels, extent, lanes = line
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
                w, to = weight * across[2][j] * across[2][k], stored[pair]
                for i in range(0, lanes, BYTES // row.itemsize):
                    store(to, i, load(to, i) + load(row, begin + x * lanes + i) * w)


@fast
def write_out(d, t, result, variance, lanes, tangent):
    """Kernels of one vector with all column vectors, through the weights that are left; whether they are finite.

    `result` has the matrices, (row, column) where this row begins in them, how many columns there are, the sums of variances
    of the columns, and `outputs.head_table`.
    """
    nngp, ntk, row, column, count, variances, head = result
    width = BYTES // d.itemsize
    to_k, to_t = nngp[row], ntk[row if tangent else 0]
    seen = load(d, 0) * 0
    for i in range(0, lanes, width):
        k, s = (load(variances, i) + variance - load(d, i) * head[0, 0]) * 0.5, seen
        if tangent:
            s = load(t, i) * head[0, 0]
        for j in range(1, head.shape[0]):
            if tangent:
                s = s * head[j, 0] + (k * head[j, 2] + head[j, 3])
            k = k * head[j, 0] + head[j, 1]
        seen = seen + k * 0 + s * 0
        if i + width <= count:
            store(to_k, column + i, k)
            if tangent:
                store(to_t, column + i, s)
        else:
            store(d, i, k)
            if tangent:
                store(t, i, s)
            for j in range(i, count):
                to_k[column + j] = d[j]
                if tangent:
                    to_t[column + j] = t[j]
    store(d, 0, seen)
    total = d[0]
    for i in range(1, width):
        total += d[i]
    return total == 0
