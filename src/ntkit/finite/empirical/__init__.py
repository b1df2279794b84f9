"""The empirical tangent kernel of any function of parameters and inputs."""

from ntkit.finite.empirical.kernels import nngp, ntk, ntk_by_layer

__all__ = ["nngp", "ntk", "ntk_by_layer"]
