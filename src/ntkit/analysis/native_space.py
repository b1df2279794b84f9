"""Norms and inner products in the kernel's own space of functions, of the interpolants of least norm."""

import numpy as np
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.ridge import kernel_regression
from ntkit.solve.arrays import finite_array, symmetric_kernel


def rkhs_inner_product(kernel: ArrayLike, f: ArrayLike, g: ArrayLike) -> float:
    r"""⟨f, g⟩ = fᵀK⁻¹g of the functions of least norm with these values at the points, summed over outputs.

    For functions of the span of K(·, xᵢ) it is exact; for others a lower bound of the norm, which grows with the points.

    Args:
        kernel: (n, n) of the points.
        f: (n,) or (n, o) values of a function there.
        g: of the same shape.

    Raises:
        InputError: a shape is wrong, or a value is not finite.
        NumericalError: the kernel is singular.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import rkhs_inner_product
        >>> round(rkhs_inner_product(np.diag([2.0, 4.0]), [2.0, 0.0], [1.0, 1.0]), 12)
        1.0

    References:
        Schölkopf and Smola, Learning with Kernels, 2002, section 2.2.2; Kimeldorf and Wahba, 1971, on least norms.
    """
    k = symmetric_kernel(kernel, "the kernel")
    values, others = finite_array(f, "f"), finite_array(g, "g")
    if values.ndim not in (1, 2) or len(values) != len(k) or values.shape != others.shape:
        raise InputError(
            f"f and g have shapes {values.shape} and {others.shape}; expected ({len(k)},) or ({len(k)}, outputs) of both."
        )
    columns = others.reshape(len(k), -1)
    return float(np.sum(values.reshape(len(k), -1) * kernel_regression(k, columns).coefficients))


def rkhs_norm(kernel: ArrayLike, f: ArrayLike) -> float:
    r"""√(fᵀK⁻¹f), the least norm of a function with these values at the points.

    Args:
        kernel: (n, n) of the points.
        f: (n,) or (n, o) values.

    Raises:
        InputError: a shape is wrong, or a value is not finite.
        NumericalError: the kernel is singular.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import rkhs_norm
        >>> round(rkhs_norm(np.diag([4.0, 1.0]), [2.0, 0.0]), 12)
        1.0

    References:
        As for `rkhs_inner_product`.
    """
    return float(np.sqrt(max(rkhs_inner_product(kernel, f, f), 0.0)))
