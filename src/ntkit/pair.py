"""`KernelPair`, both kernels of two batches, as every engine gives them."""

from typing import Any, NamedTuple


class KernelPair(NamedTuple):
    """Both kernels of one architecture; NumPy arrays outside of a JAX trace.

    Attributes:
        nngp: (n1, n2), E[f(x) f(x')] of one output over random weights.
        ntk: (n1, n2), the neural tangent kernel of one output.
    """

    nngp: Any
    ntk: Any
