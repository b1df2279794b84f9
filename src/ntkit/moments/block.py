"""`Block`, the second moments of one group of pairs of examples, and the layout they are kept in."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.moments import grid
from ntkit.moments.bivariate import BivariateNormal


class Block(eqx.Module):
    """Covariance, gap and tangent kernel over pairs of examples, and over their positions or pairs of positions.

    Attributes:
        cov: E[h(x) h(x')] of one channel.
        gap: E[(h(x) − h(x'))²]; see `BivariateNormal`.
        ntk: Tangent kernel, or None where nobody asks for it.
        lead: How many axes of examples come first: 2 (pairs of examples) or 1 (each example with itself).
        paired: Whether all pairs of positions are known, or the diagonal p = p' alone.
    """

    cov: Array
    gap: Array
    ntk: Array | None
    lead: int = eqx.field(static=True)
    paired: bool = eqx.field(static=True)

    def replace(self, cov: Array, gap: Array, ntk: Array | None) -> "Block":
        """The same layout with other arrays."""
        return Block(cov, gap, ntk, self.lead, self.paired)

    def map(self, f) -> "Block":
        """Apply a linear map to all three arrays (one that treats the gap like the covariance)."""
        return self.replace(f(self.cov), f(self.gap), None if self.ntk is None else f(self.ntk))

    def variances(self) -> Array:
        """(examples, *positions): of a block of examples with themselves, its diagonal."""
        return grid.diagonal(self.cov, self.lead) if self.paired else self.cov

    def pair(self, var1: Array, var2: Array) -> BivariateNormal:
        """The block's entries as bivariate normal variables, given the variances of both batches."""
        return BivariateNormal(
            grid.along(var1, 0, self.lead, self.paired),
            grid.along(var2, 1, self.lead, self.paired),
            self.cov,
            self.gap,
        )

    def diagonal(self) -> "Block":
        """The same block with each position paired with itself alone."""
        if not self.paired:
            return self
        cut = self.map(lambda a: grid.diagonal(a, self.lead))
        return Block(cut.cov, cut.gap, cut.ntk, self.lead, False)

    def as_matrices(self) -> tuple[Array, Array | None]:
        """`nngp` and `ntk` with positions as (…, P, P'), or without position axes where there is one position."""
        return grid.as_matrix(self.cov, self.lead), None if self.ntk is None else grid.as_matrix(
            self.ntk, self.lead
        )


def zero_gap(cov: Array) -> Array:
    """The gap of variables with themselves."""
    return jnp.zeros_like(cov)
