"""The empirical tangent kernel of any function of parameters and inputs."""

from ntkit.finite.empirical.choice import Choice
from ntkit.finite.empirical.kernel_function import kernel_fn
from ntkit.finite.empirical.kernels import explain, nngp, ntk, ntk_by_layer
from ntkit.finite.empirical.operator import Eigenvalues, Estimate, NTKOperator
from ntkit.finite.empirical.optimisers import adam_rates, sign_descent_kernel
from ntkit.finite.empirical.projections import project

__all__ = [
    "Choice",
    "Eigenvalues",
    "Estimate",
    "NTKOperator",
    "adam_rates",
    "explain",
    "kernel_fn",
    "nngp",
    "ntk",
    "ntk_by_layer",
    "project",
    "sign_descent_kernel",
]
