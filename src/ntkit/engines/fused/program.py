"""A network as stages of the fused engine: what a stage is, and the grids and pools between them."""

import dataclasses

import numpy as np

from ntkit.engines.fused import code
from ntkit.moments.grid import Window
from ntkit.tape import Affine, Data, Flatten, Instruction, Mix

VARIANCE, DEVIATION, INVERSE, HALF_GAP = "variance", "deviation", "inverse of √2 deviation", "half gap"
SLOPE, SERIES = "slope", "series"
Field = tuple[str, int]
Grid = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Stage:
    """Instructions between two ends: the data or a pool above, a pool or the outputs below.

    Attributes:
        code: (instructions, COLUMNS).
        numbers: (instructions, NUMBERS).
        first: The number of the tape's instruction that the stage reads; last: that it ends with.
        grid_in: Extents of the first grid; grid_out: of the last.
        fields: The fields of an image that the instructions read, in their order.
        registers: How many images an instruction may need beside each other.
        frame: Pixels that windows read beyond the edge.
        span: Rows that a window spans.
        wrap: Whether positions are taken modulo the grid.
        displacements: (k, 2), of the pairs of the last grid that are needed.
        own: (k, 2), of those that are needed of an image with itself.
        end: The pool or the flattening behind the stage; None at the outputs.
    """

    code: np.ndarray
    numbers: np.ndarray
    first: int
    last: int
    grid_in: Grid
    grid_out: Grid
    fields: tuple[Field, ...]
    registers: int
    frame: int
    span: int
    wrap: bool
    displacements: np.ndarray
    own: np.ndarray
    end: Mix | Flatten | None


@dataclasses.dataclass(frozen=True)
class Program:
    """A network for one shape of examples.

    Attributes:
        tape: The instructions as recorded.
        stages: What runs over pairs of pixels.
        head: Dense layers behind the last stage, without a nonlinearity.
    """

    tape: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    head: tuple[Affine, ...]

    @property
    def functions(self) -> str:
        """The numbers of the functions that the engine is compiled for, whole families: of these there are few."""
        found = {int(f) for stage in self.stages for f in stage.code[:, code.FUNCTION]}
        families = [family for family in code.FAMILIES if found & set(family)] or code.FAMILIES[:1]
        return " ".join(str(n) for n in sorted({code.LINEAR, *(n for family in families for n in family)}))


def as_grid(shape: tuple[int, ...]) -> Grid:
    """Two extents: a vector is one pixel, a line one row."""
    return (1,) * (2 - len(shape)) + shape  # type: ignore[return-value]


def as_windows(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Two windows: one across a line, of one pixel down."""
    around = "CIRCULAR" if windows[0].padding == "CIRCULAR" else "VALID"
    return (Window(1, 1, around, 1),) * (2 - len(windows)) + windows


def reads_pairs(first: Instruction) -> bool:
    """Whether a stage that begins here reads stored pairs; it makes those of the data from the pixels."""
    return not isinstance(first, Data)


def pool_matrices(end: Mix) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of a pool down and across."""
    one = np.ones((1, 1))
    return (one,) * (2 - len(end.matrices)) + end.matrices


def sums_up(stage: Stage) -> bool:
    """Whether the pool behind a stage is a sum or mean over all pixels."""
    matrices = pool_matrices(stage.end)  # type: ignore[arg-type]
    return all(len(m) == 1 and np.ptp(m) == 0 for m in matrices)


def weight_of_sum(stage: Stage) -> float:
    """What a sum over pairs of pixels counts in the field behind the stage."""
    if stage.end is None:
        return 1.0
    if isinstance(stage.end, Flatten):
        return 1.0 / (stage.grid_out[0] * stage.grid_out[1])
    a, b = pool_matrices(stage.end)
    return float(a[0, 0] * b[0, 0]) ** 2
