"""Finite networks: their empirical kernels, their linearisation, and their training beside the theory."""

from ntkit.finite import empirical
from ntkit.finite.expansion import centre, linearize, scale, taylor

__all__ = ["centre", "empirical", "linearize", "scale", "taylor"]
