"""Sparse matrices around a dense one, S X Sᵀ, and functions of what comes out.

First S X, turned over; then what the other S sums up lies along rows again. D is the gap, T the tangent kernel. A matrix
lies row after row, of each the lanes, a whole number of vectors, in use.
"""

import functools
import pathlib
from typing import Any

from numba import njit

from ntkit.engines.colours.turning import turn
from ntkit.engines.fused.functions import fast, joined
from ntkit.engines.fused.rows import through
from ntkit.engines.fused.stage import digest
from ntkit.engines.fused.vector import BYTES, OPTIONS, fill, load, rounding, store, where_less

ACROSS = 4  # vectors side by side, whose sums stay in registers
_HERE = pathlib.Path(__file__).parent
_SOURCES = digest(_HERE, _HERE.parent / "fused")


@fast
def sum_four(sparse, row, x, at, out, to):
    """out[to …] = Σ_k w_k x[c_k, at …] over the entries k of a row, four vectors of it."""
    begins, columns, weights = sparse
    width = BYTES // x.itemsize
    zero = fill(x.dtype.type(0))
    a, b, c, d = zero, zero, zero, zero
    for k in range(begins[row], begins[row + 1]):
        line, w = x[columns[k]], weights[k]
        a = a + load(line, at) * w
        b = b + load(line, at + width) * w
        c = c + load(line, at + 2 * width) * w
        d = d + load(line, at + 3 * width) * w
    store(out, to, a)
    store(out, to + width, b)
    store(out, to + 2 * width, c)
    store(out, to + 3 * width, d)


@fast
def sum_one(sparse, row, x, at, out, to):
    """The same of one vector."""
    begins, columns, weights = sparse
    a = fill(x.dtype.type(0))
    for k in range(begins[row], begins[row + 1]):
        a = a + load(x[columns[k]], at) * weights[k]
    store(out, to, a)


@fast
def sum_row(sparse, row, x, lanes, out):
    """The same of all lanes."""
    width = BYTES // x.itemsize
    left = lanes - lanes % (ACROSS * width)
    for i in range(0, left, ACROSS * width):
        sum_four(sparse, row, x, i, out, i)
    for i in range(left, lanes, width):
        sum_one(sparse, row, x, i, out, i)


@fast
def turned_product(sparse, x, lanes, out, hop, tile):
    """Make `out` (S X)ᵀ, flat, rows `hop` apart; `tile` is work space for a square of vectors times ACROSS."""
    width = BYTES // x.itemsize
    rows, across = len(sparse[0]) - 1, ACROSS * width
    for top in range(0, rows, width):
        for left in range(0, lanes, across):
            whole = left + across <= lanes
            for i in range(width):
                row = min(top + i, rows - 1)  # beyond the last one it again: finite, and not read
                if whole:
                    sum_four(sparse, row, x, left, tile, i * across)
                else:
                    for k in range(0, lanes - left, width):
                        sum_one(sparse, row, x, left + k, tile, i * across + k)
            for k in range(0, min(across, lanes - left), width):
                turn(tile, k, across, out, (left + k) * hop + top, hop)


@fast
def as_gaps(d, own, weight, mean, owns, weights, means, lanes):
    """D ← S D Sᵀ − own − own' + (ρ − ρ')(m − m'): the gap between sums; what rounding leaves of 0 counts as 0."""
    width = BYTES // d.itemsize
    for i in range(0, lanes, width):
        apart, both = (load(weights, i) - weight) * (load(means, i) - mean), load(owns, i) + own
        gap = load(d, i) - both + apart
        store(d, i, where_less(gap, both * (rounding(gap) * 4), 0, gap))


@fast
def add_row(row, to, lanes):
    """Add a row to another."""
    for i in range(0, lanes, BYTES // row.itemsize):
        store(to, i, load(to, i) + load(row, i))


@joined
def fill_row(j, sparse, terms, x, sizes, tangent, first, line, row_d, row_t):
    """Row j of the gaps and of the tangent kernels of sums, or what it adds to them."""
    (d, t), (lanes, _) = x, sizes
    own, weight, mean, owns, weights, means = terms
    to_d, to_t = (row_d, row_t) if first else (line, line)
    sum_row(sparse, j, d, lanes, to_d)
    as_gaps(to_d, own[j], weight[j], mean[j], owns, weights, means, lanes)
    if not first:
        add_row(line, row_d, lanes)
    if tangent:
        sum_row(sparse, j, t, lanes, to_t)
        if not first:
            add_row(line, row_t, lanes)


@functools.cache
def products(functions: str) -> tuple[Any, Any]:
    """What works on matrices, for networks of these functions, compiled once for each state of the sources and kept on disk."""
    sources = _SOURCES

    @njit(cache=True, **OPTIONS)
    def turned(sparse, x, lanes, tangent, out, hop, tile):
        """(S D)ᵀ and (S T)ᵀ.

        Args:
            sparse: (where the entries of each row of S begin, their columns, their weights).
            x: (D, T).
            lanes: In use.
            tangent: Whether T is wanted.
            out: Where they go, flat.
            hop: How far the rows there lie apart.
            tile: Work space.
        """
        _ = sources
        turned_product(sparse, x[0], lanes, out[0], hop, tile)
        if tangent:
            turned_product(sparse, x[1], lanes, out[1], hop, tile)

    @njit(cache=True, **OPTIONS)
    def filled(sparse, terms, x, same, stage, sizes, tangent, first, last, polynomials, line, out):
        """The gaps and tangent kernels of sums, and behind the functions that follow.

        Args:
            sparse: As above.
            terms: (own, ρ, m) of the rows and of the lanes, see `as_gaps`.
            x: (D, T) from `turned`, as matrices.
            same: Of each row, the lane that is the same colour, or −1.
            stage: (code, numbers, fields of the rows, of the lanes) of the functions.
            sizes: (lanes in use, rows).
            tangent: Whether T is wanted.
            first: Whether this is the first of several terms of a sum.
            last: Whether it is the last one.
            polynomials: Those of `approximations`.
            line: Work space for a row.
            out: (D, T), matrices.
        """
        _ = sources
        lanes, rows = sizes
        code, numbers, ones, twos = stage
        for j in range(rows):
            row_d, row_t = out[0][j], out[1][j if tangent else 0]
            fill_row(j, sparse, terms, x, sizes, tangent, first, line, row_d, row_t)
            if last:
                if same[j] >= 0:
                    row_d[same[j]] = 0
                for k in range(code.shape[0]):
                    place, here = (ones[j], 0, twos, 0, 1, lanes), (row_d, row_t, 0)
                    through(functions, code[k], numbers[k], here, place, tangent, polynomials, here)

    return turned, filled


@njit(cache=True, **OPTIONS)
def own_terms(begins, columns, weights, d, out):
    """½ (S D Sᵀ)_ii."""
    for i in range(len(begins) - 1):
        total = 0.0
        for k in range(begins[i], begins[i + 1]):
            line, inner = d[columns[k]], 0.0
            for m in range(begins[i], begins[i + 1]):
                inner += weights[m] * line[columns[m]]
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
