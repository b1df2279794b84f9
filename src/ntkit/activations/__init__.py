"""Elementwise nonlinearities: each is its function and the moments of that function over pairs of normal variables."""

from ntkit.activations.activation import Activation, SmoothActivation
from ntkit.activations.erf import Erf
from ntkit.activations.exponential import Exp, ExpNormalized, Gaussian
from ntkit.activations.gabor import Gabor
from ntkit.activations.gelu import Gelu
from ntkit.activations.numerical import Elementwise, Elu, Sigmoid, Silu, Softplus, Tanh
from ntkit.activations.polynomial import Hermite, Monomial, Polynomial
from ntkit.activations.rectified_monomial import RectifiedMonomial
from ntkit.activations.relu import ABRelu, Abs, LeakyRelu, Relu
from ntkit.activations.step import Sign, Step
from ntkit.activations.trigonometric import Cos, Rbf, Sin

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "Cos",
    "Elementwise",
    "Elu",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Gabor",
    "Gaussian",
    "Gelu",
    "Hermite",
    "LeakyRelu",
    "Monomial",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid",
    "Sign",
    "Silu",
    "Sin",
    "SmoothActivation",
    "Softplus",
    "Step",
    "Tanh",
]
