"""What an infinitely wide layer knows of two batches: second moments, their layout, and the facts that make them enough."""

from ntkit.moments.bivariate import BivariateNormal
from ntkit.moments.block import Block
from ntkit.moments.facts import Facts
from ntkit.moments.grid import Window
from ntkit.moments.inputs import input_moments
from ntkit.moments.moments import Moments
from ntkit.moments.plan import Extent, Need

__all__ = ["BivariateNormal", "Block", "Extent", "Facts", "Moments", "Need", "Window", "input_moments"]
