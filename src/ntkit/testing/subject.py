"""`Subject`, a layer on trial: the network around it, the data, and what several laws look at."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkit.activations import Erf
from ntkit.arrays import traced
from ntkit.batches import Graphs, Padded
from ntkit.kernels import kernel
from ntkit.layer import Layer, Serial, Shape
from ntkit.layers import Conv, Dense, GlobalAvgPool
from ntkit.pair import KernelPair
from ntkit.testing.widths import widened

_FEATURES = 3  # channels of the data
_EDGES = [[0, 1], [1, 2], [2, 0], [2, 3]]  # of the graph of every example of a layer of graphs, one way only
_NODES = 4


class Subject:
    """A layer between random weights, and data for it.

    Attributes:
        layer: The layer.
        shape: The shape of one of its inputs.
        seed: Of random data and weights.
        width: Channels of the inputs that the layer gets in `net`.
        net: Dense or Conv >> layer >> Dense >> Erf >> Dense; of graphs with a readout behind.
        x1: Rows, one of them the negative of another.
        x2: Rows, the first of them equal to the first of x1.
        program: A compiled program that several laws share, once one of them has made it.
    """

    def __init__(self, layer: Layer, shape: tuple[int | None, ...], seed: int, width: int):
        self.layer, self.shape, self.seed, self.width = layer, shape, seed, width
        self.net = self.widened_to(width)
        self.program: Any = None
        draw = np.random.default_rng(seed)
        self.x1, self.x2 = draw.normal(size=(2, 3, *self.extents[:-1], _FEATURES))
        self.x1[2] = -self.x1[1]
        self.x2[0] = self.x1[0]
        self.x2[1] = self.x1[1] + 0.3 * self.x2[1]

    @property
    def x(self) -> np.ndarray:
        """The rows of both."""
        return np.concatenate([self.x1, self.x2])

    @functools.cached_property
    def joint(self) -> KernelPair:
        """The kernel of all rows with all."""
        return self.kernel(self.net, self.x)

    @property
    def graphs(self) -> bool:
        """Whether inputs are graphs."""
        return None in self.shape

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape of one input, the nodes of graphs counted."""
        return self.extents_of(self.shape)

    def extents_of(self, shape: Shape) -> tuple[int, ...]:
        """A shape with a number in place of None."""
        return tuple(_NODES if n is None else n for n in shape)

    def batch(self, values: Any) -> Any:
        """Values (n, *positions, channels) as a batch that networks take: of graphs, with their edges."""
        if not self.graphs:
            return values
        if traced(values):
            pattern = jnp.zeros((_NODES, _NODES), values.dtype).at[tuple(zip(*_EDGES, strict=True))].set(1.0)
            n = len(values)
            return Padded(values, jnp.ones((n, _NODES)), jnp.broadcast_to(pattern, (n, _NODES, _NODES)))
        return _graphs(np.asarray(values))

    def kernel(self, net: Layer, x1: Any, x2: Any = None) -> KernelPair:
        """Both kernels of values."""
        return kernel(net, self.batch(x1), None if x2 is None else self.batch(x2))

    @functools.cached_property
    def changed(self) -> Layer:
        """The network with another value of every hyperparameter."""
        return jax.tree.map(lambda leaf: leaf * 0.97, self.net)

    def widened_to(self, width: int, *, frozen: bool = False) -> Serial:
        """The network with `width` channels into the layer; see `surrounded` about `frozen`."""
        assert self.shape[-1] is not None
        factor = max(1, width // self.shape[-1])
        channels = self.shape[-1] * factor
        return surrounded(widened(self.layer, factor), (*self.shape[:-1], channels), frozen=frozen)

    def fail(self, law: str, what: str) -> None:
        """Raise the `AssertionError` of a broken law."""
        raise AssertionError(f"{law}: {self.layer} on inputs shaped {self.shape}: {what}")

    def demand_near(self, law: str, what: str, found: Any, expected: Any, tolerance: float) -> None:
        """Demand that kernels agree within `tolerance` of their diagonal."""
        for name, a, b in zip(("nngp", "ntk"), found, expected, strict=True):
            a, b = np.asarray(a), np.asarray(b)
            if a.shape != b.shape:
                self.fail(law, f"the {name} {what} is shaped {a.shape}, expected {b.shape}")
            if not np.isfinite(a).all():
                self.fail(law, f"the {name} {what} is not finite at {_place(~np.isfinite(a))}")
            size = max(float(np.max(np.abs(b))), np.finfo(float).tiny)
            off = np.abs(a - b) / size
            if off.max() > tolerance:
                place = _place(off == off.max())
                self.fail(
                    law,
                    f"the {name} {what} is {a[place]:.9g} at {place}, expected {b[place]:.9g}: off by {off.max():.2g} of "
                    f"the largest entry, more than {tolerance:.2g}",
                )


def _graphs(values: np.ndarray) -> Graphs:
    """Graphs of one pattern, their edges leading one way."""
    n, nodes, channels = values.shape
    steps = np.arange(n + 1)
    return Graphs(values.reshape(-1, channels), nodes * steps, _EDGES * n, len(_EDGES) * steps, directed=True)


def surrounded(layer: Layer, shape: tuple[int | None, ...], *, frozen: bool = False) -> Serial:
    """A legal network around a layer.

    Where an activation jumps, the weights below it are frozen: only then is there a tangent kernel. With `frozen` the
    weights behind the layer are too, so that its slope is not hidden behind their share; then below a jump they are not.
    """
    jumps = getattr(layer, "discontinuous", False)
    below = {"w_lr": 0.0, "b_lr": 0.0} if jumps else {"w_lr": 0.8, "b_lr": 1.3}
    behind = {"w_lr": 0.0, "b_lr": 0.0} if frozen and not jumps else {}
    readout = {"w_lr": 0.0, "b_lr": 0.0} if frozen else {}
    assert shape[-1] is not None
    tail = shape[-1]
    weights: dict[str, Any] = {"w_std": 0.9, "b_std": 0.3, **below}
    conv = len(shape) > 1 and None not in shape
    first: Layer = Conv(tail, 3, **weights) if conv else Dense(tail, **weights)
    # In finite trials Erf sees small variances, so that it hardly compresses what the layer may get wrong.
    scale = {"w_std": 0.5, "b_std": 0.0} if frozen else {"w_std": 1.2, "b_std": 0.2}
    rest: tuple[Layer, ...] = (Dense(tail, **scale, **behind), Erf(), Dense(tail, w_std=1.1, **readout))
    rest = (*rest, GlobalAvgPool()) if None in shape else rest
    return Serial((first, *(layer.layers if isinstance(layer, Serial) else (layer,)), *rest))


def _place(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])
