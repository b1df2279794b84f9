"""From the tape to the code of a stage: registers, fields, and the instructions that follow one another made one."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ntkit.engines.fused import code
from ntkit.engines.fused.activations import BEHIND, TERMS, function_of
from ntkit.engines.fused.program import (
    HALF_GAP,
    SERIES,
    VARIANCE,
    Field,
    Stage,
    as_grid,
    as_windows,
    reads_pairs,
)
from ntkit.moments.grid import Window
from ntkit.tape import Activate, Add, Affine, Inflate, Instruction, NotOnTape, Slide


class Assembler:
    """Collects the rows of a stage's code."""

    def __init__(self, tape: list[Instruction], first: int, stop: int):
        self.tape, self.first, self.stop = tape, first, stop
        self.rows: list[np.ndarray] = []
        self.numbers: list[np.ndarray] = []
        self.fields: list[Field] = []
        self.pixels = 0
        self.frame, self.span = 0, 1
        self.wraps: set[bool] = set()
        self.register = {first: 0}
        self.free: list[int] = []
        self.registers = 1
        # By how much the strides so far divide the displacements of the first grid.
        self.step = {first: (1, 1)}
        self.readers: dict[int, list[int]] = {}
        for i in range(first + 1, stop):
            for source in tape[i].inputs:
                self.readers.setdefault(source, []).append(i)

    def field(self, kind: str, node: int) -> int:
        """Where a field begins among an image's fields."""
        at = 0
        for name, number in self.fields:
            if (name, number) == (kind, node):
                return at
            at += math.prod(as_grid(self.tape[number].shape)) * (TERMS if name == SERIES else 1)
        self.fields.append((kind, node))
        return at

    def row(self, operation: int, source: int, node: int) -> np.ndarray:
        """An instruction with its registers and grids; windows of one pixel."""
        row = np.zeros(code.COLUMNS, np.int64)
        row[code.OPERATION], row[code.INPUT] = operation, self.register[source]
        for column in (code.TAPS, code.STRIDE, code.DILATION):
            row[column : column + 2] = 1
        row[code.GRID_IN : code.GRID_IN + 2] = as_grid(self.tape[source].shape)
        row[code.GRID_OUT : code.GRID_OUT + 2] = as_grid(self.tape[node].shape)
        row[code.STEP_IN : code.STEP_IN + 2] = self.step[source]
        return row

    def place(self, row: np.ndarray, kinds: Sequence[str], before: int, behind: int) -> None:
        """Say where the fields lie that a function reads: of the pairs before it, or behind it."""
        for k, kind in enumerate(kinds):
            node = behind if kind in BEHIND else before
            row[code.ONE + k] = row[code.TWO + k] = self.field(BEHIND.get(kind, kind), node)

    def emit(self, row: np.ndarray, numbers: Iterable[float], node: int, used: Iterable[int]) -> None:
        """Give the outputs a register, and set those free that nothing reads any more."""
        out = self.free.pop() if self.free else self.registers
        self.registers = max(self.registers, out + 1)
        row[code.OUTPUT] = out
        row[code.STEP_OUT : code.STEP_OUT + 2] = self.step[node]
        self.register[node] = out
        self.rows.append(row)
        self.numbers.append(np.array([*numbers, *[0.0] * code.NUMBERS])[: code.NUMBERS])
        for source in set(used):
            if all(reader <= node for reader in self.readers.get(source, [])):
                self.free.append(self.register[source])

    def follower(self, node: int, kind: type) -> int | None:
        """The next instruction, where it is of a kind and the only reader of this one."""
        readers = self.readers.get(node, [])
        return readers[0] if len(readers) == 1 and isinstance(self.tape[readers[0]], kind) else None


def assemble(tape: list[Instruction], first: int, stop: int) -> Stage:
    """The stage that reads the field of instruction `first` and ends before instruction `stop`.

    Raises:
        NotOnTape: Something in it is beyond this engine.
    """
    assembler = Assembler(tape, first, stop)
    if reads_pairs(tape[first]):
        assembler.field(HALF_GAP, first)
    done = {first}
    for i in range(first + 1, stop):
        if i in done:
            continue
        step = tape[i]
        if isinstance(step, Add):
            done |= {_add(assembler, i)}
        elif isinstance(step, Inflate):
            done |= {_inflate(assembler, i)}
        else:
            done |= _weigh(assembler, i)
    last = stop - 1
    if not assembler.rows:
        _weigh(assembler, None)
    if len(assembler.wraps) > 1:
        raise NotOnTape("convolutions around the edge and others in one stage")
    wrap = assembler.wraps == {True}
    grids = as_grid(tape[first].shape), as_grid(tape[last].shape)
    table = np.stack(assembler.rows)
    if wrap:
        table[:, [*range(code.TWO, code.TWO + 3), code.TERMS + 2]] *= 2  # rows of column images stand twice
    steps = assembler.step[last]
    _count_steps_from_the_end(table, steps)
    if wrap and any(extent % stride for extent, stride in zip(grids[0], steps, strict=True)):
        raise NotOnTape("a stride around an edge that it does not divide")
    none = np.zeros((0, 2), np.int64)
    return Stage(
        table,
        np.stack(assembler.numbers),
        first,
        last,
        *grids,
        tuple(assembler.fields),
        assembler.registers,
        assembler.frame,
        assembler.span,
        wrap,
        none,
        none,
        tape[stop] if stop < len(tape) else None,  # type: ignore[arg-type]
    )


