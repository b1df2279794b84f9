"""The fused engine: a network's instructions run on the CPU, over pairs of pixels that stay in the cache."""

from ntkit.engines.fused.tile import Engine

__all__ = ["Engine"]
