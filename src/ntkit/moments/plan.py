"""Which pairs of positions have to be known, planned from the last layer back to the first."""

import enum
from typing import NamedTuple


class Extent(enum.IntEnum):
    """How much of a matrix over pairs of positions is known."""

    NONE = 0
    DIAGONAL = 1
    """Each position with itself alone, p = p'."""
    PAIRS = 2
    """All pairs of positions (p, p')."""


class Need(NamedTuple):
    """What the layers from here on need: of examples of the one batch with the other, and of examples with themselves.

    A stack that ends in `Flatten` and never pools needs the diagonal alone. Pairs of an example with itself are
    needed only below a layer that mixes positions and is followed by one that asks for variances.
    """

    cross: Extent = Extent.PAIRS
    own: Extent = Extent.NONE

    def with_variances(self) -> "Need":
        """The need of a layer that works elementwise and asks for the variance of every position."""
        return Need(self.cross, max(self.own, Extent.DIAGONAL))

    def of_mixing(self) -> "Need":
        """The need of a layer that mixes positions: whatever is asked of its outputs takes all pairs of its inputs."""
        return Need(*(Extent.PAIRS if extent else Extent.NONE for extent in self))

    def of_diagonal(self) -> "Need":
        """The need of a layer whose outputs rest on the diagonal alone (`Flatten`)."""
        return Need(*(min(extent, Extent.DIAGONAL) for extent in self))

    def union(self, other: "Need") -> "Need":
        """What serves both."""
        return Need(*(max(a, b) for a, b in zip(self, other, strict=True)))
