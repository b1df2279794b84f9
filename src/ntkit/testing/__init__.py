"""The public conformance suite: every law that a layer has to keep, on a layer of yours."""

from ntkit.testing.check import check_layer, law_names
from ntkit.testing.widths import count_weights, widened

__all__ = ["check_layer", "count_weights", "law_names", "widened"]
