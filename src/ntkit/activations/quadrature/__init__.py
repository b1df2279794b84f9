"""Moments of functions without a closed form: by Mehler's series, by nested panels, by a mixture of normal laws."""

from ntkit.activations.quadrature.ladder import Ladder
from ntkit.activations.quadrature.moment import by_panels, gap_by_panels, moment
from ntkit.activations.quadrature.panels import FINE, NORMAL, deviation, line

__all__ = ["FINE", "NORMAL", "Ladder", "by_panels", "deviation", "gap_by_panels", "line", "moment"]
