"""The activations of a network as functions of the engine: their numbers, the fields that they read."""

from collections.abc import Sequence

import jax

from ntkit.activations import Cos, Erf, ExpNormalized, Gelu, Rbf, Sin
from ntkit.activations.activation import Activation
from ntkit.activations.relu import HalfLines
from ntkit.engines.fused import code
from ntkit.engines.fused.program import DEVIATION, INVERSE, SERIES, SLOPE, VARIANCE
from ntkit.tape import NotOnTape

SECOND = "second moment"
# Fields of what lies behind a function, and as what the program knows them there.
BEHIND = {SECOND: VARIANCE, SLOPE: SLOPE, SERIES: SERIES}

TERMS = 48  # of Mehler's series, for activations that have no function of their own

_SMOOTH = (VARIANCE, SECOND, SLOPE)


def function_of(activation: Activation) -> tuple[int, Sequence[str], tuple[float, ...]]:
    """Which function of the engine an activation is, the kinds of fields that it reads, and its numbers.

    Raises:
        NotOnTape: It is not elementwise, or it jumps.
    """
    if isinstance(activation, HalfLines):
        neg, pos = (float(w) for w in activation.weights)
        return code.HALF_LINES, (DEVIATION, INVERSE), ((pos - neg) ** 2, pos * neg)
    if isinstance(activation, Erf):
        a, b, c = (float(p) for p in (activation.a, activation.b, activation.c))
        return code.ERF, _SMOOTH, (4 * a**2, 2 * b**2, c**2)
    if isinstance(activation, Gelu):
        return code.GELU, _SMOOTH, ()
    if isinstance(activation, Sin | Cos):
        a, b = float(activation.a), float(activation.b)
        with jax.enable_x64(True):
            sine, cosine = (float(w) for w in activation.parts)
        return code.WAVE, _SMOOTH, (a**2, b**2, sine, cosine)
    if isinstance(activation, Rbf):
        return code.RBF, _SMOOTH, (float(activation.gamma),)
    if activation.discontinuous or isinstance(activation, ExpNormalized):
        raise NotOnTape(type(activation).__name__)
    return code.SERIES, (DEVIATION, INVERSE, SERIES), ()
