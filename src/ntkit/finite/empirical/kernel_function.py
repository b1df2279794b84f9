"""`kernel_fn`: the kernels of a finite network as whatever takes kernels reads them."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkit.finite.empirical.kernels import MEMORY, nngp, ntk
from ntkit.kernel_fn import KernelFn
from ntkit.pair import KernelPair

_ROWS = 32  # whose kernel with each other is computed for the diagonal


class _EmpiricalKernel:
    """The kernels of a function at given parameters; see `kernel_fn`."""

    def __init__(self, f: Callable, params: Any, **options: Any):
        self.f, self.params, self.options = f, params, options

    def __call__(self, x1: Any, x2: Any = None) -> KernelPair:
        return KernelPair(self.nngp(x1, x2), self.ntk(x1, x2))

    def nngp(self, x1: Any, x2: Any = None) -> np.ndarray:
        """The products of the outputs alone."""
        return nngp(self.f, self.params, x1, x2, form="trace")

    def ntk(self, x1: Any, x2: Any = None) -> np.ndarray:
        """The tangent kernel alone."""
        return ntk(self.f, self.params, x1, x2, **self.options)

    def diag(self, x: Any) -> KernelPair:
        parts = [self(x[i : i + _ROWS]) for i in range(0, len(x), _ROWS)]
        return KernelPair(*(np.concatenate([np.diagonal(p[k]) for p in parts]) for k in (0, 1)))

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        code = getattr(self.f, "__code__", None)
        name = getattr(self.f, "__module__", ""), getattr(self.f, "__qualname__", type(self.f).__name__)
        digest.update(
            repr((name, code and (code.co_code, code.co_consts), self.options.get("form"))).encode()
        )
        for tree in (self.params, self.options.get("rates")):
            for path, leaf in jax.tree.leaves_with_path(tree):
                digest.update(jax.tree_util.keystr(path).encode() + np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()


def kernel_fn(
    f: Callable,
    params: Any,
    *,
    form: str = "trace",
    method: str = "auto",
    rates: Any = None,
    memory: int = MEMORY,
) -> KernelFn:
    """The kernels of a finite network as a `KernelFn`, for prediction, large matrices and analysis.

    Args:
        f: As that of `ntk`.
        params: A tree of real arrays.
        form: "trace" or "sum_of_logits", one number a pair.
        method: As that of `ntk`.
        rates: As those of `ntk`.
        memory: Bytes that one block of examples may take.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> k = nk.finite.empirical.kernel_fn(lambda w, x: x @ w, np.ones((3, 2)))
        >>> nk.gram.compute(k, np.eye(3)).ntk.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return _EmpiricalKernel(f, params, form=form, method=method, rates=rates, memory=memory)
