"""Layers of graphs: sums over the neighbours of each node."""

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Graphs, Padded
from ntkit.errors import InputError
from ntkit.layer import (
    READS_PADDING,
    Hyperparameter,
    Layer,
    Params,
    Shape,
    check_count,
    check_range,
    concrete,
    hyperparameter,
    whole,
)
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need
from ntkit.moments.neighbours import NORMALISATIONS, Neighbours
from ntkit.moments.places import check_graphs, check_positions


class Aggregate(Layer):
    """Sums over neighbours: y[j] = Σ_i a[i, j] x[i], a = pattern + self_loops·1, normalised as told.

    K ← M K M'ᵀ and T ← M T M'ᵀ, M the matrix of this map for each of the two graphs. With several steps and a teleport α it
    is the propagation of personalised PageRank, (1 − α)ˢ Āˢ + α Σ_{k<s} (1 − α)ᵏ Āᵏ: a skip connection from the input to each
    step. With α = 0 it is that of simplified graph convolutions, Āˢ.

    Args:
        normalisation: "sum"; "mean", over what leads to a node; "symmetric", by the root of the product of both ends' degrees.
        self_loops: Weight of the edge from each node to itself that is added, ≥ 0; GIN's 1 + ε, 1 for graph convolutions.
        steps: How often, ≥ 1.
        teleport: α, in [0, 1).

    Raises:
        InputError: A value is out of range; the inputs are not graphs; or a node has degree 0 where its inverse is asked for:
            the message names node and graph.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> triangle = nk.Graphs(np.eye(3), [0, 3], [[0, 1], [1, 2], [0, 2]])
        >>> net = (
        ...     nk.Aggregate("mean", self_loops=1.0)
        ...     >> nk.Dense(64)
        ...     >> nk.Relu()
        ...     >> nk.GlobalSumPool()
        ...     >> nk.Dense(1)
        ... )
        >>> nk.kernel(net, triangle).ntk.shape
        (1, 1)

    References:
        Du et al. (2019), "Graph Neural Tangent Kernel", section 3; Kipf & Welling (2017), "Semi-Supervised Classification with
        Graph Convolutional Networks", equation (2); Gasteiger et al. (2019), "Predict then Propagate", equation (4);
        Wu et al. (2019), "Simplifying Graph Convolutional Networks", equation (8).
    """

    on_padding = READS_PADDING

    normalisation: str = eqx.field(static=True, default="sum")
    self_loops: Hyperparameter = hyperparameter(0.0)
    steps: int = eqx.field(static=True, converter=whole, default=1)
    teleport: Hyperparameter = hyperparameter(0.0)

    def __check_init__(self):
        """Check names and ranges."""
        if self.normalisation not in NORMALISATIONS:
            raise InputError(
                f"Aggregate: normalisation must be one of {', '.join(NORMALISATIONS)}, found {self.normalisation!r}"
            )
        check_count(self, "steps")
        check_range(self, "self_loops", 0.0)
        check_range(self, "teleport", 0.0, 1.0, open_high=True)

    @property
    def neighbours(self) -> Neighbours:
        """The map of nodes."""
        return Neighbours(self.normalisation, self.self_loops, self.steps, self.teleport)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels_of(shape, "Aggregate")
        check_positions(shape[:-1], "Aggregate", 1)
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        check_graphs(isinstance(x, Padded) and x.pattern is not None, "Aggregate")
        y: Padded = x  # type: ignore[assignment]
        assert y.pattern is not None
        matrix = self.neighbours.matrix(y.pattern.astype(y.values.dtype))
        return y.map(lambda _: matrix @ y.masked())  # type: ignore[return-value]

    def propagate(self, m: Moments) -> Moments:
        return m.by_pattern(self.neighbours, "Aggregate")

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()

    def check_graphs(self, x: Graphs, name: str) -> None:
        """Raise `InputError` where the map divides by the degree of a node without neighbours."""
        if self.normalisation == "sum" or not concrete(self.self_loops):
            return
        out, into = self.neighbours.degrees(x.ends, x.weights, len(x.values))
        wrong = into <= 0 if self.normalisation == "mean" else (into <= 0) | (out <= 0)
        if wrong.any():
            row = int(wrong.argmax())
            graph = int((x.offsets <= row).sum()) - 1
            raise InputError(
                f"Aggregate: node {row - x.offsets[graph]} of graph {graph} of {name} has degree {min(out[row], into[row]):g}, "
                f"by which normalisation={self.normalisation!r} would divide; add self_loops=1, or leave the node out"
            )


def check_degrees(net: Layer, x: Graphs, name: str) -> None:
    """Raise `InputError` where a layer of the network divides by the degree of a node without neighbours."""
    for layer in jax.tree.leaves(net, is_leaf=lambda leaf: isinstance(leaf, Aggregate)):
        if isinstance(layer, Aggregate):
            layer.check_graphs(x, name)
