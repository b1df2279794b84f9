"""What is known of single examples: numbers of every pixel, as the instructions of a stage read them."""

import dataclasses

import numpy as np

from ntkit.engines.fused.program import DEVIATION, HALF_GAP, INVERSE, SERIES, SLOPE, VARIANCE


@dataclasses.dataclass
class Fields:
    """Numbers of every pixel of a batch.

    Attributes:
        variances: Of every instruction of the tape, (n, height, width), in double precision.
        half_gaps: Of every pool, half of the gap within a window, alike.
        slopes: Of smooth activations, E[f'(u)²], alike.
        series: Of those given by a series, its coefficients, (n, terms, height, width).
    """

    variances: dict[int, np.ndarray]
    half_gaps: dict[int, np.ndarray]
    slopes: dict[int, np.ndarray]
    series: dict[int, np.ndarray]

    def at(self, part: slice) -> "Fields":
        """Those of some examples."""
        kinds = self.variances, self.half_gaps, self.slopes, self.series
        return Fields(*({n: q[part] for n, q in each.items()} for each in kinds))

    def field(self, kind: str, node: int) -> np.ndarray:
        """(n, …, height, width), one of the kinds that a program names."""
        if kind == HALF_GAP:
            # Of a pool to one pixel it has been taken away, in double precision.
            halves = self.half_gaps[node]
            return halves if halves[0].size > 1 else np.zeros_like(halves)
        if kind == SLOPE:
            return self.slopes[node]
        if kind == SERIES:
            return self.series[node]
        q = self.variances[node]
        if kind == VARIANCE:
            return q
        deviation = np.sqrt(q)
        if kind == DEVIATION:
            return deviation
        assert kind == INVERSE
        return np.divide(0.5**0.5, deviation, out=np.zeros_like(deviation), where=deviation > 0)
