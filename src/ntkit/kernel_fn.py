"""`KernelFn`, the common currency: anything that gives both kernels of two batches, wherever they come from."""

import hashlib
import json
from typing import Any, Protocol, runtime_checkable

from ntkit.kernels import DEFAULT_MEMORY, Inputs, KernelPair, check_network, diagonal, kernel
from ntkit.layer import Layer
from ntkit.spec import to_spec


@runtime_checkable
class KernelFn(Protocol):
    """What prediction, analysis and estimators accept beside plain arrays."""

    def __call__(self, x1: Inputs, x2: Inputs | None = None) -> KernelPair:
        """Both kernels of all pairs of rows; `x2=None` is `x1` with itself."""
        ...

    def diag(self, x: Inputs) -> KernelPair:
        """Both kernels of every row with itself, (n,)."""
        ...

    @property
    def fingerprint(self) -> str:
        """A text that differs between kernels that differ."""
        ...


class _NetworkKernel:
    """The kernel of an architecture with its options; see `kernel_fn`."""

    def __init__(self, net: Layer, engine: str, dtype: Any, memory: int):
        self.net, self.engine, self.dtype, self.memory = net, engine, dtype, memory

    def __call__(self, x1: Inputs, x2: Inputs | None = None) -> KernelPair:
        return kernel(self.net, x1, x2, engine=self.engine, dtype=self.dtype, memory=self.memory)

    def diag(self, x: Inputs) -> KernelPair:
        return diagonal(self.net, x, dtype=self.dtype, memory=self.memory)

    @property
    def fingerprint(self) -> str:
        what = {"net": to_spec(self.net), "dtype": str(self.dtype)}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def kernel_fn(
    net: Layer, *, engine: str = "auto", dtype: Any = None, memory: int = DEFAULT_MEMORY
) -> KernelFn:
    """The kernel of an architecture as a function of the data; the options are those of `kernel`.

    Args:
        net: The architecture.
        engine: "auto" or "reference".
        dtype: float32 or float64; None for that of the data.
        memory: Bytes that the working arrays may take.

    Raises:
        InputError: `net` is not a network; by `fingerprint`, when it has no JSON form.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> k = nk.kernel_fn(nk.Dense(64) >> nk.Relu() >> nk.Dense(1))
        >>> k(np.eye(3)).ntk.shape, k.diag(np.eye(3)).ntk.shape
        ((3, 3), (3,))
    """
    check_network(net)
    return _NetworkKernel(net, engine, dtype, memory)
