"""Large kernel matrices: computed tile by tile, in memory or in a folder, interrupted and resumed."""

from ntkit.gram.compute import Interrupted, compute
from ntkit.gram.folder import load
from ntkit.gram.plan import Plan, Tile

__all__ = ["Interrupted", "Plan", "Tile", "compute", "load"]
