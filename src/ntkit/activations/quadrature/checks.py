"""What a function of the user's must be for its moments to be taken by quadrature."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ntkit.activations.quadrature.ladder import Ladder
from ntkit.errors import InputError


def as_breaks(values: object) -> tuple[float, ...]:
    """Finite numbers, in order and each once."""
    try:
        breaks = tuple(sorted({float(b) for b in np.atleast_1d(np.asarray(values, dtype=float))}))
    except (TypeError, ValueError):
        raise InputError(f"Elementwise: breaks must be a sequence of numbers, found {values!r}") from None
    if not np.all(np.isfinite(breaks)):
        raise InputError(f"Elementwise: breaks must be finite numbers, found {values!r}")
    return breaks


def check_elementwise(name: str, fn: Callable) -> None:
    """Raise `InputError` unless `fn` maps an array to one of the same shape, by JAX operations."""
    try:
        made = jax.eval_shape(fn, jax.ShapeDtypeStruct((3,), jnp.dtype("float32")))
    except Exception as error:
        raise InputError(
            f"Elementwise: {name} must be made of JAX operations; on an array of shape (3,) it raises: {error}"
        ) from error
    if getattr(made, "shape", None) != (3,):
        found = getattr(made, "shape", type(made).__name__)
        raise InputError(f"Elementwise: {name} must be elementwise: from shape (3,) it makes {found}")


def check_continuous(ladder: Ladder) -> None:
    """Raise `InputError` if the function jumps at one of its breaks."""
    for b, jump in ladder.jumps((), jnp.dtype("float32")):
        raise InputError(
            f"Elementwise: fn jumps by {float(jump):.3g} at {b:g}: its slope E[f'(u) f'(v)] is infinite, and there "
            "is no tangent kernel. Remedy: a continuous function; or Sign or Step, which serve below frozen layers"
        )
