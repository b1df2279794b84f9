"""Layers with weights: scales of the libraries' default initialisers, or of the weights themselves."""

from typing import Any, NamedTuple

import numpy as np

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import Conv, Dense, StandardConv, StandardDense
from ntkit.lifting.survey import Survey


class Weights(NamedTuple):
    """What a module says of its weights.

    Attributes:
        width: Number of outputs.
        default: The default initialiser's w_std and b_std.
        kernel: The weights, of any shape; None where the module holds none.
        bias: The biases; None where there are none.
        biased: Whether there are biases.
        w_lr: 0 for frozen weights.
        b_lr: 0 for frozen biases.
    """

    width: int
    default: tuple[float, float]
    kernel: Any
    bias: Any
    biased: bool
    w_lr: float = 1.0
    b_lr: float = 1.0


def uniform(fan_in: int) -> tuple[float, float]:
    """w_std and b_std of weights and biases from U(−1/√fan_in, 1/√fan_in), as in PyTorch and Equinox."""
    return 3**-0.5, (3 * fan_in) ** -0.5


LECUN_NORMAL = (1.0, 0.0)
"""w_std and b_std of Flax: weights of variance 1/fan_in, corrected for being truncated, and biases of zero."""


def dense(survey: Survey, weights: Weights) -> Layer:
    """A fully connected layer."""
    kind = StandardDense if survey.parametrisation == "standard" else Dense
    return kind(weights.width, **_scales(survey, weights))


def conv(survey: Survey, weights: Weights, **window: Any) -> Layer:
    """A convolution; `window` has kernel_size, stride, padding and dilation."""
    kind = StandardConv if survey.parametrisation == "standard" else Conv
    return kind(weights.width, **window, **_scales(survey, weights))


def _scales(survey: Survey, weights: Weights) -> dict[str, Any]:
    w_std, b_std = weights.default if survey.init == "default" else _measured(weights)
    return {
        "w_std": w_std,
        "b_std": b_std if weights.biased else 0.0,
        "w_lr": weights.w_lr,
        "b_lr": weights.b_lr if weights.biased else 0.0,
    }


def _measured(weights: Weights) -> tuple[float, float]:
    """Root mean squares, those of the kernel times √fan_in."""
    if weights.kernel is None:
        raise InputError('init="measured", but it holds no weights; lift module.bind(variables)')
    kernel = np.asarray(weights.kernel, dtype=np.float64)
    bias = np.asarray(weights.bias if weights.biased else 0.0, dtype=np.float64)
    fan_in = kernel.size / weights.width
    return float((fan_in * np.mean(kernel**2)) ** 0.5), float(np.mean(bias**2) ** 0.5)


def check_untrained(trained: bool, remedy: str) -> None:
    """Raise `InputError` where a normalisation has a gain or a bias of its own that is trained."""
    if trained:
        raise InputError(f"a trained gain or bias of its own adds to the tangent kernel; {remedy}")
