"""How far rounding alone can move the smallest eigenvalue of a kernel."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike


def rounding_of(kernel: ArrayLike) -> float:
    r"""The unit roundoff of the dtype in which a kernel arrives.

    2⁻⁵³ for float64 and for Python numbers, 2⁻²⁴ for float32.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve.rounding import rounding_of
        >>> rounding_of(np.eye(2, dtype=np.float32)) == 2**-24
        True
    """
    dtype = np.asarray(kernel).dtype
    return float(np.finfo(dtype).eps) / 2 if np.issubdtype(dtype, np.floating) else 2.0**-53


def eigenvalue_noise(kernel: Float64[np.ndarray, "n n"], unit: float) -> float:
    r"""What rounding can do to an eigenvalue that is exactly zero.

    4·u·√n·tr(K)/n for the entries of the kernel, each good to a few roundoffs u of its diagonal, since the largest
    eigenvalue of a random symmetric matrix with entries of size s is about 2s√n.

    Args:
        kernel: (n, n), in float64.
        unit: unit roundoff u of the arithmetic in which it was computed.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve.rounding import eigenvalue_noise
        >>> eigenvalue_noise(np.eye(4), 2.0**-24) == 4 * 2.0**-24 * 2
        True

    References:
        Füredi and Komlós, "The eigenvalues of random symmetric matrices", 1981, for the 2s√n.
    """
    return float(4 * unit * np.sqrt(len(kernel)) * np.mean(np.abs(np.diag(kernel))))
