"""The Gaussian error linear unit."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import determinant, squared_distance
from ntkit.activations.widened import inverse_root_gap, root_gap, tilt, tilt_gap, tilt_step, widened
from ntkit.moments import BivariateNormal


class Gelu(Activation):
    """x·Φ(x), exact, Φ being the distribution function of N(0, 1).

    With Δ = (1 + q)(1 + q') − r², α = atan(r/√Δ) and S = 1/(1 + q) + 1/(1 + q'),

        E[f(u) f(v)] = r/4 + (r α + (qq' − r² + r² S)/√Δ) / 2π
        E[f'(u) f'(v)] = 1/4 + (α + r (S + 1/Δ)/√Δ) / 2π

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Gelu().fn(jnp.array(0.0)))
        0.0

    References:
        Tsuchida, Pearce, van der Heide, Roosta, Gallagher, "Avoiding kernel fixed points: computing with ELU and GELU
        infinite networks", AAAI 2021 (the GELU kernel).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return x * jax.scipy.special.ndtr(x)

    def dual(self, pair: BivariateNormal) -> Array:
        w = widened(pair, 1.0)
        balance = determinant(pair) + pair.cov**2 * (1 / (1 + pair.var1) + 1 / (1 + pair.var2))
        return pair.cov / 4 + (pair.cov * tilt(w) + balance / jnp.sqrt(w.joint)) / (2 * math.pi)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        w = widened(pair, 1.0)
        inverses = 1 / (1 + pair.var1) + 1 / (1 + pair.var2)
        return 0.25 + (tilt(w) + pair.cov * (inverses + 1 / w.joint) / jnp.sqrt(w.joint)) / (2 * math.pi)

    def gap(self, pair: BivariateNormal) -> Array:
        w = widened(pair, 1.0)
        distance = squared_distance(pair)
        a, b = 1 + pair.var1, 1 + pair.var2
        # The terms r α, from r = (q + q' − gap)/2:
        tilted = (pair.var1 + pair.var2) / 2 * tilt_gap(w) + w.step / 2 * tilt_step(w) + distance * tilt(w)
        # The terms (qq' − r² + r² S)/√Δ = 1/√Δ + √Δ (k + k')/2, k = (q − 1)/(q + 1), with k − k' = 2 (q − q')/ab:
        ratios = (pair.var1 - 1) / a + (pair.var2 - 1) / b
        rest = inverse_root_gap(w) + ratios / 2 * root_gap(w) + 2 * w.step**2 / (a * b * w.roots)
        return jnp.maximum(0.0, distance / 4 + (tilted + rest) / (2 * math.pi))
