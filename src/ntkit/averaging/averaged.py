"""`averaged`, a kernel averaged over transformations of its examples."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ntkit.arrays import Inputs, check_batch, traced
from ntkit.averaging.invariance import check_group, check_invariant
from ntkit.averaging.transformations import IDENTITY, Transformation, transformed
from ntkit.errors import InputError
from ntkit.kernel_fn import KernelFn, kernel_fn
from ntkit.layer import Layer
from ntkit.pair import KernelPair

Ask = Callable[..., Any]


class _Averaged:
    """A kernel averaged over transformations; see `averaged`."""

    def __init__(self, kernel: KernelFn, transformations: tuple[Transformation, ...], invariant: bool):
        self.kernel, self.transformations, self.invariant = kernel, transformations, invariant

    def __call__(self, x1: Inputs, x2: Inputs | None = None) -> KernelPair:
        return KernelPair(*self._mean(self.kernel, x1, x2))

    def nngp(self, x1: Inputs, x2: Inputs | None = None) -> Any:
        """The NNGP alone."""
        return self._mean(self._one("nngp"), x1, x2)[0]

    def ntk(self, x1: Inputs, x2: Inputs | None = None) -> Any:
        """The NTK alone."""
        return self._mean(self._one("ntk"), x1, x2)[0]

    def diag(self, x: Inputs) -> KernelPair:
        x = np.asarray(self._checked(x, "x"))
        sums = []
        if self.invariant and IDENTITY in self.transformations:
            sums.append([np.asarray(k) for k in self.kernel.diag(x)])
        for i in range(len(x)):
            row = self._of_example(x[i : i + 1])
            if i == 0:
                rest = [np.zeros((len(x), *k.shape), k.dtype) for k in row]
                sums.append(rest)
            for k, value in zip(rest, row, strict=True):
                k[i] = value
        count = len(self.transformations) ** (1 if self.invariant else 2)
        return KernelPair(*(sum(parts) / count for parts in zip(*sums, strict=True)))

    @property
    def fingerprint(self) -> str:
        what = [self.kernel.fingerprint, [g.name for g in self.transformations], self.invariant]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def for_tiles(self, shape: tuple[int, ...], n1: int, n2: int | None) -> "_Averaged":
        """The same kernel for tiles of a matrix."""
        kernel: Any = self.kernel
        if hasattr(kernel, "for_tiles"):
            kernel = kernel.for_tiles(shape, n1, n2)
        return _Averaged(kernel, self.transformations, self.invariant)

    def _one(self, name: str) -> Ask:
        """One of both kernels, as a tuple of one."""
        ask = getattr(self.kernel, name, None)
        return lambda *x: (getattr(self.kernel(*x), name) if ask is None else ask(*x),)

    def _checked(self, x: Inputs, name: str) -> Any:
        """A batch of which averages may be taken."""
        if traced(x):
            return x
        x = check_batch(x, name)
        if self.invariant:
            check_group(self.transformations, x)
            check_invariant(self.kernel, self.transformations, x)
        return x

    def _mean(self, ask: Ask, x1: Inputs, x2: Inputs | None) -> list[Any]:
        x1 = self._checked(x1, "x1")
        if x2 is not None and not traced(x2):
            x2 = check_batch(x2, "x2")
        pairs = self._over_group(ask, x1, x2) if self.invariant else self._over_pairs(ask, x1, x2)
        total: list[Any] = []
        count = 0
        for weight, kernels in pairs:
            count += weight
            if not total:
                total = [_double(k) * weight for k in kernels]
                dtypes = [k.dtype for k in kernels]
            else:
                total = [t + weight * k for t, k in zip(total, kernels, strict=True)]
        total = [t / count for t in total]
        if x2 is None:
            total = [(t + _transposed(t)) / 2 for t in total]
        return [t.astype(dtype) for t, dtype in zip(total, dtypes, strict=True)]

    def _over_group(self, ask: Ask, x1: Any, x2: Any):
        """(weight, kernels) of K(x, g x')."""
        for g in self.transformations:
            if x2 is None and g == IDENTITY:
                yield 1, ask(x1)
            else:
                yield 1, ask(x1, transformed(g, x1 if x2 is None else x2))

    def _over_pairs(self, ask: Ask, x1: Any, x2: Any):
        """(weight, kernels) of K(g x, h x'), of a symmetric kernel each unordered pair once."""
        for i, g in enumerate(self.transformations):
            rows = transformed(g, x1)
            if x2 is None:
                yield 1, ask(rows)
                for h in self.transformations[:i]:
                    yield 2, ask(rows, transformed(h, x1))
            else:
                for h in self.transformations:
                    yield 1, ask(rows, transformed(h, x2))

    def _of_example(self, row: np.ndarray) -> list[np.ndarray]:
        """Sums of both kernels over what is averaged for one example with itself, the identity of a group apart."""
        maps = [g for g in self.transformations if not (self.invariant and g == IDENTITY)]
        orbit = np.concatenate([transformed(g, row) for g in maps] or [row[:0]])
        if not self.invariant:
            return [np.asarray(k).sum((0, 1)) for k in self.kernel(orbit)]
        if not maps:
            return [np.zeros_like(np.asarray(k)[0, 0]) for k in self.kernel(row)]
        return [np.asarray(k)[0].sum(0) for k in self.kernel(row, orbit)]


def averaged(
    kernel: KernelFn | Layer, transformations: Sequence[Transformation], *, invariant: bool = False
) -> KernelFn:
    """The kernel averaged over transformations G of the examples.

        K̄(x, x') = mean over g and h in G of K(g x, h x'),

    which for a group under which K is invariant, K(g x, g x') = K(x, x'), is the mean over g of K(x, g x').

    Kernel regression with K̄ and ridge λ gives the predictions of regression with K and ridge |G|·λ on all |G|·n
    transformed examples, for a group under which K is invariant. It costs |G| kernels of n examples (|G|² where K is not
    known to be invariant), and a linear system of n equations, not |G|·n.

    Args:
        kernel: A network, or any `KernelFn`.
        transformations: Of G, such as `flips()`.
        invariant: Whether K is invariant under G, and G a group. Both are checked, on a few of the examples.

    Returns:
        A `KernelFn`.

    Raises:
        InputError: The kernel or a transformation is none; by a call, G is no group, or K not invariant, though said to be.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Conv(8, 3) >> nk.Relu() >> nk.Flatten() >> nk.Dense(1)
        >>> k = nk.averaging.averaged(net, nk.averaging.flips(), invariant=True)
        >>> image = np.arange(4.0).reshape(1, 1, 4, 1)
        >>> bool(np.allclose(k(image).ntk, k(image, image[:, :, ::-1]).ntk))
        True

    References:
        Li et al. (2019), "Enhanced Convolutional Neural Tangent Kernels", section 4 (augmentation by flips and
        translations as an averaged kernel); Haasdonk & Burkhardt (2007), "Invariant kernel functions for pattern
        analysis and machine learning", section 4 (Haar integration kernels).
    """
    k = kernel_fn(kernel) if isinstance(kernel, Layer) else kernel
    if not isinstance(k, KernelFn):
        raise InputError(f"averaged: kernel must be a network or a KernelFn, found {type(k).__name__}")
    maps = tuple(transformations)
    if not maps:
        raise InputError("averaged: give at least one transformation")
    for g in maps:
        if not isinstance(g, Transformation):
            raise InputError(
                f"averaged: expected transformations, as nk.averaging.flips() gives them, found {g!r}; wrap a function as "
                "nk.averaging.Transformation(name, function)"
            )
    return _Averaged(k, maps, bool(invariant))


def _double(k: Any) -> Any:
    """Sums of many kernels are taken in double precision, where they are no tracers."""
    return k if traced(k) else np.asarray(k, np.float64)


def _transposed(k: Any) -> Any:
    """K(x', x), positions exchanged with examples."""
    return k.transpose(1, 0, *((3, 2) if k.ndim == 4 else ()))
