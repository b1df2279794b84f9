"""From modules of other libraries to their infinitely wide networks: `lift`."""

from ntkit.lifting.lift import lift

__all__ = ["lift"]
