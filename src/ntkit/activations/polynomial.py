"""Polynomials: Monomial, Hermite, Polynomial."""

import abc
import math
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.activations.activation import Activation
from ntkit.activations.separation import deviations, mirrored, shortfall
from ntkit.errors import InputError
from ntkit.layer import Hyperparameter, concrete, is_number, whole
from ntkit.moments import BivariateNormal

Powers: TypeAlias = tuple[Hyperparameter, ...]

HIGHEST_DEGREE = 20


class PowerSeries(Activation):
    """Σ_j p_j xʲ, a finite sum.

    Mehler's expansion of the normal law is exact after finitely many terms, at every pair of variances:

        E[f(u) f(v)] = Σ_k φ_k(q) φ_k(q') rᵏ,  φ_k(q) = E[f⁽ᵏ⁾(√q z)]/√k! = Σ_i p_{k+2i} (k + 2i)!/(2ⁱ i! √k!) qⁱ

    and E[f'(u) f'(v)] is the same sum for the derivative's coefficients.

    References:
        Daniely, Frostig, Singer, "Toward deeper understanding of neural networks: the power of initialization and a
        dual view on expressivity", NIPS 2016 (Hermite expansion of the dual activation; the case q = q' = 1).
    """

    @property
    @abc.abstractmethod
    def powers(self) -> Powers:
        """The coefficients p_0, p_1, … in ascending powers; at least one."""

    def fn(self, x: Array) -> Array:
        return _horner(self.powers, x)

    def dual(self, pair: BivariateNormal) -> Array:
        return _mehler(self.powers, pair)

    def dual_slope(self, pair: BivariateNormal) -> Array:
        return _mehler(tuple(j * p for j, p in enumerate(self.powers))[1:] or (0.0,), pair)

    def gap(self, pair: BivariateNormal) -> Array:
        # Σ_k (φ_k(q)√qᵏ − φ_k(q')√q'ᵏ)² + 2 φ_k(q) φ_k(q') ((qq')^(k/2) − rᵏ)
        s1, s2, difference = deviations(pair)
        product = s1 * s2
        negative = jnp.where(pair.cov < 0, -1.0, 1.0)
        ahead, behind = shortfall(pair), shortfall(mirrored(pair))
        gap = jnp.zeros_like(product * pair.cov)
        for k, series in enumerate(_mehler_series(self.powers)):
            own1, own2 = _horner(series, pair.var1), _horner(series, pair.var2)
            norms = own1 * _power_gap(s1, s2, difference, k)
            norms += s2**k * (pair.var1 - pair.var2) * _divided_difference(series, pair.var1, pair.var2)
            # An even power sees |r| only, and is accurate towards r = −√(qq') as well.
            sign, lost = (negative, jnp.where(pair.cov < 0, behind, ahead)) if k % 2 == 0 else (1.0, ahead)
            gap += norms**2 + 2 * own1 * own2 * _power_gap(product, sign * pair.cov, lost, k)
        return jnp.maximum(0.0, gap)


def _horner(series: Powers, x: Array) -> Array:
    value = jnp.zeros_like(x)
    for p in reversed(series):
        value = value * x + p
    return value


def _divided_difference(series: Powers, x: Array, y: Array) -> Array:
    """(p(x) − p(y))/(x − y): Horner's partial sums at x are the coefficients of the quotient."""
    value, partial = jnp.zeros_like(x * y), jnp.zeros_like(x)
    for p in reversed(series[1:]):
        partial = partial * x + p
        value = value * y + partial
    return value


def _power_gap(x: Array, y: Array, difference: Array, k: int) -> Array:
    """xᵏ − yᵏ from the accurate difference x − y."""
    return difference * sum((x ** (k - 1 - j) * y**j for j in range(k)), jnp.zeros_like(x))


