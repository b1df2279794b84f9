"""`nystrom`: features of any kernel from its values at landmarks, linear in the number of examples."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from ntkit.kernel_fn import KernelFn
from ntkit.solve import Cholesky, cholesky

JITTER = 1e-6  # of the mean of the diagonal, the most that may be added to the kernel of the landmarks


class Nystrom:
    """Features of both kernels; see `nystrom`.

    Attributes:
        kernel: The kernel.
        landmarks: (m, …), examples.
    """

    def __init__(self, kernel: KernelFn, landmarks: Any):
        self.kernel, self.landmarks = kernel, landmarks
        self._factors: dict[str, Cholesky] = {}

    def nngp(self, x: Any) -> Float[np.ndarray, "n m"]:
        """φ(x)·φ(x') ≈ NNGP."""
        return self._features("nngp", x)

    def ntk(self, x: Any) -> Float[np.ndarray, "n m"]:
        """ψ(x)·ψ(x') ≈ NTK."""
        return self._features("ntk", x)

    def factor(self, which: str) -> Cholesky:
        """Of the kernel "nngp" or "ntk" of the landmarks; its `jitter` and `message` say what was added, and why."""
        if which not in self._factors:
            own = self._values(which, self.landmarks, None)
            self._factors[which] = cholesky(own, max_relative_jitter=JITTER)
        return self._factors[which]

    def _features(self, which: str, x: Any) -> np.ndarray:
        lower, cross = self.factor(which).lower, self._values(which, self.landmarks, x)
        return solve_triangular(
            lower.astype(cross.dtype, copy=False), cross, lower=True, check_finite=False
        ).T

    def _values(self, which: str, x1: Any, x2: Any) -> np.ndarray:
        """One kernel alone where the kernel has a cheaper way to it."""
        alone = getattr(self.kernel, which, None)
        return np.asarray(getattr(self.kernel(x1, x2), which) if alone is None else alone(x1, x2))


def nystrom(kernel: KernelFn, landmarks: Any) -> Nystrom:
    r"""ψ(x) = L⁻¹ K(Z, x) with L Lᵀ = K(Z, Z): exact between landmarks Z, a projection onto their span elsewhere.

    Where one pair of examples is cheap, as in dense networks, these are better features than random ones: at landmarks
    drawn from the data the error falls with the kernel's eigenvalues, not as 1/√dimension.

    Args:
        kernel: Any kernel of this library, such as `nk.kernel_fn(net)`.
        landmarks: (m, …) examples, such as training rows drawn at random; m is the number of features.

    Returns:
        An object whose methods `nngp` and `ntk` take (n, …) examples and give (n, m). They raise `NumericalError` where
        landmarks repeat, or nearly so, beyond what a jitter of 1e-6 of the diagonal mends.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> k = nk.kernel_fn(nk.Dense(1) >> nk.Erf() >> nk.Dense(1))
        >>> psi = nk.features.nystrom(k, x[:40]).ntk(x)
        >>> psi.shape, bool(np.abs(psi @ psi.T - k(x).ntk)[:40].max() < 1e-4)
        ((50, 40), True)

    References:
        Williams and Seeger, "Using the Nyström method to speed up kernel machines", 2001, equation 10; Rudi, Camoriano and
        Rosasco, "Less is more: Nyström computational regularization", 2015, theorem 1.
    """
    return Nystrom(kernel, landmarks)
