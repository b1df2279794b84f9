"""Vectors as wide as a cache line for compiled code: loads, arithmetic and choices that need no help of a vectoriser.

A loop over scalars becomes vector code only where the compiler can prove that what it writes is not what it reads, and
then in several versions; a loop over these vectors is what it says. `load(array, i)` takes 64 bytes from element i on.
Numbers mix with vectors as in NumPy, and take their precision.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, overload, register_model

BYTES = 64
# No array is made inside: without reference counts, which are atomic, short rows take a third less.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
_FREE = ("contract", "nsz", "arcp", "reassoc")


intrinsic: Any = extending.intrinsic  # without the types of what only the compiler calls

WIDE = 2  # vectors in a wide one


class Vector(types.Type):
    """Numbers of one kind, as many as fit into so many vectors of 64 bytes."""

    def __init__(self, scalar: types.Float, vectors: int = 1):
        self.scalar = scalar
        self.width = vectors * BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"Vector({scalar}, {vectors})")

    def llvm(self) -> ir.VectorType:
        """The type of compiled code."""
        return ir.VectorType(ir.FloatType() if self.scalar == types.float32 else ir.DoubleType(), self.width)

    def integers(self) -> ir.VectorType:
        """That of as many integers of the same size."""
        return ir.VectorType(ir.IntType(self.scalar.bitwidth), self.width)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector):
        super().__init__(dmm, fe_type, fe_type.llvm())


# Memory ---------------------------------------------------------------------------------------------------------------


def _address(context: Any, builder: ir.IRBuilder, kind: types.Array, array: Any, index: Any, to: Vector):
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [index]), to.llvm().as_pointer())


def _loading(vectors: int) -> Any:
    @intrinsic
    def load_at(typing, array, index):
        vector = Vector(array.dtype, vectors)

        def make(context, builder, signature, arguments):
            address = _address(context, builder, array, arguments[0], arguments[1], vector)
            return builder.load(address, align=array.dtype.bitwidth // 8)

        return vector(array, types.intp), make

    return load_at


# The vector that begins at `array[index]`, and the wide one: several sums side by side hide how long each addition takes.
load, load_wide = _loading(1), _loading(WIDE)


@intrinsic
def entry(typing, array, index):
    """`array[index]` of an index that is not negative: without what negative ones take."""

    def make(context, builder, signature, arguments):
        start = context.make_array(array)(context, builder, arguments[0]).data
        return builder.load(builder.gep(start, [arguments[1]]))

    return array.dtype(array, types.intp), make


@intrinsic
def store(typing, array, index, values):
    """Write a vector to where `array[index]` begins."""

    def make(context, builder, signature, arguments):
        address = _address(context, builder, array, arguments[0], arguments[1], values)
        builder.store(arguments[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, values), make


def _every(builder: ir.IRBuilder, vector: Vector, number: Any) -> Any:
    """A vector of one number."""
    kind = vector.llvm()
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.width), [0] * vector.width)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


@intrinsic
def fill(typing, number):
    """The vector of one number."""
    vector = Vector(number)
    return vector(number), lambda context, builder, signature, given: _every(builder, vector, given[0])


@intrinsic
def _like(typing, vector, number):
    """The vector of one number in the precision of another vector; a vector as it is."""

    def make(context, builder, signature, arguments):
        if number == vector:
            return arguments[1]
        return _every(
            builder, vector, context.cast(builder, arguments[1], types.unliteral(number), vector.scalar)
        )

    return vector(vector, types.unliteral(number)), make


# Arithmetic -----------------------------------------------------------------------------------------------------------


def _binary(function: Callable, build: Callable[[ir.IRBuilder, Any, Any], Any]) -> None:
    """Let a function of two numbers take vectors, or a vector and a number."""

    @intrinsic
    def combine(typing, a, b):
        return a(a, a), lambda context, builder, signature, pair: build(builder, *pair)

    @overload(function)
    def on_vectors(a, b):
        if isinstance(a, Vector):
            return lambda a, b: combine(a, _like(a, b))
        if isinstance(b, Vector):
            return lambda a, b: combine(_like(b, a), b)
        return None


def lesser(a, b):
    """The smaller of two numbers; b where either is not a number."""


def greater(a, b):
    """The larger of two numbers; b where either is not a number."""


_binary(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=_FREE))
_binary(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_FREE))
_binary(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_FREE))
_binary(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=_FREE))
_binary(lesser, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
_binary(greater, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@intrinsic
def _choose(typing, a, b, then, otherwise):
    def make(context, builder, signature, arguments):
        x, y, yes, no = arguments
        return builder.select(builder.fcmp_ordered("<", x, y), yes, no)

    return then(a, a, a, a), make


def where_less(a, b, then, otherwise):
    """`then` where a < b, `otherwise` elsewhere; `a` is a vector, the others may be numbers."""


@overload(where_less)
def _where_less(a, b, then, otherwise):
    return lambda a, b, then, otherwise: _choose(a, _like(a, b), _like(a, then), _like(a, otherwise))


def _map(function: str) -> Any:
    """One of LLVM's functions of a vector."""

    @intrinsic
    def of_vector(typing, a):
        def make(context, builder, signature, arguments):
            kind, name = a.llvm(), f"llvm.{function}.v{a.width}f{a.scalar.bitwidth}"
            known = builder.module.globals.get(name)
            made = known or ir.Function(builder.module, ir.FunctionType(kind, [kind]), name)
            return builder.call(made, arguments, fastmath=_FREE)

        return a(a), make

    return of_vector


root, nearest = _map("sqrt"), _map("rint")


@intrinsic
def polynomial(typing, x, coefficients):
    """Σ c_k xᵏ, two coefficients at a time: half of the length of Horner's chain."""

    def make(context, builder, signature, arguments):
        number = coefficients.count
        every = [_every(builder, x, builder.extract_value(arguments[1], k)) for k in range(number)]

        def multiply_add(a: Any, b: Any, c: Any) -> Any:
            return builder.fadd(builder.fmul(a, b, flags=_FREE), c, flags=_FREE)

        at = arguments[0]
        pairs = [multiply_add(every[k + 1], at, every[k]) for k in range(0, number - 1, 2)]
        pairs += every[number - number % 2 :]
        square, total = builder.fmul(at, at, flags=_FREE), pairs[-1]
        for pair in pairs[-2::-1]:
            total = multiply_add(total, square, pair)
        return total

    return x(x, coefficients), make


@intrinsic
def power_of_two(typing, a):
    """2ᵃ of whole numbers a between the exponents of the smallest and of the largest number."""
    mantissa, bias = (23, 127) if a.scalar == types.float32 else (52, 1023)

    def make(context, builder, signature, arguments):
        kind = a.integers()
        whole = builder.fptosi(arguments[0], kind)
        exponent = builder.add(whole, ir.Constant(kind, [bias] * a.width))
        return builder.bitcast(builder.shl(exponent, ir.Constant(kind, [mantissa] * a.width)), a.llvm())

    return a(a), make


def rounding(a):
    """The distance from 1 to the next number of a vector's precision."""


@overload(rounding)
def _rounding(a):
    step = 2.0**-23 if a.scalar == types.float32 else 2.0**-52
    return lambda a: step


@intrinsic
def take(typing, a, i):
    """Element i of a vector."""

    def make(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], builder.trunc(arguments[1], ir.IntType(32)))

    return a.scalar(a, types.intp), make
