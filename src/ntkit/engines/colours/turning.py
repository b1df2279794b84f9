"""Square tiles of a matrix turned over in registers: rows become columns, so that what is summed always lies along rows."""

from typing import Any

from llvmlite import ir
from numba import types

from ntkit.engines.fused.vector import Vector, intrinsic

TILE = 32  # bytes of a row: as many rows of that length stay in the registers of any processor of today


def _row(
    context: Any, builder: ir.IRBuilder, kind: types.Array, array: Any, begin: Any, step: Any, i: int, to: Any
):
    """Where vector i of a tile begins."""
    start = context.make_array(kind)(context, builder, array).data
    index = builder.add(begin, builder.mul(step, ir.Constant(step.type, i)))
    return builder.bitcast(builder.gep(start, [index]), to.as_pointer())


def _exchanged(builder: ir.IRBuilder, rows: list[Any], width: int) -> list[Any]:
    """The rows of a tile as columns: halves, quarters, … change places between pairs of rows."""
    apart = width // 2
    while apart:
        low = [k if not k & apart else width + k - apart for k in range(width)]
        high = [k + apart if not k & apart else width + k for k in range(width)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), width), m) for m in (low, high)]
        for i in range(width):
            if not i & apart:
                pair = rows[i], rows[i + apart]
                rows[i], rows[i + apart] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        apart //= 2
    return rows


@intrinsic
def turn(typing, source, begin, step, target, to, to_step):
    """Set target[to + k·to_step + i] = source[begin + i·step + k] for i, k below the length of a row; arrays are flat."""
    length = TILE * 8 // source.dtype.bitwidth

    def make(context, builder, signature, arguments):
        kind = ir.VectorType(Vector(source.dtype).llvm().element, length)
        a, at, hop, b, there, to_hop = arguments
        align = source.dtype.bitwidth // 8
        rows = [
            builder.load(_row(context, builder, source, a, at, hop, i, kind), align=align)
            for i in range(length)
        ]
        for i, row in enumerate(_exchanged(builder, rows, length)):
            builder.store(row, _row(context, builder, target, b, there, to_hop, i, kind), align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), make
