"""What `Moments` asks of an elementwise nonlinearity."""

from typing import ClassVar, Protocol

from jaxtyping import Array

from ntkit.moments.bivariate import BivariateNormal


class Elementwise(Protocol):
    """A function f with its moments over pairs of centred normal variables; `ntkit.activations.Activation` is one."""

    odd: ClassVar[bool]
    discontinuous: ClassVar[bool]

    def dual(self, pair: BivariateNormal) -> Array:
        """E[f(u) f(v)]."""
        ...

    def dual_slope(self, pair: BivariateNormal) -> Array:
        """E[f'(u) f'(v)]."""
        ...

    def gap(self, pair: BivariateNormal) -> Array:
        """E[(f(u) − f(v))²]."""
        ...
