"""The reference engine: `propagate` under `jit`; differentiable, on any device, for every layer."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.layer import Layer, Serial
from ntkit.layers.repeat import Repeat
from ntkit.moments import Extent, Moments, Need, input_moments

_CROSS = Need(Extent.PAIRS, Extent.NONE)
_OWN = Need(Extent.NONE, Extent.PAIRS)
_EVERYTHING = Need(Extent.PAIRS, Extent.PAIRS)

Pair = tuple[Array, Array | None]


def pairs(net: Layer, x1: Array, x2: Array, same: Array | None, *, tangent: bool) -> Pair:
    """NNGP and NTK of all rows of `x1` with all rows of `x2`; positions at the end become (n1, n2, P1, P2).

    Args:
        net: The network.
        x1: (n1, *positions, channels).
        x2: (n2, *positions, channels).
        same: (n1, n2), whether row i and row j are one and the same example; None for two batches.
        tangent: Whether the NTK is asked for; without it the second result is None.
    """
    m = input_moments(x1, x2, begin=net.needs(_CROSS), wanted=_CROSS, same=same, tangent=tangent)
    return net.propagate(m).keep(_CROSS).cross.as_matrices()


def diagonal(net: Layer, x: Array, *, tangent: bool) -> Pair:
    """NNGP and NTK of every row with itself, without those of other pairs."""
    m = input_moments(x, None, begin=net.needs(_OWN), wanted=_OWN, tangent=tangent)
    return net.propagate(m).own1.as_matrices()


def by_layer(net: Layer, x1: Array, x2: Array, same: Array | None) -> list[tuple[str, Pair]]:
    """NNGP and NTK after every layer of the stack, with all pairs of positions throughout."""
    m = input_moments(x1, x2, begin=_EVERYTHING, wanted=_EVERYTHING, same=same)
    steps: list[tuple[str, Moments]] = []
    _walk(net, m, "", steps)
    return [(name, step.cross.as_matrices()) for name, step in steps]


def _walk(layer: Layer, m: Moments, path: str, steps: list[tuple[str, Moments]]) -> Moments:
    """Propagate through nested stacks and repetitions, noting the moments after each layer."""
    if isinstance(layer, Serial):
        for i, child in enumerate(layer.layers):
            m = _walk(child, m, f"{path}{i}.", steps)
        return m
    if isinstance(layer, Repeat):
        for i in range(layer.times):
            m = _walk(layer.body, m, f"{path}{i}.", steps)
        return m
    m = layer.propagate(m.wanting(_EVERYTHING))
    steps.append((f"{path.rstrip('.')}:{type(layer).__name__}" if path else type(layer).__name__, m))
    return m


@partial(jax.jit, static_argnames="tangent")
def compiled_pairs(net: Layer, x1: Array, x2: Array, rows: Array | None, columns: Array | None, *, tangent: bool) -> Pair:
    """`pairs`, compiled once for all values of the hyperparameters; `rows` and `columns` number one batch's examples."""
    same = None if rows is None else rows[:, None] == columns[None, :]
    return pairs(net, x1, x2, same, tangent=tangent)


compiled_diagonal = jax.jit(diagonal, static_argnames="tangent")


def bytes_per_pair(net: Layer, x: Array, *, tangent: bool) -> int:
    """About how many bytes the working arrays of one pair of examples take."""
    two = jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype)
    traced = jax.make_jaxpr(partial(pairs, net, same=None, tangent=tangent))(two, two)
    return max(1, _LIVE_ARRAYS * _largest(traced.jaxpr) // 4)


_LIVE_ARRAYS = 8  # of the largest size, at the peak: three moments before and after a layer, and temporaries


def _largest(jaxpr) -> int:
    """Bytes of the largest array that a traced function makes, loops included."""
    most = 0
    for equation in jaxpr.eqns:
        inner = [v.jaxpr if hasattr(v, "jaxpr") else v for v in equation.params.values()]
        for v in inner:
            if hasattr(v, "eqns"):
                most = max(most, _largest(v))
        for var in equation.outvars:
            aval = var.aval
            if hasattr(aval, "dtype") and jnp.issubdtype(aval.dtype, jnp.floating):
                most = max(most, aval.size * aval.dtype.itemsize)
    return most
