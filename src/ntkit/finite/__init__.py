"""Finite networks: their empirical kernels, their linearisation, and their training beside the theory."""

from ntkit.finite import empirical

__all__ = ["empirical"]
