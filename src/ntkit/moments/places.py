"""`Places`, which positions each example of a batch has, and how they hang together."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.errors import InputError
from ntkit.moments.grid import Window


class Places(NamedTuple):
    """Of a batch of examples of different sizes, laid out with equal room for each.

    Attributes:
        mask: 1 at the positions that an example has, which come first, and 0 beyond.
        pattern: Of graphs, the weight of the edge from i to j at [i, j]; None for sequences.
    """

    mask: Float[Array, "n P"]
    pattern: Float[Array, "n P P"] | None

    def behind(self, window: Window, count: int, who: str) -> "Places":
        """The places behind a window that moves over them, of which `count` fit into the room.

        Raises:
            InputError: Where the window's outputs lie would depend on an example's length.
        """
        check_order(self.pattern is None, who)
        check_one_size(window.spread > 1, who)
        room = self.mask.shape[1]
        low, high = window.pads(room, who)
        if window.padding == "CIRCULAR" or (window.padding == "SAME" and window.stride > 1):
            raise InputError(
                f"{who}: with padding={window.padding!r} and stride {window.stride} windows would lie differently in sequences "
                "of different lengths; use padding='VALID', or 'SAME' with stride 1"
            )
        # Output o reads up to o·stride + reach − 1 − low, of which `high` may lie behind the end.
        last = jnp.arange(count) * window.stride + window.reach - 1 - low - high
        return Places(jnp.where(last < 0, 1.0, self.mask[:, jnp.maximum(last, 0)]), None)


def check_positions(shape: tuple, who: str, dimensions: int | None = None) -> None:
    """Raise `InputError` unless examples have a grid of positions (of the given number of dimensions)."""
    if not shape or (dimensions is not None and len(shape) != dimensions):
        expected = "(length, channels), (height, width, channels) or (depth, height, width, channels)"
        asked = f"{dimensions} dimensions of positions" if dimensions else "positions"
        raise InputError(f"{who}: needs inputs with {asked}, shaped {expected}; found positions {shape}")


def check_one_size(ragged: bool, who: str) -> None:
    """Raise `InputError` where examples differ in size."""
    if ragged:
        raise InputError(
            f"{who}: needs examples of one size, and graphs and sequences differ; use GlobalAvgPool or GlobalSumPool to end "
            "their positions"
        )


def check_graphs(graphs: bool, who: str) -> None:
    """Raise `InputError` where examples are not graphs."""
    if not graphs:
        raise InputError(f"{who}: needs graphs, a batch nk.Graphs(…); found examples without edges")


def check_order(ordered: bool, who: str) -> None:
    """Raise `InputError` where examples are graphs, to a layer that reads positions in their order."""
    if not ordered:
        raise InputError(f"{who}: nodes of a graph have no order; use Aggregate to mix them")
