"""ntkit: the toolkit of the neural tangent kernel."""

from ntkit import activations, errors, kernels, layers, zoo
from ntkit.activations import *  # noqa: F403
from ntkit.kernel_fn import KernelFn, kernel_fn
from ntkit.kernels import KernelPair, kernel, moments_by_layer, nngp, ntk
from ntkit.layer import Layer, Serial
from ntkit.layers import *  # noqa: F403
from ntkit.sampling import SampledKernel, sample
from ntkit.spec import from_spec, to_spec

__version__ = "0.1.0"

__all__ = [
    "errors",
    "kernels",
    "zoo",
    "KernelFn",
    "KernelPair",
    "Layer",
    "SampledKernel",
    "Serial",
    "from_spec",
    "kernel",
    "kernel_fn",
    "moments_by_layer",
    "nngp",
    "ntk",
    "sample",
    "to_spec",
    *activations.__all__,
    *layers.__all__,
]