def _count_steps_from_the_end(table: np.ndarray, total: tuple[int, int]) -> None:
    """One step of the last grid is `total` steps of the first, and fewer on those between."""
    for column in (code.STEP_IN, code.STEP_OUT):
        table[:, column : column + 2] = np.array(total) // table[:, column : column + 2]


def _add(assembler: Assembler, i: int) -> int:
    inputs = assembler.tape[i].inputs
    steps = {assembler.step[source] for source in inputs}
    if len(steps) > 1:
        raise NotOnTape("branches with unlike strides")
    assembler.step[i] = steps.pop()
    left = inputs[0]
    if len(inputs) == 1:
        raise NotOnTape("a sum of one branch")
    for k, right in enumerate(inputs[1:]):
        row = assembler.row(code.ADD, left, i)
        row[code.OTHER] = assembler.register[right]
        if k:
            assembler.free.append(assembler.register[i])  # a sum of the first branches
        assembler.emit(row, (), i, {right} if k else {left, right})
        left = i
    return i


def _inflate(assembler: Assembler, i: int) -> int:
    step = assembler.tape[i]
    (source,) = step.inputs
    assembler.step[i] = assembler.step[source]
    row = assembler.row(code.INFLATE, source, i)
    assembler.place(row, [VARIANCE], source, i)
    assembler.emit(row, (step.extra,), i, {source})  # type: ignore[attr-defined]
    return i


def _weigh(assembler: Assembler, i: int | None) -> set[int]:
    """A window, weights and an activation, as many of them as follow one another from instruction i on."""
    tape = assembler.tape
    source = assembler.first if i is None else tape[i].inputs[0]
    node, taken = source, set()
    row_windows = None
    scale, gain, shift = 1.0, 0.0, 0.0
    follow = i
    if follow is not None and isinstance(tape[follow], Slide):
        row_windows, node = tape[follow].windows, follow  # type: ignore[attr-defined]
        taken.add(node)
        follow = assembler.follower(node, Affine)
    if follow is not None and isinstance(tape[follow], Affine):
        affine: Affine = tape[follow]  # type: ignore[assignment]
        node = follow
        taken.add(node)
        scale = affine.scale
        if scale == 0 and affine.weight_rate != 0:
            raise NotOnTape("trained weights of standard deviation 0")
        gain = affine.weight_rate / scale if scale else 0.0
        shift = affine.bias_rate - gain * affine.shift
        follow = assembler.follower(node, Activate)
    before = node
    function = code.LINEAR
    fields: Sequence[str] = [VARIANCE]
    own: tuple[float, ...] = ()
    if follow is not None and isinstance(tape[follow], Activate):
        node = follow
        taken.add(node)
        function, fields, own = function_of(tape[follow].activation)  # type: ignore[attr-defined]
    row = assembler.row(code.WEIGH, source, node)
    assembler.step[node] = assembler.step[source]
    taps = 1
    if row_windows is not None:
        taps = _window(assembler, row, row_windows, source, node)
    if function == code.HALF_LINES and own[:2] == (1, 0) and _is_3x3(row):
        function = code.RELU
    row[code.FUNCTION] = function
    assembler.place(row, fields, before, node)
    row[code.TERMS] = TERMS
    row[code.TERMS + 1 : code.TERMS + 3] = math.prod(as_grid(tape[node].shape))
    assembler.emit(row, (scale / taps, gain, shift, *own), node, {source})
    return taken


def _window(
    assembler: Assembler, row: np.ndarray, windows: tuple[Window, ...], source: int, node: int
) -> int:
    grid = as_grid(assembler.tape[source].shape)
    steps = list(assembler.step[source])
    windows = as_windows(windows)
    for k, (window, extent) in enumerate(zip(windows, grid, strict=True)):
        low, high = window.pads(extent, "Conv")
        if window.spread > 1:
            raise NotOnTape("zeros between positions, as by ConvTranspose")
        if low + high >= window.reach:
            raise NotOnTape("padding with more zeros than a window reads beside a position")
        row[code.TAPS + k], row[code.STRIDE + k] = window.size, window.stride
        row[code.DILATION + k], row[code.LOW + k], row[code.HIGH + k] = window.dilation, low, high
        steps[k] *= window.stride
        assembler.frame = max(assembler.frame, low, high)
        assembler.span = max(assembler.span, window.reach)
    if any(w.size > 1 for w in windows):
        assembler.wraps.add(any(w.padding == "CIRCULAR" for w in windows))
    row[code.FIELD_IN] = assembler.field(VARIANCE, source)
    assembler.step[node] = (steps[0], steps[1])
    return math.prod(w.size for w in windows)


def _is_3x3(row: np.ndarray) -> bool:
    """Whether a window is a pair and its eight neighbours."""
    return (row[code.TAPS : code.TAPS + 2] == 3).all() and (row[code.STRIDE : code.DILATION + 2] == 1).all()
