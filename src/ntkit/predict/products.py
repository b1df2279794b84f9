"""Products with a tangent kernel of points, of each output, of all pairs of outputs, or with a function."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ntkit.errors import InputError, NumericalError
from ntkit.solve.arrays import ASYMMETRY, finite_array, symmetric_kernel
from ntkit.solve.rounding import eigenvalue_noise, rounding_of

VECTOR = 16  # numbers of float32 that a processor takes at a time


def product(xp: Any, kernel: Any, v: Any) -> Any:
    """Θ v.

    Args:
        xp: numpy or jax.numpy.
        kernel: (m, n), (m, n, o), (m, n, o, o), or a function of (n, o).
        v: (n, o).

    Example:
        >>> import numpy as np
        >>> product(np, np.array([[2.0, 0.0], [0.0, 1.0]]), np.ones((2, 1))).tolist()
        [[2.0], [1.0]]
    """
    if callable(kernel):
        return kernel(v)
    if kernel.ndim == 2:
        return kernel @ v
    return xp.einsum("mno,no->mo" if kernel.ndim == 3 else "mnop,np->mo", kernel, v)


def single_product(kernel: Any, v: Any) -> Any:
    """Θ v with a kernel of float32, in the precision of that; of JAX.

    XLA multiplies by whole vectors of columns twice as fast as by ten of them (1.2 ms instead of 2.6, for 2,000 rows).

    Args:
        kernel: (n, n) of float32.
        v: (n, o) of float64.
    """
    import jax.numpy as jnp

    outputs = v.shape[1]
    spare = -outputs % VECTOR if outputs > VECTOR // 4 else 0
    padded = jnp.pad(v.astype(kernel.dtype), ((0, 0), (0, spare)))
    return (kernel @ padded)[:, :outputs].astype(v.dtype)


def checked_product(kernel: ArrayLike | Any, shape: tuple[int, int]) -> Any:
    """A kernel of the training points that `product` takes.

    Args:
        kernel: what `loss_flow` takes.
        shape: (n, o).

    Raises:
        InputError: an array of the wrong shape, not finite, or not symmetric; a function whose result is shaped otherwise.
        NumericalError: a diagonal or a pair shows that it is not positive semi-definite.
    """
    n, outputs = shape
    if callable(kernel):
        return _function(kernel, shape)
    if np.ndim(kernel) == 2:
        array = symmetric_kernel(kernel, "the kernel")
        _expect(array, (n, n))
        _check_pairs(array, rounding_of(kernel))
        return array
    array = finite_array(kernel, "the kernel")
    _expect(array, (n, n, outputs) if array.ndim == 3 else (n, n, outputs, outputs))
    mirrored = array.transpose((1, 0, 2) if array.ndim == 3 else (1, 0, 3, 2))
    if np.abs(array - mirrored).max() > ASYMMETRY * np.abs(array).max():
        raise InputError("the kernel is not symmetric. Pass that of one batch with itself.")
    return array


def _expect(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(f"the kernel has shape {array.shape}; expected {shape} for these targets.")


def _check_pairs(kernel: np.ndarray, unit: float) -> None:
    """What can be seen of positive semi-definiteness without a decomposition: no entry exceeds its diagonal entries."""
    diagonal = np.diag(kernel)
    allowed = np.sqrt(np.maximum(diagonal, 0))[:, None] * np.sqrt(np.maximum(diagonal, 0))
    over = np.abs(kernel) - allowed
    i, j = (int(k) for k in np.unravel_index(np.argmax(over), over.shape))
    if over[i, j] > 10 * eigenvalue_noise(kernel, unit):
        raise NumericalError(
            f"the kernel is not positive semi-definite: entry ({i}, {j}) is {kernel[i, j]:.4g}, and those of rows {i} and {j} "
            f"with themselves {diagonal[i]:.4g} and {diagonal[j]:.4g}. Check that it is the kernel of one batch with itself."
        )


def _function(kernel: Any, shape: tuple[int, int]) -> Any:
    """A function of (n, o), also where the one given is of (n · o,), as an `NTKOperator` is."""
    import jax
    import jax.numpy as jnp

    def flat(v: Any) -> Any:
        return kernel(v.reshape(-1)).reshape(v.shape)

    size = shape[0] * shape[1]
    made = flat if getattr(kernel, "shape", None) == (size, size) else kernel
    with jax.enable_x64(True):
        found = jax.eval_shape(made, jax.ShapeDtypeStruct(shape, jnp.float64))
    if found.shape != shape:
        raise InputError(
            f"the kernel as a function gives {found.shape} for {shape}; expected the same shape."
        )
    return lambda v: made(v).astype(v.dtype)
