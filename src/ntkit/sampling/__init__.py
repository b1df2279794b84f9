"""Both kernels of finite networks by Monte Carlo, with the standard error of every entry."""

from ntkit.sampling.cost import NETWORKS, cost_of
from ntkit.sampling.sample import sample, sampled
from ntkit.sampling.sampled_kernel import SampledKernel

__all__ = ["NETWORKS", "SampledKernel", "cost_of", "sample", "sampled"]
