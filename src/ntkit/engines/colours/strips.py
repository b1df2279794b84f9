"""Sums of neighbours on both sides of a matrix, S X Sᵀ, and functions of what comes out, strip after strip.

A matrix between the colours of two blocks lies in strips: of one block LANES colours side by side, of the other one all,
one below the other. First S X for some rows of S, where what is summed are the rows of strips; that is turned over in a
buffer that stays in the cache, so that what the other S sums are rows again; and what comes out is a strip, through which
the functions go while it is in the cache too. D is the gap, T the tangent kernel.
"""

import functools
import pathlib
from typing import Any

from numba import njit

from ntkit.engines.colours.chains import through_chain
from ntkit.engines.colours.turning import TILE, turn
from ntkit.engines.fused.functions import fast, joined
from ntkit.engines.fused.rows import through
from ntkit.engines.fused.stage import digest
from ntkit.engines.fused.vector import BYTES, OPTIONS, entry, fill, load, rounding, store, where_less

LANES = 32  # colours of a strip: two vectors in single precision, four in double
ACROSS = 4  # vectors side by side, whose sums stay in registers
_HERE = pathlib.Path(__file__).parent
_SOURCES = digest(_HERE, _HERE.parent / "fused")


@fast
def four_sums(sparse, row, x, begin, hop, apart):
    """Σ_k w_k x[begin + c_k·hop + …] over the entries k of a row of S, of four vectors so far apart; x is flat."""
    begins, columns, weights = sparse
    zero = fill(x.dtype.type(0))
    a, b, c, d = zero, zero, zero, zero
    for k in range(begins[row], begins[row + 1]):
        at, w = begin + entry(columns, k) * hop, entry(weights, k)
        a = a + load(x, at + apart[0]) * w
        b = b + load(x, at + apart[1]) * w
        c = c + load(x, at + apart[2]) * w
        d = d + load(x, at + apart[3]) * w
    return a, b, c, d


