"""Colour refinement: which nodes have equal moments, since a network cannot tell them apart.

The moments of a node behind l aggregations depend on its unfolding tree of depth l alone. So each field of a network has a
partition of the nodes of all graphs into colours: by what they hold at first, and behind a linear map by the colours, with
their weights, that they sum up. Colours are numbered as they first occur, so that those of a graph lie together.

References:
    Shervashidze et al. (2011), "Weisfeiler-Lehman Graph Kernels", algorithm 1.
"""

import dataclasses

import numpy as np
from numba import njit

from ntkit.engines.colours.maps import Map

# Bits of a weight that do not count when rows are compared: 6 · (1/6) is not 1 to the last digit.
_ROUNDING_BITS = 8


@dataclasses.dataclass(frozen=True)
class Partition:
    """Which colour each unit (a node, or a graph behind a readout) has.

    Attributes:
        colours: (units,), numbers from 0 on in the order in which they first occur.
        first: (colours,), the first unit of each colour.
    """

    colours: np.ndarray
    first: np.ndarray

    @property
    def count(self) -> int:
        """How many colours there are."""
        return len(self.first)


def of_values(values: np.ndarray) -> Partition:
    """Units that hold the same numbers."""
    units, channels = values.shape
    keys = (np.ascontiguousarray(values, np.float64) + 0.0).view(np.int64).reshape(-1)  # −0 is 0
    return _number(np.arange(units + 1, dtype=np.int64) * channels, keys)


def of_sums(m: Map, below: Partition) -> tuple[Partition, Map]:
    """Units that sum up the same colours with the same weights; and the map between colours."""
    begins, colours, weights = _by_colours(m.begins, m.columns, m.weights, below.colours)
    keys = np.empty((len(colours), 2), np.int64)
    keys[:, 0] = colours
    half = 1 << (_ROUNDING_BITS - 1)
    keys[:, 1] = (weights.view(np.int64) + half) >> _ROUNDING_BITS
    found = _number(2 * begins, keys.reshape(-1))
    return found, Map(begins, colours, weights, below.count).at(found.first)


def of_all(partitions: list[Partition]) -> tuple[Partition, list[np.ndarray]]:
    """The common refinement of partitions; and of each of its colours the colour in each of them."""
    keys = np.stack([p.colours for p in partitions], axis=1)
    found = _number(np.arange(len(keys) + 1, dtype=np.int64) * len(partitions), keys.reshape(-1))
    return found, [p.colours[found.first] for p in partitions]


def _number(begins: np.ndarray, keys: np.ndarray) -> Partition:
    """Rows of keys that are equal; row r holds keys[begins[r] : begins[r + 1]]."""
    units = len(begins) - 1
    slots = np.full(1 << max(4, (2 * units).bit_length()), -1, np.int64)
    colours, first = np.empty(units, np.int64), np.empty(units, np.int64)
    count = _fill(begins, keys, slots, colours, first)
    return Partition(colours, first[:count].copy())


@njit(cache=True, nogil=True)
def _fill(begins, keys, slots, colours, first):
    """Number rows by a hash table, in which equal hashes alone do not make rows equal."""
    count, mask = 0, np.uint64(len(slots) - 1)
    for row in range(len(colours)):
        a, b = begins[row], begins[row + 1]
        mixed = np.uint64(b - a)
        for k in range(a, b):
            mixed = (mixed ^ np.uint64(keys[k])) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        slot = (mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            colour = slots[np.int64(slot)]
            if colour < 0:
                slots[np.int64(slot)], colours[row], first[count] = count, count, row
                count += 1
                break
            if _equal(begins, keys, first[colour], row):
                colours[row] = colour
                break
            slot = (slot + np.uint64(1)) & mask
    return count


@njit(cache=True, nogil=True)
def _equal(begins, keys, a, b):
    i, j, length = begins[a], begins[b], begins[a + 1] - begins[a]
    if begins[b + 1] - j != length:
        return False
    k = 0
    while k < length and keys[i + k] == keys[j + k]:
        k += 1
    return k == length


@njit(cache=True, nogil=True)
def _by_colours(begins, columns, weights, colours):
    """The rows of a map with colours in place of units: sorted, the weights of equal colours added in the order of their size.

    Equal multisets of colours and weights then give equal numbers, whatever the order of the nodes.
    """
    new_begins = np.zeros(len(begins), np.int64)
    new_colours, new_weights = np.empty(len(columns), np.int64), np.empty(len(columns))
    at = 0
    for row in range(len(begins) - 1):
        a, b = begins[row], begins[row + 1]
        which, weigh = colours[columns[a:b]], weights[a:b].copy()
        _sort(which, weigh)
        for k in range(b - a):
            if k and which[k] == new_colours[at - 1]:
                new_weights[at - 1] += weigh[k]
            else:
                new_colours[at], new_weights[at] = which[k], weigh[k]
                at += 1
        new_begins[row + 1] = at
    return new_begins, new_colours[:at].copy(), new_weights[:at].copy()


@njit(cache=True, nogil=True)
def _sort(which, weigh):
    """Both by the first, and where that is equal by the second: Shell's sort, since most rows are short."""
    n, gap = len(which), 1
    while 3 * gap + 1 < n:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            c, w, j = which[i], weigh[i], i
            while j >= gap and (which[j - gap] > c or (which[j - gap] == c and weigh[j - gap] > w)):
                which[j], weigh[j] = which[j - gap], weigh[j - gap]
                j -= gap
            which[j], weigh[j] = c, w
        gap //= 3
