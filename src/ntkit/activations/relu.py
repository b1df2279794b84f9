"""Functions made of two half-lines that meet at 0: Relu, LeakyRelu, ABRelu, Abs."""

import abc
import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import mirrored
from ntkit.layer import Hyperparameter, check_range, hyperparameter
from ntkit.moments import BivariateNormal


class HalfLines(Activation):
    """neg·min(x, 0) + pos·max(x, 0).

    With θ the angle of (u, v) and s = √(qq' − r²),

        E[f(u) f(v)] = (neg − pos)²/2π · (s − θ r) + (neg² + pos²)/2 · r
        E[f'(u) f'(v)] = (neg² + pos²)/2 − (neg − pos)² θ/2π

    References:
        Cho and Saul, "Kernel methods for deep learning", NIPS 2009, equations (3), (5) and (6): their k₁ is
        twice the first line and their k₀ twice the second, for (neg, pos) = (0, 1).
    """

    @property
    @abc.abstractmethod
    def weights(self) -> tuple[Hyperparameter, Hyperparameter]:
        """The derivative left and right of 0: (neg, pos)."""

    def fn(self, x: Array) -> Array:
        neg, pos = self.weights
        # At x = 0 its derivative is (neg + pos)/2, which is what the slope says of a variable of variance 0.
        return jnp.maximum(x, 0.0) * pos + jnp.minimum(x, 0.0) * neg

    def dual(self, pair: BivariateNormal) -> Array:
        neg, pos = self.weights
        return pair.arc * ((neg - pos) ** 2 / (2 * math.pi)) + pair.cov * ((neg**2 + pos**2) / 2)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        neg, pos = self.weights
        return pair.angle * (-((neg - pos) ** 2) / (2 * math.pi)) + (neg**2 + pos**2) / 2


def _gap_ahead(pair: BivariateNormal, neg: Hyperparameter, pos: Hyperparameter) -> Array:
    """E[(f(u) − f(v))²], accurate where u and v nearly coincide."""
    return pair.gap * ((neg**2 + pos**2) / 2) - pair.arc * ((neg - pos) ** 2 / math.pi)


def _gap_around(pair: BivariateNormal, neg: Hyperparameter, pos: Hyperparameter) -> Array:
    """E[(f(u) − f(v))²], accurate also where u and −v nearly coincide, and with them |u| and |v|."""
    # The arcs of (u, v) and (u, −v) differ by π·cov.
    behind = _gap_ahead(mirrored(pair), neg, pos) - (neg + pos) ** 2 * pair.cov
    return jnp.maximum(0.0, jnp.where(pair.cov < 0, behind, _gap_ahead(pair, neg, pos)))


class Relu(HalfLines):
    """max(x, 0).

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Relu().fn(jnp.array(-2.0)))
        0.0

    References:
        Cho and Saul, "Kernel methods for deep learning", NIPS 2009, equations (3) and (6): their k₁ is twice
        this dual.
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    @property
    def weights(self) -> tuple[float, float]:
        return 0.0, 1.0

    def gap(self, pair: BivariateNormal) -> Array:
        return jnp.maximum(0.0, _gap_ahead(pair, 0.0, 1.0))


class LeakyRelu(HalfLines):
    """max(x, 0) + slope·min(x, 0): an `ABRelu` of (neg, pos) = (slope, 1).

    Args:
        slope: Derivative left of 0.

    Raises:
        InputError: `slope` is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.LeakyRelu(slope=0.5).fn(jnp.array(-2.0)))
        -1.0

    References:
        Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013,
        section 2.
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    slope: Hyperparameter = hyperparameter(0.01)

    def __check_init__(self):
        """Refuse values that are not finite."""
        check_range(self, "slope")

    @property
    def weights(self) -> tuple[Hyperparameter, float]:
        return self.slope, 1.0

    def gap(self, pair: BivariateNormal) -> Array:
        return _gap_around(pair, self.slope, 1.0)


class ABRelu(HalfLines):
    """neg·min(x, 0) + pos·max(x, 0).

    Args:
        neg: Derivative left of 0.
        pos: Derivative right of 0.

    Raises:
        InputError: A parameter is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.ABRelu(neg=-0.5, pos=1.0).fn(jnp.array(-2.0)))
        1.0

    References:
        Tsuchida, Roosta-Khorasani, Gallagher, "Invariance of weight distributions in rectified MLPs",
        ICML 2018 (kernel of the leaky ReLU).
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    neg: Hyperparameter = hyperparameter()
    pos: Hyperparameter = hyperparameter()

    def __check_init__(self):
        """Refuse values that are not finite."""
        check_range(self, "neg")
        check_range(self, "pos")

    @property
    def weights(self) -> tuple[Hyperparameter, Hyperparameter]:
        return self.neg, self.pos

    def gap(self, pair: BivariateNormal) -> Array:
        return _gap_around(pair, self.neg, self.pos)


class Abs(HalfLines):
    """|x|.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Abs().fn(jnp.array(-2.0)))
        2.0
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    @property
    def weights(self) -> tuple[float, float]:
        return -1.0, 1.0

    def gap(self, pair: BivariateNormal) -> Array:
        return _gap_around(pair, -1.0, 1.0)
