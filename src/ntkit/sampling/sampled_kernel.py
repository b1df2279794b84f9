"""`SampledKernel`, means of both kernels over finite networks, with standard errors; samples merge."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ntkit.errors import InputError
from ntkit.pair import KernelPair


@jax.tree_util.register_pytree_node_class
class SampledKernel(KernelPair):
    """Means over finite networks, a pair of kernels as any other, and how sure they are; the shapes are those of `kernel`.

    Attributes:
        nngp: (n1, n2), mean over networks and output units of f(x) f(x').
        ntk: (n1, n2), mean of the empirical tangent kernels.
        nngp_error: (n1, n2), standard errors of `nngp`.
        ntk_error: (n1, n2), standard errors of `ntk`.
        count: How many networks were drawn.
    """

    nngp_error: Any
    ntk_error: Any
    count: int  # type: ignore[assignment]  # the method of tuples of this name counts values; nobody asks that here

    def __new__(cls, nngp: Any, ntk: Any, nngp_error: Any, ntk_error: Any, count: int) -> "SampledKernel":
        """The pair, with what a pair does not have beside it."""
        self = KernelPair.__new__(cls, nngp, ntk)
        self.nngp_error, self.ntk_error, self.count = nngp_error, ntk_error, count
        return self

    def __repr__(self) -> str:
        fields = ("nngp", "ntk", "nngp_error", "ntk_error", "count")
        return f"SampledKernel({', '.join(f'{name}={getattr(self, name)!r}' for name in fields)})"

    # A tuple is copied, pickled and mapped over by its items, which are two; these say that there is more.

    def __getnewargs__(self) -> tuple:
        """All that makes one."""
        return (*self, self.nngp_error, self.ntk_error, self.count)

    def tree_flatten(self) -> tuple[tuple, int]:
        """The arrays, and the count."""
        return (*self, self.nngp_error, self.ntk_error), self.count

    @classmethod
    def tree_unflatten(cls, count: int, arrays: tuple) -> "SampledKernel":
        """The inverse."""
        nngp, ntk, nngp_error, ntk_error = arrays
        return cls(nngp, ntk, nngp_error, ntk_error, count)

    def merge(self, other: "SampledKernel") -> "SampledKernel":
        """The result of both samples together, as if drawn in one; their keys must differ.

        Raises:
            InputError: The kernels differ in shape.

        Example:
            >>> import jax, numpy as np, ntkit as nk
            >>> net = nk.Dense(16) >> nk.Relu() >> nk.Dense(1)
            >>> a, b = (nk.sample(net, np.eye(2), key=jax.random.key(seed), count=8) for seed in (0, 1))
            >>> a.merge(b).count
            16

        References:
            Chan, Golub & LeVeque (1983), "Algorithms for Computing the Sample Variance", equation (1.5b).
        """
        if self.nngp.shape != other.nngp.shape:
            raise InputError(
                f"merge: the samples are of kernels shaped {self.nngp.shape} and {other.nngp.shape}; "
                "draw both for the same inputs"
            )
        return finished(merged(_running(self), _running(other)))


# Running means ----------------------------------------------------------------------------------------------------------


class Running(NamedTuple):
    """Count, means (2, …) of both kernels, and sums of squared deviations from them."""

    count: Any
    mean: Any
    squares: Any


def merged(a: Running, b: Running) -> Running:
    """Chan, Golub & LeVeque (1983), equation (1.5b)."""
    count = a.count + b.count
    step = b.mean - a.mean
    return Running(
        count,
        a.mean + step * (b.count / count),
        a.squares + b.squares + step**2 * (a.count * b.count / count),
    )


def finished(running: Running) -> SampledKernel:
    """The means, and the standard errors that follow from the squares."""
    n = running.count
    error = np.sqrt(running.squares / (n * (n - 1)))
    return SampledKernel(running.mean[0], running.mean[1], error[0], error[1], int(n))


def _running(found: SampledKernel) -> Running:
    n = np.asarray(float(found.count))
    errors = np.stack([found.nngp_error, found.ntk_error])
    return Running(n, np.stack([found.nngp, found.ntk]), errors**2 * n * (n - 1))


def with_positions(found: SampledKernel, rows: tuple[int, int], positions: bool) -> SampledKernel:
    """(n1·P, n2·P) → (n1, n2, P, P), or as it is for vectors."""
    if not positions:
        return found

    def split(k: np.ndarray) -> np.ndarray:
        return k.reshape(rows[0], k.shape[0] // rows[0], rows[1], k.shape[1] // rows[1]).transpose(0, 2, 1, 3)

    return jax.tree.map(split, found)
