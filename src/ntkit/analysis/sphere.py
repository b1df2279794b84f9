"""Eigenvalues on the sphere: a kernel of inner products has the spherical harmonics of each degree for eigenfunctions."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import gammaln, roots_legendre

from ntkit.errors import InputError, NumericalError
from ntkit.kernel_fn import KernelFn

EXACT = 1e-10  # of the kernel's diagonal, to which more nodes have to change nothing
NODES = (128, 512, 2048, 8192)


class SphereSpectrum(NamedTuple):
    """Eigenvalues of both kernels over the uniform distribution on a sphere, one for each degree.

    Attributes:
        degree: (k,) from 0 on.
        multiplicity: (k,) how many harmonics are of this degree.
        nngp: (k,) eigenvalues.
        ntk: (k,)
        error: by which more nodes still changed an eigenvalue, relative to the kernel's diagonal.
    """

    degree: Int64[np.ndarray, " k"]
    multiplicity: Float64[np.ndarray, " k"]
    nngp: Float64[np.ndarray, " k"]
    ntk: Float64[np.ndarray, " k"]
    error: float


def sphere_eigenvalues(
    kernel: KernelFn, dimension: int, degrees: int = 20, *, radius: float | None = None
) -> SphereSpectrum:
    r"""The eigenvalues of a kernel by degree on a sphere.

    With K(x, x') = h(cos θ), the eigenvalue of degree k is ∫ h(cos θ) P_k(cos θ) sin^(d−2) θ dθ / ∫ sin^(d−2) θ dθ, P_k being
    the Gegenbauer polynomial with P_k(1) = 1. In θ the kernels of ReLU networks are smooth, so that the Gauss–Legendre
    rule in θ converges at once; nodes are added until it has.

    Args:
        kernel: `nk.kernel_fn(net)` of a dense network, or any other kernel of inner products, in float64.
        dimension: d ≥ 2 of the space; the sphere has d − 1.
        degrees: the largest degree.
        radius: of the sphere; None for √d, inputs of unit variance.

    Raises:
        InputError: the dimension, the degrees or the radius are out of range, or K(x, x') does not depend on the angle alone.
        NumericalError: the eigenvalues have not settled with 8192 nodes: the kernel has a kink inside.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.analysis import sphere_eigenvalues
        >>> found = sphere_eigenvalues(nk.kernel_fn(nk.Dense(8) >> nk.Relu() >> nk.Dense(1)), 3, 4)
        >>> found.multiplicity.tolist()
        [1.0, 3.0, 5.0, 7.0, 9.0]
        >>> bool(found.nngp[3] < 1e-12)  # ReLU without biases has no odd degree above 1
        True

    References:
        Bietti and Mairal, "On the inductive bias of neural tangent kernels", 2019, appendix C; Basri et al., "The
        convergence rate of neural networks for learned functions of different frequencies", 2019, theorem 1.
    """
    if not _whole(dimension) or dimension < 2 or not _whole(degrees) or degrees < 0:
        raise InputError(
            f"dimension is {dimension} and degrees {degrees}; expected whole numbers of at least 2 and 0."
        )
    size = math.sqrt(dimension) if radius is None else radius
    if not (size > 0 and math.isfinite(size)):
        raise InputError(f"radius is {radius}; expected a positive number.")
    _check_rotations(kernel, dimension, size)
    found = _by_quadrature(kernel, dimension, degrees, size, NODES[0])
    error = math.inf
    for nodes in NODES[1:]:
        before, found = found, _by_quadrature(kernel, dimension, degrees, size, nodes)
        error = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(before, found, strict=True))
        if error <= EXACT:
            degree = np.arange(degrees + 1)
            return SphereSpectrum(degree, _multiplicity(dimension, degree), *found, error)
    raise NumericalError(
        f"the eigenvalues still change by {error:.1g} with {NODES[-1]} nodes; ask for fewer degrees, or for a kernel that is "
        "smooth between equal and opposite inputs."
    )


def _by_quadrature(
    kernel: KernelFn, d: int, degrees: int, radius: float, nodes: int
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    roots, weights = roots_legendre(nodes)
    angles = (roots + 1) * (math.pi / 2)
    density = weights * np.sin(angles) ** (d - 2)
    basis = _gegenbauer(np.cos(angles), d, degrees) * (density / density.sum())
    pair = kernel(_at(np.zeros(1), d, radius), _at(angles, d, radius))
    return tuple(basis @ np.asarray(k, float)[0] for k in (pair.nngp, pair.ntk))


def _at(angles: Float64[np.ndarray, " n"], d: int, radius: float) -> Float64[np.ndarray, "n d"]:
    """Points at these angles from the first axis."""
    points = np.zeros((len(angles), d))
    points[:, 0], points[:, 1] = radius * np.cos(angles), radius * np.sin(angles)
    return points


def _gegenbauer(t: Float64[np.ndarray, " n"], d: int, degrees: int) -> Float64[np.ndarray, "k n"]:
    """P_0 … P_degrees, 1 at t = 1: (k + d − 3) P_k = (2k + d − 4) t P_(k−1) − (k − 1) P_(k−2)."""
    found = [np.ones_like(t), t]
    for k in range(2, degrees + 1):
        found.append(((2 * k + d - 4) * t * found[-1] - (k - 1) * found[-2]) / (k + d - 3))
    return np.stack(found[: degrees + 1])


def _multiplicity(d: int, degree: Int64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """(2k + d − 2) (k + d − 3)! / (k! (d − 2)!), and 1, 2, 2, 2 on the circle."""
    k = degree.astype(float)
    if d == 2:
        return np.where(k == 0, 1.0, 2.0)
    return np.round(np.exp(np.log(2 * k + d - 2) + gammaln(k + d - 2) - gammaln(k + 1) - gammaln(d - 1)))


def _check_rotations(kernel: KernelFn, d: int, radius: float) -> None:
    """A pair of points and the same pair turned have one kernel."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    points = _at(np.array([0.0, 0.7, 2.0]), d, radius)
    plain, turned = kernel(points), kernel(points @ turn)
    for name in ("nngp", "ntk"):
        a, b = (np.asarray(getattr(pair, name), float) for pair in (plain, turned))
        if np.abs(a - b).max() > 1e-5 * np.abs(a).max():
            raise InputError(
                f"the {name.upper()} changes when both inputs are turned alike; expected a kernel of inner products, such as "
                "that of a dense network."
            )


def _whole(value: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