def _mehler_series(powers: Powers) -> tuple[Powers, ...]:
    """The coefficients of φ_0, φ_1, … in ascending powers of the variance."""
    degree = len(powers) - 1
    return tuple(
        tuple(
            powers[k + 2 * i]
            * (math.factorial(k + 2 * i) / (2**i * math.factorial(i) * math.sqrt(math.factorial(k))))
            for i in range((degree - k) // 2 + 1)
        )
        for k in range(degree + 1)
    )


def _mehler(powers: Powers, pair: BivariateNormal) -> Array:
    value = jnp.zeros_like(pair.var1 * pair.var2 * pair.cov)
    for series in reversed(_mehler_series(powers)):
        value = value * pair.cov + _horner(series, pair.var1) * _horner(series, pair.var2)
    return value


def _check_degree(layer: "Monomial | Hermite") -> None:
    degree = layer.degree
    whole = isinstance(degree, (int, np.integer)) and not isinstance(degree, bool)
    if not whole or not 0 <= degree <= HIGHEST_DEGREE:
        raise InputError(
            f"{type(layer).__name__}: degree must be a whole number from 0 to {HIGHEST_DEGREE}, found {degree!r}; "
            "at higher degrees the coefficients leave the range in which floating point keeps digits"
        )


def _as_powers(values: Iterable[Any]) -> Powers:
    return tuple(
        float(v) if isinstance(v, (int, np.number)) and not isinstance(v, bool) else v for v in values
    )


class Monomial(PowerSeries):
    """xⁿ, n = `degree`.

    E[f(u) f(v)] = Σ_{k ≡ n mod 2} (n!/(h! 2ʰ))²/k! · (qq')ʰ rᵏ with h = (n − k)/2.

    Args:
        degree: From 0 to 20.

    Raises:
        InputError: `degree` is not a whole number in that range.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Monomial(3).fn(jnp.array(-2.0)))
        -8.0
    """

    discontinuous: ClassVar[bool] = False

    degree: int = eqx.field(static=True, converter=whole)

    def __check_init__(self):
        """Refuse a degree out of range."""
        _check_degree(self)

    @property
    def odd(self) -> bool:  # type: ignore[override]  # it depends on the degree
        return self.degree % 2 == 1

    @property
    def powers(self) -> Powers:
        return (0.0,) * self.degree + (1.0,)


class Hermite(PowerSeries):
    """He_n(x)/√n!, n = `degree`, the probabilists' Hermite polynomial: at variance 1, E[f(u)²] = 1.

    At q = q' = 1, E[f(u) f(v)] = rⁿ and E[f'(u) f'(v)] = n rⁿ⁻¹; at other variances lower powers of r come in, and are
    counted.

    Args:
        degree: From 0 to 20.

    Raises:
        InputError: `degree` is not a whole number in that range.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Hermite(1).fn(jnp.array(0.5)))
        0.5

    References:
        Daniely, Frostig, Singer, "Toward deeper understanding of neural networks: the power of initialization and a
        dual view on expressivity", NIPS 2016 (Hermite expansion of the dual activation).
    """

    discontinuous: ClassVar[bool] = False

    degree: int = eqx.field(static=True, converter=whole)

    def __check_init__(self):
        """Refuse a degree out of range."""
        _check_degree(self)

    @property
    def odd(self) -> bool:  # type: ignore[override]  # it depends on the degree
        return self.degree % 2 == 1

    @property
    def powers(self) -> Powers:
        power = np.polynomial.hermite_e.herme2poly([0] * self.degree + [1])
        return tuple(float(p) for p in power / math.sqrt(math.factorial(self.degree)))


class Polynomial(PowerSeries):
    """coefficients[0] + coefficients[1]·x + coefficients[2]·x² + ….

    Args:
        coefficients: The coefficients in ascending powers, at least one and at most 21.

    Raises:
        InputError: There is no coefficient, there are more than 21, or one is not a finite number.

    Example:
        >>> import jax.numpy as jnp
        >>> import ntkit as nk
        >>> float(nk.Polynomial((1.0, 0.0, 2.0)).fn(jnp.array(3.0)))
        19.0
    """

    odd: ClassVar[bool] = False
    discontinuous: ClassVar[bool] = False

    coefficients: Powers = eqx.field(converter=_as_powers)

    def __check_init__(self):
        """Refuse an empty, an overlong or an infinite sum."""
        count = len(self.coefficients)
        if not 1 <= count <= HIGHEST_DEGREE + 1:
            raise InputError(
                f"Polynomial: coefficients must be 1 to {HIGHEST_DEGREE + 1} numbers in ascending powers, found {count}"
            )
        for power, value in enumerate(self.coefficients):
            if not is_number(value) or (concrete(value) and not np.isfinite(value)):
                raise InputError(
                    f"Polynomial: coefficients[{power}] must be a finite number, found {value!r}"
                )

    @property
    def powers(self) -> Powers:
        return self.coefficients
