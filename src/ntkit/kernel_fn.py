"""`KernelFn`, the common currency: anything that gives both kernels of two batches, wherever they come from."""

import hashlib
import json
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from ntkit.arrays import DEFAULT_MEMORY, Inputs
from ntkit.engines import explain
from ntkit.engines.choice import MONTE_CARLO
from ntkit.errors import InputError
from ntkit.kernels import check_network, diagonal, kernel, nngp, ntk
from ntkit.layer import Layer, couples_examples
from ntkit.pair import KernelPair
from ntkit.sampling import NETWORKS
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

    def __init__(self, net: Layer, **options: Any):
        self.net, self.options = net, options

    def __call__(self, x1: Inputs, x2: Inputs | None = None) -> KernelPair:
        return kernel(self.net, x1, x2, **self.options)

    def nngp(self, x1: Inputs, x2: Inputs | None = None) -> Any:
        """The NNGP alone, at less cost."""
        return nngp(self.net, x1, x2, **self.options)

    def ntk(self, x1: Inputs, x2: Inputs | None = None) -> Any:
        """The NTK alone."""
        return ntk(self.net, x1, x2, **self.options)

    def diag(self, x: Inputs) -> KernelPair:
        if self.options["engine"] == MONTE_CARLO:
            return jax.tree.map(lambda k: np.diagonal(k).T, self(x))
        return diagonal(self.net, x, dtype=self.options["dtype"], memory=self.options["memory"])

    @property
    def fingerprint(self) -> str:
        what = {"net": to_spec(self.net), "dtype": str(self.options["dtype"])}
        if self.options["engine"] == MONTE_CARLO:
            what["networks"] = self.options["networks"]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def for_tiles(self, shape: tuple[int | None, ...], n1: int, n2: int | None) -> "_NetworkKernel":
        """The same kernel for tiles of a matrix: on one thread, and the engine is the one for the whole matrix.

        Raises:
            InputError: The kernel of a tile is no tile of the kernel.
        """
        if couples_examples(self.net):
            raise InputError(
                "the network has a layer in which examples act on one another (BatchNorm), so its kernel belongs to a batch "
                "and cannot be computed in tiles; call nk.kernel on the whole batch"
            )
        options = {**self.options, "threads": 1}
        # On graphs and sequences the choice of an engine does not hang on their number.
        if options["engine"] == "auto" and None not in shape:
            options["engine"] = explain(self.net, shape, n1, n2).engine
        return _NetworkKernel(self.net, **options)


def kernel_fn(
    net: Layer,
    *,
    engine: str = "auto",
    dtype: Any = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    networks: int = NETWORKS,
) -> KernelFn:
    """The kernel of an architecture as a function of the data; the options are those of `kernel`.

    Args:
        net: The architecture.
        engine: "auto", "reference", "fused" or "monte_carlo".
        dtype: float32 or float64; None for that of the data.
        memory: Bytes that the working arrays may take.
        threads: Threads of the fused engine; None for one a core.
        networks: How many networks engine="monte_carlo" averages.

    Raises:
        InputError: `net` is not a network; by `fingerprint`, when it has no JSON form.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> k = nk.kernel_fn(nk.Dense(64) >> nk.Relu() >> nk.Dense(1))
        >>> k(np.eye(3)).ntk.shape, k.diag(np.eye(3)).ntk.shape
        ((3, 3), (3,))
    """
    check_network(net)
    return _NetworkKernel(net, engine=engine, dtype=dtype, memory=memory, threads=threads, networks=networks)
