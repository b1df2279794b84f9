"""The fused engine: a network's instructions run on the CPU, over pairs of pixels that stay in the cache."""
