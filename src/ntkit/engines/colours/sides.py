"""What a block brings into a pass, whichever block it meets: maps, variances and fields of its colours.

Where outputs are proportional to inputs, the colours of a field are measured in units of their standard deviation c: the
moments are those of u/c, all gaps lie between 0 and 4, and graphs of unlike sizes keep their digits in single precision.
Elsewhere c is 1.
"""

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse

from ntkit.engines.colours.blocks import Cut
from ntkit.engines.colours.maps import Map
from ntkit.engines.colours.plan import Field
from ntkit.engines.colours.strips import LANES
from ntkit.engines.fused.examples import follow
from ntkit.engines.fused.fields import Fields
from ntkit.engines.fused.layout import aligned, filled

# Where the entries of each row begin, their columns, their weights.
Sparse = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Terms:
    """A map into a field, and what is subtracted of it.

    Attributes:
        map: Between colours in their units.
        own: ½ (S D Sᵀ)_ii.
        weight: ρ, the sums of the rows of S.
        mean: S q.
    """

    map: Map
    own: np.ndarray
    weight: np.ndarray
    mean: np.ndarray


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of the colours of a field, in double precision.

    Attributes:
        unit: c.
        variance: Behind the field, in these units.
        terms: One for each source.
        fields: (colours, …), what the functions read.
        blank: Whether there are units and a colour holds 0 alone, which has none.
        apart: How many times larger the largest deviation is than the smallest, where there are no units; else 1.
    """

    unit: np.ndarray
    variance: np.ndarray
    terms: tuple[Terms, ...]
    fields: np.ndarray
    blank: bool
    apart: float


def known_data(field: Field, values: np.ndarray, dtype: np.dtype) -> Known:
    """Of the data: what each colour holds, (colours, channels)."""
    q = np.mean(values**2, axis=1)
    unit = _units(field, q)
    return _behind(field, q, unit, (), dtype)


def known_sums(field: Field, sums: list[tuple[Map, np.ndarray, Known]], dtype: np.dtype) -> Known:
    """Of sums: of every source the map, ½ (S C D C Sᵀ)_ii with C its units, and what is known of it."""
    q = np.zeros(len(sums[0][0]))
    parts = []
    for m, own, below in sums:
        weight, mean = row_sums(m), row_sums(m, below.variance)
        q = q + (weight * mean - own)
        parts.append((m, own, weight, mean))
    q = np.maximum(q, 0.0)
    unit = _units(field, q)
    terms = tuple(
        Terms(m.scaled(1 / unit, np.ones(m.width)), own / unit**2, weight / unit, mean / unit)
        for m, own, weight, mean in parts
    )
    return _behind(field, q, unit, terms, dtype)


def _units(field: Field, q: np.ndarray) -> np.ndarray:
    return np.sqrt(np.where(q > 0, q, 1.0)) if field.homogeneous else np.ones_like(q)


def _behind(
    field: Field, q: np.ndarray, unit: np.ndarray, terms: tuple[Terms, ...], dtype: np.dtype
) -> Known:
    fields = Fields({0: (q / unit**2)[:, None, None]}, {}, {}, {})
    for k, step in enumerate(field.chain[1:], start=1):
        follow(fields, step, k, dtype)
    parts = [fields.field(kind, node).reshape(len(q), -1) for kind, node in field.stage.fields]
    some = q[q > 0]
    apart = 1.0 if field.homogeneous or not some.size else float(np.sqrt(some.max() / some.min()))
    variance = fields.variances[len(field.chain) - 1][:, 0, 0]
    blank = field.homogeneous and len(some) < len(q)
    return Known(unit, variance, terms, np.concatenate(parts, axis=1), blank, apart)


def row_sums(m: Map, x: np.ndarray | None = None) -> np.ndarray:
    """M x, or M 1."""
    rows = np.repeat(np.arange(len(m)), np.diff(m.begins))
    return np.bincount(rows, m.weights if x is None else m.weights * x[m.columns], minlength=len(m))


@dataclasses.dataclass(frozen=True)
class Side:
    """The same in the dtype of a pass, laid out for compiled code.

    Attributes:
        count: Colours.
        terms: Of every source, the map's arrays; own, ρ and m of the colours of whole strips; and what the functions read,
            (strips, fields · LANES).
    """

    count: int
    terms: tuple[tuple[Any, Any, np.ndarray], ...]


def side_of(known: Known, dtype: np.dtype) -> Side:
    """Lay out what is known."""
    fields = in_strips(known.fields.T, dtype)
    fields, terms = fields.reshape(len(fields), -1), []
    for t in known.terms:
        of_colours = np.stack([t.own, t.weight, t.mean])
        sparse = t.map.begins, t.map.columns, t.map.weights.astype(dtype)
        of_strips = in_strips(of_colours, dtype).transpose(1, 0, 2).reshape(3, -1)
        terms.append((sparse, tuple(of_strips), fields))
    return Side(len(known.unit), tuple(terms))


def in_strips(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows (k, colours) as strips (strips, k, LANES), the last one filled up with the last colour."""
    strips = -(-x.shape[1] // LANES)
    out = aligned((strips, len(x), LANES), dtype)
    out[:] = filled(x, strips * LANES).reshape(len(x), strips, LANES).transpose(1, 0, 2)
    return out


class Block:
    """A cut, and what is known of its colours once it has met itself."""

    def __init__(self, cut: Cut):
        self.cut = cut
        self.known: list[Known] = []
        self._sides: dict[tuple[int, np.dtype], Side] = {}
        self._members: dict[tuple[int, np.dtype], Sparse] = {}

    def side(self, number: int, dtype: np.dtype) -> Side:
        """Of a field, laid out when it is first asked for."""
        key = number, dtype
        if key not in self._sides:
            self._sides[key] = side_of(self.known[number], dtype)
        return self._sides[key]

    def members(self, number: int, dtype: np.dtype) -> Sparse:
        """Of each colour that a field with one source sums, the sums that it belongs to."""
        key = number, dtype
        if key not in self._members:
            m = self.known[number].terms[0].map
            matrix = scipy.sparse.csr_array((m.weights, m.columns, m.begins), shape=(len(m), m.width)).tocsc()
            begins, groups = (x.astype(np.int64) for x in (matrix.indptr, matrix.indices))
            self._members[key] = begins, groups, matrix.data.astype(dtype)
        return self._members[key]
