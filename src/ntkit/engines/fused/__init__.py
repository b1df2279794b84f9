"""The fused engine: a network's instructions run on the CPU, over pairs of pixels that stay in the cache.

`tile.Engine` runs it, and takes Numba along; `compile.compile_network` says whether it could, and does not.
"""
