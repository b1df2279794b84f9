"""ntkit: the toolkit of the neural tangent kernel."""

import importlib
from typing import Any

from ntkit import activations, engines, errors, kernels, layers, zoo
from ntkit.activations import *  # noqa: F403
from ntkit.batches import Graphs, Sequences
from ntkit.kernel_fn import KernelFn, kernel_fn
from ntkit.kernels import kernel, moments_by_layer, nngp, ntk
from ntkit.layer import Layer, Serial
from ntkit.layers import *  # noqa: F403
from ntkit.pair import KernelPair
from ntkit.sampling import SampledKernel, sample
from ntkit.spec import from_spec, to_spec

__version__ = "0.1.0"

# Imported when first asked for: `nk.predict` takes SciPy along, which a kernel does not need.
_ON_DEMAND = (
    "analysis",
    "averaging",
    "features",
    "finite",
    "gram",
    "lifting",
    "predict",
    "preprocessing",
    "solve",
    "testing",
)


def __getattr__(name: str) -> Any:
    if name == "lift":
        return importlib.import_module("ntkit.lifting").lift
    if name in _ON_DEMAND:
        return importlib.import_module(f"ntkit.{name}")
    raise AttributeError(f"module 'ntkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, "lift"})


__all__ = [
    "engines",
    "errors",
    "kernels",
    "zoo",
    "Graphs",
    "Sequences",
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
