"""Classification by regression on transformed labels: each class a Gaussian process with noise of its own at each point."""

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.predict.classes import class_probabilities, one_hot
from ntkit.predict.posterior import Posterior, posterior


@dataclasses.dataclass(frozen=True, eq=False)
class DirichletClassifier:
    """A posterior for each class.

    Attributes:
        posteriors: one for each class, of the logarithm of its rate, the prior mean taken off.
        prior_mean: of these logarithms.
    """

    posteriors: tuple[Posterior, ...]
    prior_mean: float

    @property
    def log_marginal_likelihood(self) -> float:
        """The sum over classes, of the transformed labels: for kernels to be compared by."""
        return sum(process.log_marginal_likelihood for process in self.posteriors)

    def latent(
        self, k_test_train: ArrayLike, k_test_diag: ArrayLike
    ) -> tuple[Float64[np.ndarray, "m c"], Float64[np.ndarray, "m c"]]:
        """Mean and variance of the logarithm of each class's rate at test points.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_diag: (m,) prior variances of the test points.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.
        """
        means = [process.mean(k_test_train) for process in self.posteriors]
        variances = [process.variance(k_test_train, k_test_diag) for process in self.posteriors]
        return self.prior_mean + np.stack(means, axis=1), np.stack(variances, axis=1)

    def probabilities(
        self, k_test_train: ArrayLike, k_test_diag: ArrayLike, *, samples: int = 1000, seed: int = 0
    ) -> Float64[np.ndarray, "m c"]:
        """The probability of each class at test points, the mean of softmax over draws of the logarithms.

        Args:
            k_test_train: (m, n) kernel of the test points with the training points.
            k_test_diag: (m,) prior variances of the test points.
            samples: draws, the same for all test points.
            seed: of the draws.

        Raises:
            InputError: a shape is wrong, or a value is not finite.
            NumericalError: a variance is negative beyond rounding.
        """
        mean, variance = self.latent(k_test_train, k_test_diag)
        return class_probabilities(mean, variance[:, :, None] * np.eye(mean.shape[1]), samples, seed)


def dirichlet(
    k_train_train: ArrayLike, labels: ArrayLike, *, classes: int | None = None, concentration: float = 0.01
) -> DirichletClassifier:
    r"""Classification by exact regression: no iteration, one factorisation for each class.

    A label is taken as one observation of a Dirichlet distribution with concentration α_ε. The rate of class k then is
    Gamma(α, 1), α = α_ε + 1 for the label's class and α_ε for others, and its logarithm is taken as Gaussian with the
    same mean and variance of the rate: variance s² = log(1 + 1/α), mean log α − s²/2. These are the targets and noise
    of a regression for each class; its prior mean is the average target of all.

    Args:
        k_train_train: (n, n) prior covariance of the logarithm of a rate, such as the NNGP.
        labels: (n,) whole numbers from 0 on, or (n, c) one-hot rows.
        classes: c; None for one more than the largest label.
        concentration: α_ε > 0.

    Raises:
        InputError: a shape is wrong, a value is not finite, there is one class only, or the concentration is not positive.
        NumericalError: the kernel is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from ntkit.predict import dirichlet
        >>> fit = dirichlet(np.array([[4.0, 0.0], [0.0, 4.0]]), [0, 1])
        >>> fit.probabilities([[4.0, 0.0]], [4.0])[0, 0] > 0.6
        np.True_

    References:
        Milios et al., "Dirichlet-based Gaussian processes for large-scale calibrated classification", 2018, eqs. 4–6.
    """
    if not (np.isfinite(concentration) and concentration > 0):
        raise InputError(f"concentration is {concentration}; expected a positive number.")
    y = one_hot(labels, len(np.asarray(k_train_train)), classes)
    rate = concentration + y
    noise = np.log1p(1 / rate)
    targets = np.log(rate) - noise / 2
    prior_mean = float(targets.mean())
    made = [
        posterior(k_train_train, target - prior_mean, noise=spread)
        for target, spread in zip(targets.T, noise.T, strict=True)
    ]
    return DirichletClassifier(tuple(made), prior_mean)
