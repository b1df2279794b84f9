"""What it costs to sample a kernel, before anything is drawn."""

import math
from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from ntkit.layer import Layer, Params, couples_examples, stages

NETWORKS = 64  # unless told otherwise


class Cost(NamedTuple):
    """What sampling takes: multiplications in all, and bytes of the gradients of one example."""

    multiplications: float
    bytes_per_example: int


def cost_of(
    net: Layer, shape: tuple[int, ...], n1: int, n2: int, itemsize: int, count: int = NETWORKS
) -> Cost:
    """About what `sample` takes for n1 rows by n2 columns, 0 for the rows with themselves.

    Raises:
        InputError: The network does not take examples of this shape.
    """
    params, (*positions, units) = _weights(net, shape)
    size = sum(math.prod(p.shape) for p in jax.tree.leaves(params))
    rows, values = n1 + n2, values_of(net, shape)
    outputs = units * math.prod(positions)
    # A pass multiplies every weight with what it meets: at least once, in convolutions at every position.
    grid = max(1, math.prod(shape[:-1]))
    passes = 3.0 * outputs * rows * (size * grid + values) * (rows if couples_examples(net) else 1)
    products = float(outputs) * math.prod(positions) * n1 * (n2 or n1) * size
    passing = rows * values * itemsize if couples_examples(net) else 0
    return Cost(count * (passes + products), math.prod(positions) * size * itemsize + passing)


def values_of(net: Layer, shape: tuple[int, ...]) -> int:
    """How many numbers an example is, in and between the layers of a stack."""
    shapes = [shape]
    for layer in stages(net):
        shapes.append(_weights(layer, shapes[-1])[1])
    return sum(math.prod(s) for s in shapes)


def _weights(layer: Layer, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
    """The shapes of the weights and of one output, of a layer of examples of this shape."""
    ends: list[Any] = []

    def draw(key: PRNGKeyArray) -> Params:
        params, end = layer.init(key, shape)
        ends.append(end)
        return params

    params = jax.eval_shape(draw, jax.eval_shape(lambda: jax.random.key(0)))
    return params, ends[0]
