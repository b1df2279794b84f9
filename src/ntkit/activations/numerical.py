"""Activations whose moments have no closed form: Tanh, Sigmoid, Softplus, Silu, Elu, and any function of the user's."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractClassVar
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.quadrature import (
    FINE,
    NORMAL,
    Ladder,
    by_panels,
    deviation,
    gap_by_panels,
    line,
    logistic,
    moment,
)
from ntkit.activations.quadrature.checks import as_breaks, check_continuous, check_elementwise
from ntkit.activations.quadrature.difference import difference_of_moments
from ntkit.activations.quadrature.elu import ELU
from ntkit.errors import InputError
from ntkit.layer import Hyperparameter, check_range, hyperparameter
from ntkit.moments import BivariateNormal


class QuadratureError(NamedTuple):
    """Bounds on the absolute errors of `dual` and of `slope`, shaped like them."""

    dual: Array
    slope: Array


class NumericalActivation(Activation):
    """The family of activations with moments by quadrature: `error` says how far off they may be."""

    tolerance: AbstractClassVar[float]
    """Documented bound, in float64, on the error of a moment over √(moment(u, u)·moment(v, v))."""

    @abc.abstractmethod
    def error(self, pair: BivariateNormal) -> QuadratureError:
        """Bounds on the errors of `dual` and `slope` at these pairs."""

    @abc.abstractmethod
    def own(self, var: Array) -> tuple[Array, Array]:
        """E[f(u)²] and E[f'(u)²], u of variance `var`."""


def _itself(var: Array) -> BivariateNormal:
    return BivariateNormal(var, var, var, jnp.zeros_like(var))


def _stretched(pair: BivariateNormal, factor: float) -> BivariateNormal:
    """The pair (s·u, s·v) with s² = `factor`."""
    return BivariateNormal(factor * pair.var1, factor * pair.var2, factor * pair.cov, factor * pair.gap)


def _angle_of_rounding(pair: BivariateNormal) -> Array:
    """How far four roundings of the covariance turn the angle between u and v."""
    scale = jnp.sqrt(pair.var1) * jnp.sqrt(pair.var2)
    relative = 4 * float(jnp.finfo(pair.cov.dtype).eps)
    sine = jnp.where(scale > 0, pair.sine / jnp.where(scale > 0, scale, 1.0), 1.0)
    return relative / jnp.maximum(sine, relative**0.5)


class LogisticActivation(NumericalActivation):
    """The family built on the logistic function, which a mixture of ten normal distribution functions replaces.

    The moments are those of the mixture, exactly. It differs from the function, and its derivative from the derivative,
    by at most 4e-9 of the root mean square of either, under every centred normal law: so (Cauchy–Schwarz) the moments
    differ by less than 1e-8 of √(moment(u, u)·moment(v, v)), at every variance and correlation.

    References:
        Monahan and Stefanski, "Normal scale mixture approximations to F*(z) and computation of the logistic-normal
        integral", Handbook of the Logistic Distribution, 1992.
    """

    tolerance: ClassVar[float] = 1e-8

    def gap(self, pair: BivariateNormal) -> Array:
        own1, own2 = self.own(pair.var1), self.own(pair.var2)
        near, far, small = difference_of_moments(pair, self.dual(pair), own1, own2, jitter=0.0)
        return jnp.where(small, near, far)

    def own(self, var: Array) -> tuple[Array, Array]:
        return self.dual(_itself(var)), self.dual_slope(_itself(var))

    def error(self, pair: BivariateNormal) -> QuadratureError:
        (dual1, slope1), (dual2, slope2) = self.own(pair.var1), self.own(pair.var2)
        bound = self.tolerance + 64 * float(jnp.finfo(pair.cov.dtype).eps)
        like = jnp.zeros_like(pair.cov)
        return QuadratureError(
            bound * jnp.sqrt(dual1 * dual2) + like, bound * jnp.sqrt(slope1 * slope2) + like
        )


class Tanh(LogisticActivation):
    """The hyperbolic tangent, 2·sigmoid(2x) − 1.

    Example:
        >>> import ntkit as nk
        >>> float(nk.Tanh().fn(0.0))
        0.0
    """

    odd: ClassVar[bool] = True
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return jnp.tanh(x)

    def dual(self, pair: BivariateNormal) -> Array:
        return 4 * logistic.average(logistic.sigmoid_dual, _stretched(pair, 4.0))

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return 16 * logistic.average(logistic.sigmoid_slope, _stretched(pair, 4.0))


class Sigmoid(LogisticActivation):
    """The logistic function, 1/(1 + exp(−x)).

    Example:
        >>> import ntkit as nk
        >>> float(nk.Sigmoid().fn(0.0))
        0.5
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def dual(self, pair: BivariateNormal) -> Array:
        return 0.25 + logistic.average(logistic.sigmoid_dual, pair)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return logistic.average(logistic.sigmoid_slope, pair)


class Softplus(LogisticActivation):
    """log(1 + exp(x)), whose derivative is the logistic function.

    Example:
        >>> import ntkit as nk
        >>> round(float(nk.Softplus().fn(0.0)), 4)
        0.6931
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return jax.nn.softplus(x)

    def dual(self, pair: BivariateNormal) -> Array:
        return logistic.average(logistic.softplus_dual, pair)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return logistic.average(logistic.softplus_slope, pair)


class Silu(LogisticActivation):
    """x·sigmoid(x), also called swish.

    Example:
        >>> import ntkit as nk
        >>> float(nk.Silu().fn(0.0))
        0.0
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    def fn(self, x: Array) -> Array:
        return jax.nn.silu(x)

    def dual(self, pair: BivariateNormal) -> Array:
        return logistic.average(logistic.silu_dual, pair)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return logistic.average(logistic.silu_slope, pair)


class LadderActivation(NumericalActivation):
    """The family with moments by Mehler's series, and by nested panels where its own bound says that it does not serve.

    Pairs that the series serves cost under a microsecond; a pair for the panels, some tenths of a millisecond.
    """

    tolerance: ClassVar[float] = 1e-7

    @property
    @abc.abstractmethod
    def ladder(self) -> Ladder:
        """The function, its derivatives and its breaks."""

    @property
    @abc.abstractmethod
    def parameters(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters that the ladder's functions take after x."""

    def _parameters(self, pair: BivariateNormal) -> tuple[Array, ...]:
        return tuple(jnp.asarray(p, pair.cov.dtype) for p in self.parameters)

    def dual(self, pair: BivariateNormal) -> Array:
        return moment(self.ladder, self.ladder, self._parameters(pair), pair)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        derivative = self.ladder.derivative
        return moment(derivative, derivative, self._parameters(pair), pair)

    def gap(self, pair: BivariateNormal) -> Array:
        own1, own2 = self.own(pair.var1), self.own(pair.var2)
        near, far, small = difference_of_moments(pair, self.dual(pair), own1, own2, jitter=1e-10)
        parameters = self._parameters(pair)
        if self.ladder.derivative.jumps(parameters, pair.cov.dtype):
            # The mean value theorem is off by the root of the gap where f' may jump.
            near = gap_by_panels(self.ladder, parameters, pair, small)
        return jnp.where(small, near, far)

    def own(self, var: Array) -> tuple[Array, Array]:
        parameters = self._parameters(_itself(var))
        std = deviation(var)
        z, weights = line(std, self.ladder.breaks, radius=9, count=16)
        values, derivatives = (
            ladder.fn(std * z, *parameters) for ladder in (self.ladder, self.ladder.derivative)
        )
        return jnp.sum(weights * values**2, axis=0), jnp.sum(weights * derivatives**2, axis=0)

    def error(self, pair: BivariateNormal) -> QuadratureError:
        """The difference to nested panels at two resolutions, these taken apart; costs milliseconds a pair.

        Where the function of a moment jumps, what the rounding of the covariance does to it is added: it is an angle of the
        root of rounding where the correlation is ±1.
        """
        parameters = self._parameters(pair)
        eps = float(jnp.finfo(pair.cov.dtype).eps)
        bounds = []
        for ladder, value in (
            (self.ladder, self.dual(pair)),
            (self.ladder.derivative, self.dual_slope(pair)),
        ):
            coarse, fine = (by_panels(ladder, ladder, parameters, pair, rule) for rule in (NORMAL, FINE))
            jumps = sum(
                (jnp.abs(jump) for _, jump in ladder.jumps(parameters, pair.cov.dtype)), jnp.zeros(())
            )
            rounding = jumps**2 / (2 * math.pi) * _angle_of_rounding(pair)
            bounds.append(jnp.abs(value - fine) + jnp.abs(coarse - fine) + rounding)
        scales = [jnp.sqrt(a * b) for a, b in zip(self.own(pair.var1), self.own(pair.var2), strict=True)]
        return QuadratureError(*(b + 64 * eps * s for b, s in zip(bounds, scales, strict=True)))


class Elu(LadderActivation):
    """x where x > 0, alpha·(exp(x) − 1) elsewhere.

    Args:
        alpha: Minus the limit at −∞.

    Raises:
        InputError: `alpha` is not finite.

    Example:
        >>> import ntkit as nk
        >>> nk.Elu(alpha=0.5).alpha
        0.5
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    alpha: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Refuse values that are not finite."""
        check_range(self, "alpha")

    def fn(self, x: Array) -> Array:
        return ELU.fn(x, jnp.asarray(self.alpha, x.dtype))

    @property
    def ladder(self) -> Ladder:
        return ELU

    @property
    def parameters(self) -> tuple[Hyperparameter, ...]:
        return (self.alpha,)


class Elementwise(LadderActivation):
    """Any continuous function, given as a Python function of arrays.

    Panels of the quadrature are laid about the breaks, one unit wide next to them: put a break where the function or a
    derivative of it has a kink, or varies fastest. `error` tells whether that sufficed.

    Args:
        fn: The function f, elementwise, in JAX operations.
        derivative: f'; by automatic differentiation where it is None.
        breaks: Points of x.

    Raises:
        InputError: `fn` or `derivative` is not an elementwise JAX function, `fn` jumps at a break, or a break is not a
            finite number.

    Example:
        >>> import jax.numpy as jnp, ntkit as nk
        >>> softsign = nk.Elementwise(lambda x: x / (1 + jnp.abs(x)))
        >>> float(softsign.fn(1.0))
        0.5
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    function: Callable[[Array], Array] = eqx.field(static=True)
    derivative: Callable[[Array], Array] | None = eqx.field(static=True)
    breaks: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, fn: Callable, derivative: Callable | None = None, breaks: Sequence[float] = (0.0,)):
        if not callable(fn):
            raise InputError(f"Elementwise: fn must be a function of an array, found {fn!r}")
        if not (derivative is None or callable(derivative)):
            raise InputError(
                f"Elementwise: derivative must be a function of an array, or None, found {derivative!r}"
            )
        self.function, self.derivative, self.breaks = fn, derivative, as_breaks(breaks)
        for name, function in (("fn", fn), ("derivative", derivative)):
            if function is not None:
                check_elementwise(name, function)
        check_continuous(self.ladder)

    def fn(self, x: Array) -> Array:
        return self.function(x)

    @property
    def ladder(self) -> Ladder:
        given = (self.function,) if self.derivative is None else (self.function, self.derivative)
        return Ladder(given, self.breaks)

    @property
    def parameters(self) -> tuple[Hyperparameter, ...]:
        return ()
