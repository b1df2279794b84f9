"""`Activation`, the family of elementwise nonlinearities: give the function and its dual, the rest follows."""

import abc

import jax
import jax.numpy as jnp
from equinox import AbstractClassVar
from jaxtyping import Array, Float, PRNGKeyArray

from ntkit.layer import EACH_POSITION, Layer, Params, Shape
from ntkit.moments import BivariateNormal, Moments, Need


class Activation(Layer):
    """An elementwise function f, with the moments of f over pairs of normal variables.

    With (u, v) centred and jointly normal, the covariances of the outputs are `dual` = E[f(u) f(v)], and the
    tangent kernel is multiplied by `dual_slope` = E[f'(u) f'(v)] (Jacot et al. 2018, Theorem 1).
    """

    on_padding = EACH_POSITION

    odd: AbstractClassVar[bool]
    """Whether f(−x) = −f(x) at every value of the hyperparameters: then the outputs are centred."""

    discontinuous: AbstractClassVar[bool]
    """Whether f jumps: then `dual_slope` is infinite, and a tangent kernel exists only where everything below is frozen."""

    @abc.abstractmethod
    def fn(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The function, elementwise."""

    @abc.abstractmethod
    def dual(self, pair: BivariateNormal) -> Array:
        """E[f(u) f(v)]."""

    @abc.abstractmethod
    def dual_slope(self, pair: BivariateNormal) -> Array:
        """E[f'(u) f'(v)] = ∂ dual / ∂ cov."""

    @abc.abstractmethod
    def gap(self, pair: BivariateNormal) -> Array:
        """E[(f(u) − f(v))²], with relative accuracy where it is small; 0 where u = v."""

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return self.fn(x)

    def propagate(self, m: Moments) -> Moments:
        name = type(self).__name__
        m.require_gaussian(name)
        return m.activate(self)

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.with_variances()


class SmoothActivation(Activation):
    """The family of continuous functions whose gap follows from the slope."""

    def gap(self, pair: BivariateNormal) -> Array:
        # f(u) − f(v) ≈ f'(m)(u − v) with m = (u + v)/2 of variance M; conditioning on m, with κ = E[m (u − v)],
        # E[f'(m)² (u − v)²] = gap·S(M) + 2 κ² S'(M), S(q) = E[f'(√q z)²], up to a relative error of the order of gap.
        middle = jnp.maximum(0.0, (2 * (pair.var1 + pair.var2) - pair.gap) / 4)
        kappa = (pair.var1 - pair.var2) / 2

        def diagonal_slope(q: Array) -> Array:
            return self.dual_slope(BivariateNormal(q, q, q, jnp.zeros_like(q)))

        s, ds = jax.jvp(diagonal_slope, (middle,), (jnp.ones_like(middle),))
        near = jnp.maximum(0.0, pair.gap * s + 2 * kappa**2 * ds)
        own1 = self.dual(BivariateNormal(pair.var1, pair.var1, pair.var1, jnp.zeros_like(pair.var1)))
        own2 = self.dual(BivariateNormal(pair.var2, pair.var2, pair.var2, jnp.zeros_like(pair.var2)))
        far = jnp.maximum(0.0, own1 + own2 - 2 * self.dual(pair))
        tiny = jnp.finfo(pair.gap.dtype).eps ** 0.7
        return jnp.where(pair.gap < tiny * jnp.minimum(1.0, middle), near, far)
