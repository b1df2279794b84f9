"""The reference engine: `propagate` under `jit`; differentiable, on any device, for every layer."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from ntkit.batches import Padded
from ntkit.layer import Layer, Serial, plan, stages
from ntkit.layers.repeat import Repeat
from ntkit.moments import Block, Extent, Moments, Need, input_moments
from ntkit.moments.inputs import FEW_CHANNELS
from ntkit.moments.position_maps import zeroed
from ntkit.moments.products import products

_CROSS = Need(Extent.PAIRS, Extent.NONE)
_OWN = Need(Extent.NONE, Extent.PAIRS)
_EVERYTHING = Need(Extent.PAIRS, Extent.PAIRS)

Rows = Array | np.ndarray | Padded
Pair = tuple[Array, Array | None]
Step = Callable[[Layer, Moments, Need], Moments]
Start = Callable[..., Moments]


def pairs(net: Layer, x1: Rows, x2: Rows, rows: Rows, columns: Rows, *, tangent: bool) -> Pair:
    """NNGP and NTK of all rows of `x1` with all rows of `x2`; positions at the end become (n1, n2, P1, P2).

    Args:
        net: The network.
        x1: (n1, *positions, channels), or padded examples of different sizes.
        x2: (n2, *positions, channels).
        rows: (n1,), which example each row of `x1` is.
        columns: (n2,), the same of `x2`; equal numbers are one and the same example.
        tangent: Whether the NTK is asked for; without it the second result is None.
    """
    start, step = _how(net, x1, x2)
    m = start(x1, x2, rows, columns, begin=net.needs(_CROSS), wanted=_CROSS, tangent=tangent)
    return matrices(zeroed(_through(net, m, step)).cross)


def diagonal(net: Layer, x: Rows, *, tangent: bool) -> Pair:
    """NNGP and NTK of every row with itself, without those of other pairs."""
    start, step = _how(net, x)
    m = start(x, None, None, None, begin=net.needs(_OWN), wanted=_OWN, tangent=tangent)
    return matrices(_through(net, m, step).own1)


def by_layer(net: Layer, x1: Rows, x2: Rows, rows: Rows, columns: Rows) -> list[tuple[str, Pair]]:
    """NNGP and NTK after every layer of the stack, with all pairs of positions throughout."""
    start, step = _how(net, x1, x2)
    m = start(x1, x2, rows, columns, begin=_EVERYTHING, wanted=_EVERYTHING, tangent=True)
    steps: list[tuple[str, Moments]] = []
    _walk(net, m, "", steps, step)
    return [(name, matrices(zeroed(after).cross)) for name, after in steps]


def bytes_per_pair(net: Layer, shape: tuple[int, ...], itemsize: int) -> int:
    """About how many bytes the working arrays of one pair of examples of this shape take.

    Raises:
        InputError: The network does not take examples of this shape.
    """
    most = max(cross + own for cross, own in _sizes(net, shape))
    return _LIVE_ARRAYS * most * itemsize


def pixel_pairs(net: Layer, shape: tuple[int, ...]) -> int:
    """How many pairs of pixels of two examples the layers go through, all of them together."""
    return sum(cross for cross, _ in _sizes(net, shape)[1:])


def _sizes(net: Layer, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """At the input and behind every layer, the numbers of pairs of pixels of two examples, and of each with itself."""
    needs = plan(net, _CROSS)
    shapes = [shape]
    for layer in stages(net):
        shapes.append(
            jax.eval_shape(lambda key, layer=layer: _Static(layer.init(key, shapes[-1])[1]), _KEY).value
        )
    sizes = []
    for need, (*positions, _) in zip(needs, shapes, strict=True):
        p = math.prod(positions)
        cross = p**2 if need.cross == Extent.PAIRS else p
        sizes.append((cross, 2 * p**2 if need.own == Extent.PAIRS else 0))
    return sizes


_LIVE_ARRAYS = (
    18  # at most, as XLA counts: three moments before a layer, three after it, and temporaries (≤ 11)
)


def matrices(block: Block | None) -> Pair:
    """Both kernels of a block that the plan has kept to the end."""
    assert block is not None
    return block.as_matrices()


# One layer, one program -----------------------------------------------------------------------------------------------
#
# Outside of a trace every layer of the stack is compiled by itself: equal layers share a program, whatever the depth,
# and so do networks with equal layers. Fusion across layers is lost, and would have been prevented (`Moments.settled`).


def _how(*trees) -> tuple[Start, Step]:
    """Compiled steps, or plain ones inside of a trace."""
    inside = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))
    return (_start, _step) if inside else (_compiled_start, _compiled_step)


def _start(x1: Any, x2, rows, columns, known=None, *, begin: Need, wanted: Need, tangent: bool) -> Moments:
    same = None if rows is None or columns is None else rows[:, None] == columns[None, :]
    return input_moments(x1, x2, begin=begin, wanted=wanted, same=same, tangent=tangent, known=known)


def _compiled_start(x1: Any, x2, rows, columns, *, begin: Need, wanted: Need, tangent: bool) -> Moments:
    """`_start` by a compiled program, long vectors multiplied by BLAS."""
    vectors = not isinstance(x1, Padded) and x1.ndim == 2
    long = x2 is not None and vectors and x1.shape[1] > FEW_CHANNELS
    known = products(np.asarray(x1), np.asarray(x2)) if long else None
    return _jitted_start(x1, x2, rows, columns, known, begin=begin, wanted=wanted, tangent=tangent)


def _step(layer: Layer, m: Moments, wanted: Need) -> Moments:
    return layer.propagate(m.wanting(wanted)).keep(wanted).settled()


_jitted_start = jax.jit(_start, static_argnames=("begin", "wanted", "tangent"))
_jitted_step = jax.jit(_step, static_argnames="wanted")


def _compiled_step(layer: Layer, m: Moments, wanted: Need) -> Moments:
    """`_step` by a compiled program.

    Tokens of random weights tell branches of one layer from one another, which all begin with the same ones: between
    layers one token serves for all, so that residual blocks share a program however many lie below.
    """
    return _with_one_token(_jitted_step(layer, _with_one_token(m), wanted))


def _with_one_token(m: Moments) -> Moments:
    return m.with_sources({0} if m.facts.sources else ())


def _through(net: Layer, m: Moments, step: Step) -> Moments:
    """Propagate through the stack, one step a layer."""
    for layer, need in zip(stages(net), plan(net, m.wanted)[1:], strict=True):
        m = step(layer, m, need)
    return m


def _walk(layer: Layer, m: Moments, path: str, steps: list[tuple[str, Moments]], step: Step) -> Moments:
    """Propagate through nested stacks and repetitions, noting the moments after each layer."""
    if isinstance(layer, Serial | Repeat):
        inner = layer.layers if isinstance(layer, Serial) else (layer.body,) * layer.times
        for i, child in enumerate(inner):
            m = _walk(child, m, f"{path}{i}.", steps, step)
        return m
    m = step(layer, m, _EVERYTHING)
    name = type(layer).__name__
    steps.append((f"{path.removesuffix('.')}:{name}" if path else name, m))
    return m


@jax.tree_util.register_static
class _Static:
    """A static value that passes through `eval_shape`."""

    def __init__(self, value: tuple[int, ...]):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


_KEY = jax.ShapeDtypeStruct((2,), np.uint32)