@fast
def gather(sparse, first, x, tile, y, hop, at):
    """y[u·hop + at + i] = Σ_k w_k X[c_k, u] over the entries k of row first + i of S, for LANES rows and all u."""
    width, strips = BYTES // x.itemsize, x.shape[0]
    size, across = x.shape[1] * LANES, ACROSS * width
    rows = min(LANES, len(sparse[0]) - 1 - first)
    for s in range(0, strips, across // LANES):
        following = size if s + 1 < strips else 0  # beyond the last strip it again, and not read
        next_two = 2 * width if 2 * width < LANES else following
        for i in range(rows):
            sums = four_sums(sparse, first + i, x, s * size, LANES, (0, width, next_two, next_two + width))
            for k, total in enumerate(sums):
                store(tile, i * across + k * width, total)
        side = TILE // x.itemsize
        for k in range(0, min(across, (strips - s) * LANES), side):
            for i in range(0, LANES, side):
                turn(tile, i * across + k, across, y, (s * LANES + k) * hop + at + i, hop)


@fast
def put_gap(total, row, j, lanes, t, i, first, out, begin):
    """D ← S D Sᵀ − own − own' + (ρ − ρ')(m − m'): the gap between sums; what rounding leaves of 0 counts as 0."""
    own, weight, mean = row
    owns, weights, means = lanes
    at, to = t * LANES + i, begin + j * LANES + i
    apart, both = (load(weights, at) - weight[j]) * (load(means, at) - mean[j]), load(owns, at) + own[j]
    gap = total - both + apart
    gap = where_less(gap, both * (rounding(gap) * 4), 0, gap)
    store(out, to, gap if first else load(out, to) + gap)


@fast
def put(total, j, i, first, out, begin):
    """The same of the tangent kernel, which is summed alone."""
    to = begin + j * LANES + i
    store(out, to, total if first else load(out, to) + total)


@joined
def sum_rows(sparse, top, bottom, y, terms, t, tangent, first, out, begin):
    """Rows of strip t of the gaps and of the tangent kernels of sums, or what they add to them; row 0 would be at `begin`."""
    row, lanes = terms
    width = BYTES // y.itemsize
    hop, apart = LANES * (1 + tangent), (0, width, 2 * width, 3 * width)
    for j in range(top, bottom):
        a, b, c, d = four_sums(sparse, j, y, 0, hop, apart)
        put_gap(a, row, j, lanes, t, 0, first, out[0], begin)
        put_gap(b, row, j, lanes, t, width, first, out[0], begin)
        if ACROSS * width > LANES:
            if tangent:
                put(c, j, 0, first, out[1], begin)
                put(d, j, width, first, out[1], begin)
        else:
            put_gap(c, row, j, lanes, t, 2 * width, first, out[0], begin)
            put_gap(d, row, j, lanes, t, 3 * width, first, out[0], begin)
            if tangent:
                a, b, c, d = four_sums(sparse, j, y, LANES, hop, apart)
                put(a, j, 0, first, out[1], begin)
                put(b, j, width, first, out[1], begin)
                put(c, j, 2 * width, first, out[1], begin)
                put(d, j, 3 * width, first, out[1], begin)


@fast
def add_to_sums(members, x, begin, t, top, bottom, out):
    """Add rows of strip t to the sums that they belong to: of each row which, and with what weight."""
    begins, groups, weights = members
    for j in range(top, bottom):
        for k in range(begins[j], begins[j + 1]):
            at, to = begin + j * LANES, (t * out.shape[1] + groups[k]) * LANES
            for i in range(0, LANES, BYTES // x.itemsize):
                store(out, to + i, load(out, to + i) + load(x, at + i) * weights[k])


@functools.cache
def summed(functions: str) -> Any:
    """What works on matrices, for networks of these functions, compiled once for each state of the sources and kept on disk."""
    sources = _SOURCES

    @njit(cache=True, **OPTIONS)
    def through_strips(x, lanes, rows, same, stage, chain, how, approximations, work, out, readout):
        """The gaps and tangent kernels of sums, and behind the functions that follow.

        Args:
            x: (D, T), (strips, rows, LANES) each. The colours of what are rows become the lanes.
            lanes: Of what become lanes: S as (where the entries of each row begin, their columns, their weights), in the
                precision of x; (own, ρ, m), see `put_gap`; and what the functions read, (strips, fields · LANES).
            rows: The same of what become rows, in the precision of the result.
            same: Of each row, the lane that is the same colour, or −1.
            stage: (code, numbers) of the functions.
            chain: Whether there are polynomials in place of the functions, and these.
            how: Whether T is wanted; whether this is the first of several terms of a sum, and the last one.
            approximations: The polynomials of which functions are made.
            work: Space for a tile, and for a strip turned over in the precision of x, and of the result.
            out: (D, T), alike; or (1, LANES, LANES) each, where some rows after others stand that only the readout reads.
            readout: Sums of rows that are read of the result: of each row the sums that it belongs to, as S above, nothing
                where none is asked for; and (D, T) of the sums, to which they are added.
        """
        _ = sources
        (sparse, of_lanes, two), (other, of_rows, one) = lanes, rows
        (code, numbers), (known, polynomials), (tangent, first, last) = stage, chain, how
        (tile, y, wide), (members, read) = work, readout
        strips, count, hop = len(two), len(same), LANES * (1 + tangent)
        kept = out[0].shape[0] == strips and out[0].shape[1] == count
        for t in range(strips):
            gather(sparse, t * LANES, x[0], tile, y, hop, 0)
            if tangent:
                gather(sparse, t * LANES, x[1], tile, y, hop, LANES)
            if y.itemsize != wide.itemsize:
                for i in range(x[0].shape[0] * LANES * hop):
                    wide[i] = y[i]
            for top in range(0, count, LANES):
                bottom = min(top + LANES, count)
                begin = (t * count if kept else -top) * LANES
                sum_rows(other, top, bottom, wide, (of_rows, of_lanes), t, tangent, first, out, begin)
                if last:
                    for j in range(top, bottom):
                        if same[j] >= 0 and same[j] // LANES == t:
                            out[0][t if kept else 0, j if kept else j - top, same[j] % LANES] = 0
                    place = one[top // LANES], 0, two[t], 0, bottom - top, LANES, 0
                    here = out[0], out[1], begin + top * LANES
                    if known:
                        through_chain(polynomials, begin + top * LANES, begin + bottom * LANES, tangent, out)
                    else:
                        for k in range(code.shape[0]):
                            through(
                                functions, code[k], numbers[k], here, place, tangent, approximations, here
                            )
                    if len(members[0]) > 1:
                        add_to_sums(members, out[0], begin, t, top, bottom, read[0])
                        if tangent:
                            add_to_sums(members, out[1], begin, t, top, bottom, read[1])

    return through_strips


@njit(cache=True, **OPTIONS)
def own_terms(begins, columns, weights, d, out):
    """½ (S D Sᵀ)_ii."""
    for i in range(len(begins) - 1):
        total = 0.0
        for k in range(begins[i], begins[i + 1]):
            inner = 0.0
            for m in range(begins[i], begins[i + 1]):
                inner += weights[m] * d[columns[m] // LANES, columns[k], columns[m] % LANES]
            total += weights[k] * inner
        out[i] = 0.5 * total


@njit(cache=True, **OPTIONS)
def lanes_of(rows, columns, out):
    """Of each of some sorted numbers its place among others, or −1."""
    k = 0
    for i in range(len(rows)):
        while k < len(columns) and columns[k] < rows[i]:
            k += 1
        out[i] = k if k < len(columns) and columns[k] == rows[i] else -1
