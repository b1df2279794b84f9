"""Inner products of Jacobians over the outputs: the forms that a kernel may have, and which way of taking them is cheaper."""

import enum
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.errors import InputError

_EXACT = jax.lax.Precision.HIGHEST


class Form(enum.Enum):
    """What is kept of Θ[i, j, a, b] = ∂f_a(x_i)/∂θ · ∂f_b(x_j)/∂θ for O outputs."""

    FULL = "full"  # all, (n1, n2, O, O)
    TRACE = "trace"  # the mean over outputs of a = b, (n1, n2)
    DIAGONAL = "diagonal"  # a = b, (n1, n2, O)
    SUM_OF_LOGITS = "sum_of_logits"  # the sum over a and b, by O, (n1, n2)

    @classmethod
    def named(cls, name: Any) -> "Form":
        """The form of this name.

        Raises:
            InputError: There is none.
        """
        names = [form.value for form in cls]
        if name not in names:
            raise InputError(f"form must be one of {', '.join(names)}; found {name!r}")
        return cls(name)

    @property
    def pairs(self) -> str:
        """The outputs of both sides and of the result, as `einsum` names them."""
        return {"full": "a,b,ab", "trace": "a,a,", "diagonal": "a,a,a", "sum_of_logits": "a,a,"}[self.value]

    def count(self, outputs: int) -> int:
        """How many pairs of outputs are multiplied."""
        return {"full": outputs**2, "sum_of_logits": 1}.get(self.value, outputs)

    def basis(self, outputs: int, dtype: Any) -> Float[Array, "c o"]:
        """Cotangents of the outputs: those of each, or of their sum by √O."""
        if self is Form.SUM_OF_LOGITS:
            return jnp.full((1, outputs), outputs**-0.5, dtype)
        return jnp.eye(outputs, dtype=dtype)

    def finished(self, k: Array, outputs: int) -> Array:
        """The mean, where a sum over outputs was taken."""
        return k / outputs if self is Form.TRACE else k


def jacobians(form: Form, one: Float[Array, "n1 c p"], two: Float[Array, "n2 c p"]) -> Array:
    """Contracted over the parameters."""
    a, b, ab = form.pairs.split(",")
    return jnp.einsum(f"i{a}p,j{b}p->ij{ab}", one, two, precision=_EXACT)


def factors(form: Form, one: tuple[Array, Array], two: tuple[Array, Array]) -> Array:
    """The same for Jacobians Σ_s h[s] ⊗ δ[s], given as ((n, s, m), (n, c, s, k))."""
    a, b, ab = form.pairs.split(",")
    (h1, d1), (h2, d2) = one, two
    h = jnp.einsum("ism,jtm->ijst", h1, h2, precision=_EXACT)
    if h1.shape[1] == h2.shape[1] == 1:
        d = jnp.einsum(f"i{a}n,j{b}n->ij{ab}", d1[:, :, 0], d2[:, :, 0], precision=_EXACT)
        return h[:, :, 0, 0].reshape(*h.shape[:2], *(1 for _ in ab)) * d

    def of_row(row: tuple[Array, Array]) -> Array:
        """With all columns: products of all pairs of positions are kept for one row at a time."""
        d = jnp.einsum(f"{a}sn,j{b}tn->j{ab}st", row[1], d2, precision=_EXACT)
        return jnp.einsum(f"jst,j{ab}st->j{ab}", row[0], d, precision=_EXACT)

    return jax.lax.map(of_row, (h, d1))


def jacobian_is_cheaper(positions: int, m: int, n: int, sizes: tuple[int, int, int], form: Form) -> bool:
    """Whether to multiply factors out, by multiplications: for every example, against for every pair of positions."""
    n1, n2, outputs = sizes
    each, pairs = form.count(outputs), n1 * n2
    cotangents = 1 if form is Form.SUM_OF_LOGITS else outputs
    by_pairs = pairs * positions**2 * (m + each * n)
    whole = (n1 + n2) * cotangents * positions * m * n + pairs * each * m * n
    return whole < by_pairs
