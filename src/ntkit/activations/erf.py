"""The error function."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.widened import tilt, tilt_gap, widened
from ntkit.layer import Hyperparameter, check_range, hyperparameter
from ntkit.moments import BivariateNormal


class Erf(Activation):
    """a·erf(b x) + c.

    E[f(u) f(v)] = (2a²/π) asin(2b²r / √((1 + 2b²q)(1 + 2b²q'))) + c², and, with Δ = (1 + 2b²q)(1 + 2b²q') − 4b⁴r²,
    E[f'(u) f'(v)] = 4a²b²/(π√Δ).

    Args:
        a: Height.
        b: Inverse width.
        c: Shift of the outputs.

    Raises:
        InputError: A parameter is not finite.

    Example:
        >>> import ntkit as nk
        >>> nk.Erf(b=0.5).b
        0.5

    References:
        Williams, "Computing with infinite networks", NIPS 1996, equation (11); Rasmussen and Williams,
        Gaussian Processes for Machine Learning, 2006, equation (4.29).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    a: Hyperparameter = hyperparameter(1.0)
    b: Hyperparameter = hyperparameter(1.0)
    c: Hyperparameter = hyperparameter(0.0)

    def __check_init__(self):
        """Refuse values that are not finite."""
        for name in ("a", "b", "c"):
            check_range(self, name)

    def fn(self, x: Array) -> Array:
        return jax.lax.erf(x * self.b) * self.a + self.c

    def dual(self, pair: BivariateNormal) -> Array:
        return tilt(widened(pair, 2 * self.b**2)) * (2 / math.pi * self.a**2) + self.c**2

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return 1 / jnp.sqrt(widened(pair, 2 * self.b**2).joint) * (4 / math.pi * (self.a * self.b) ** 2)

    def gap(self, pair: BivariateNormal) -> Array:
        return tilt_gap(widened(pair, 2 * self.b**2)) * (2 / math.pi * self.a**2)
