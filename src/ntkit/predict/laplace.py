"""Classification by a Gaussian process with softmax likelihood, in Laplace's approximation."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import logsumexp, softmax

from ntkit.errors import InputError, NumericalError
from ntkit.predict.classes import class_probabilities, one_hot
from ntkit.predict.gaussian import not_negative
from ntkit.solve.arrays import cross_kernel, finite_array, symmetric_kernel

STEPS, TOLERANCE = 100, 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class LaplaceClassifier:
    """The Gaussian at the mode of the posterior of the latent outputs, one for each class.

    Attributes:
        mode: (n, c) latent outputs at the training points.
        coefficients: (n, c), y − softmax(mode) = K⁻¹ mode.
        log_marginal_likelihood: the approximation of log p(y | X).
        roots: (c, n, n), Rₖ with Rₖᵀ Rₖ = (K + D_k⁻¹)⁻¹, D_k the probabilities of class k.
        joint: (n, n) lower Cholesky factor of Σₖ Rₖᵀ Rₖ.
    """

    mode: Float64[np.ndarray, "n c"]
    coefficients: Float64[np.ndarray, "n c"]
    log_marginal_likelihood: float
    roots: Float64[np.ndarray, "c n n"]
    joint: Float64[np.ndarray, "n n"]

    def latent(
        self, k_test_train: ArrayLike, k_test_diag: ArrayLike
    ) -> tuple[Float64[np.ndarray, "m c"], Float64[np.ndarray, "m c c"]]:
        """Mean and covariance over classes of the latent outputs at test points.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_diag: (m,) prior variances of the test points.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.

        References:
            Rasmussen and Williams, 2006, algorithm 3.4.
        """
        cross = cross_kernel(k_test_train, len(self.mode), "k_test_train")
        prior = finite_array(k_test_diag, "k_test_diag")
        if prior.shape != (len(cross),):
            raise InputError(
                f"k_test_diag has shape {prior.shape}; expected ({len(cross)},), a prior variance for each test point."
            )
        classes = self.mode.shape[1]
        halves = [root @ cross.T for root in self.roots]  # R k, (n, m)
        full = [root.T @ half for root, half in zip(self.roots, halves, strict=True)]
        joined = [solve_triangular(self.joint, part, lower=True) for part in full]
        covariance = np.einsum("anm,bnm->mab", np.array(joined), np.array(joined))
        for k in range(classes):
            own = prior - np.einsum("nm,nm->m", halves[k], halves[k])
            covariance[:, k, k] = not_negative(covariance[:, k, k] + own, prior)
        return cross @ self.coefficients, covariance

    def probabilities(
        self, k_test_train: ArrayLike, k_test_diag: ArrayLike, *, samples: int = 1000, seed: int = 0
    ) -> Float64[np.ndarray, "m c"]:
        """The probability of each class at test points, the mean of softmax over draws of the latent outputs.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_diag: (m,) prior variances of the test points.
            samples: draws, the same for all test points.
            seed: of the draws.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.
        """
        return class_probabilities(*self.latent(k_test_train, k_test_diag), samples, seed)


def laplace(k_train_train: ArrayLike, labels: ArrayLike, *, classes: int | None = None) -> LaplaceClassifier:
    r"""Classification with the infinitely wide Bayesian network: latent outputs ~ GP(0, K), one for each class, p = softmax.

    The mode of the posterior is found by Newton's method, and the posterior replaced by the Gaussian there. Two
    classes have two latent outputs, whose difference has the prior covariance 2 K: a logistic process with kernel 2 K.
    Costs some 10 · classes Cholesky factorisations.

    Args:
        k_train_train: (n, n) prior covariance of a latent output at the training points, such as the NNGP.
        labels: (n,) whole numbers from 0 on, or (n, c) one-hot rows.
        classes: c; None for one more than the largest label.

    Raises:
        InputError: a shape is wrong, a value is not finite, or there is one class only.
        NumericalError: Newton's method did not converge, or the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import laplace
        >>> fit = laplace(np.array([[4.0, 0.0], [0.0, 4.0]]), [0, 1])
        >>> fit.probabilities([[4.0, 0.0]], [4.0])[0, 0] > 0.6
        np.True_

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 3.3.
    """
    kernel = symmetric_kernel(k_train_train, "the kernel")
    y = one_hot(labels, len(kernel), classes)
    mode, coefficients = np.zeros_like(y), np.zeros_like(y)
    value = _objective(mode, coefficients, y)
    for _ in range(STEPS):
        probability = softmax(mode, axis=1)
        roots, joint, _ = _factors(kernel, probability)
        # W f + y − π with W = diag(π) − Π Πᵀ
        b = probability * (mode - np.sum(probability * mode, axis=1, keepdims=True)) + y - probability
        step = _newton(kernel, roots, joint, b) - coefficients
        size = 1.0
        while size > 1e-6:  # a full step of Newton's can overshoot
            trial = coefficients + size * step
            found = _objective(kernel @ trial, trial, y)
            if found >= value - 1e-12 * abs(value):
                break
            size /= 2
        coefficients, mode, before, value = trial, kernel @ trial, value, found
        if abs(value - before) <= TOLERANCE * max(1.0, abs(value)) and np.abs(step).max() < 1e-6:
            break
    else:
        raise NumericalError(
            f"Newton's method did not find the mode in {STEPS} steps: scale the kernel down."
        )
    roots, joint, log_determinant = _factors(kernel, softmax(mode, axis=1))
    return LaplaceClassifier(mode, coefficients, value - log_determinant, roots, joint)


def _factors(
    kernel: Float64[np.ndarray, "n n"], probability: Float64[np.ndarray, "n c"]
) -> tuple[Float64[np.ndarray, "c n n"], Float64[np.ndarray, "n n"], float]:
    """Rₖ = L⁻¹ D^½ with L Lᵀ = I + D^½ K D^½, the factor of Σ RᵀR, and the logarithm of all determinants together."""
    roots, total = np.empty((probability.shape[1], *kernel.shape)), 0.0
    for k, p in enumerate(np.sqrt(probability).T):
        matrix = p[:, None] * kernel * p
        matrix[np.diag_indices_from(matrix)] += 1
        try:
            lower = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError as error:
            raise NumericalError(
                "the kernel is not positive semi-definite: check that it is the kernel of one batch with itself."
            ) from error
        roots[k] = solve_triangular(lower, np.diag(p), lower=True)
        total += float(np.sum(np.log(np.diag(lower))))
    joint = np.linalg.cholesky(np.einsum("kij,kil->jl", roots, roots))
    # log det(I + K W) = 2 Σ log L + 2 log M − log det(Σ D), and Σₖ D_k = I.
    return roots, joint, total + float(np.sum(np.log(np.diag(joint))))


def _newton(
    kernel: Float64[np.ndarray, "n n"],
    roots: Float64[np.ndarray, "c n n"],
    joint: Float64[np.ndarray, "n n"],
    b: Float64[np.ndarray, "n c"],
) -> Float64[np.ndarray, "n c"]:
    """The next coefficients, (I + W K)⁻¹ b."""
    product = kernel @ b
    c = np.stack([root.T @ (root @ product[:, k]) for k, root in enumerate(roots)], axis=1)
    shared = cho_solve((joint, True), c.sum(axis=1))
    return b - c + np.stack([root.T @ (root @ shared) for root in roots], axis=1)


def _objective(
    mode: Float64[np.ndarray, "n c"], coefficients: Float64[np.ndarray, "n c"], y: Float64[np.ndarray, "n c"]
) -> float:
    fit = np.sum(y * mode) - np.sum(logsumexp(mode, axis=1))
    return float(fit - np.sum(coefficients * mode) / 2)
