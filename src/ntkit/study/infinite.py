"""What the infinite network predicts, how it learns, and what its kernel says of the task."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkit.analysis import spectrum, target_power
from ntkit.predict import choose_ridge, gradient_flow, kernel_regression, posterior
from ntkit.solve import Eigen, eigendecomposition
from ntkit.study.examples import Examples
from ntkit.study.kernels import Kernels
from ntkit.study.preprocessing import NumberCoding

Numbers = dict[str, Any]

JITTER = 1e-6  # the most that is added to a singular kernel of float64, relative to the mean of its diagonal
TIMES = 60
SLOWEST = 1e-7  # modes slower than this, relative to the fastest, are not waited for


@dataclass(frozen=True)
class Modes:
    """The eigendecompositions of both kernels of the training rows."""

    ntk: Eigen
    nngp: Eigen


def decompose(kernels: Kernels) -> Modes:
    """Decompose both kernels of the training rows."""
    return Modes(eigendecomposition(kernels.ntk_train), eigendecomposition(kernels.nngp_train))


def most_jitter(eigen: Eigen) -> float:
    """The most that is added to a singular kernel, relative to the mean of its diagonal: ten times its rounding at least.

    The rounding of a float32 kernel is more than 1e-6.
    """
    return max(JITTER, 10 * eigen.noise / float(np.mean(eigen.values)))


def method(
    id: str,
    kind: str,
    name: str,
    what: str,
    train: Numbers,
    test: Numbers,
    *,
    determined: bool = True,
    chosen: Numbers | None = None,
) -> Numbers:
    """One line of the table of methods; its scores mean nothing where it is not ``determined``."""
    return {
        "id": id,
        "kind": kind,
        "name": name,
        "what": what,
        "train": train,
        "test": test,
        "determined": determined,
        "chosen": chosen or {},
    }


def at_convergence(
    kernels: Kernels, modes: Modes, examples: Examples
) -> tuple[dict[str, Any], Float64[np.ndarray, "m outputs"], float]:
    """The infinite network after training to the end: its line of the table, its test outputs, and the jitter added.

    A kernel that is singular to rounding does not determine it: what the modes lost in rounding add is not known.

    Raises:
        NumericalError: The kernel is singular beyond repair.
    """
    fit = kernel_regression(
        kernels.ntk_train, examples.train.coded, max_relative_jitter=most_jitter(modes.ntk)
    )
    test = fit.predict(kernels.ntk_test)
    determined = fit.factor.jitter == 0 and spectrum(modes.ntk).positive_definite
    line = method(
        "ntk", "infinite", "NTK at convergence",
        "the infinite network trained to the end" if determined else "not determined: the kernel is singular",
        examples.train.metrics(fit.predict(kernels.ntk_train)), examples.test.metrics(test), determined=determined,
    )  # fmt: skip
    return line, test, fit.factor.jitter


def with_ridge(
    kernels: Kernels, modes: Modes, examples: Examples
) -> tuple[dict[str, Any], Float64[np.ndarray, "m outputs"], dict[str, Any]]:
    """The NTK with the ridge that leave-one-out chooses: its line, its test outputs, and the losses along the ridge."""
    choice = choose_ridge(modes.ntk, examples.train.coded)
    fit = kernel_regression(
        kernels.ntk_train,
        examples.train.coded,
        ridge=choice.ridge,
        max_relative_jitter=most_jitter(modes.ntk),
    )
    test = fit.predict(kernels.ntk_test)
    line = method(
        "ntk_ridge", "infinite", "NTK with ridge", "the infinite network with a ridge chosen by leave-one-out",
        examples.train.metrics(fit.predict(kernels.ntk_train)), examples.test.metrics(test),
        chosen={"ridge": choice.ridge},
    )  # fmt: skip
    regular = np.flatnonzero(np.isfinite(choice.losses))
    projected = kernels.ntk_test @ modes.ntk.vectors
    targets = modes.ntk.vectors.T @ examples.train.coded
    values = modes.ntk.non_negative_values()
    along = [projected @ (targets / (values + ridge)[:, None]) for ridge in choice.ridges[regular]]
    path = {
        "ridge": choice.ridges[regular].tolist(),
        "leave_one_out_loss": choice.losses[regular].tolist(),
        "test_loss": [float(examples.test.loss(outputs)) for outputs in along],
        "chosen": choice.ridge,
        "test_loss_at_chosen": line["test"]["loss"],
        "leave_one_out_score": examples.train.score(choice.predictions),
        "at_edge": choice.at_edge,
    }
    return line, test, path


def bayesian(kernels: Kernels, modes: Modes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
    """The NNGP posterior, its noise by marginal likelihood: its line of the table, and means with intervals."""
    noise = likeliest_noise(modes.nngp, examples.train.coded)
    process = posterior(
        kernels.nngp_train, examples.train.coded, noise=noise, max_relative_jitter=most_jitter(modes.nngp)
    )
    test = process.mean(kernels.nngp_test)
    variance = process.variance(kernels.nngp_test, kernels.nngp_test_diagonal)
    deviation = np.sqrt(variance + noise)
    line = method(
        "nngp", "infinite", "NNGP posterior", "the infinite network as a Bayesian model, noise by marginal likelihood",
        examples.train.metrics(process.mean(kernels.nngp_train)), examples.test.metrics(test),
        chosen={"noise_variance": noise},
    )  # fmt: skip
    found: dict[str, Any] = {
        "log_marginal_likelihood": process.log_marginal_likelihood,
        "mean_deviation": float(np.mean(deviation)),
    }
    coding = examples.test.coding
    if isinstance(coding, NumberCoding):
        mean, deviation = coding.decode(test), coding.deviation * deviation
        inside = np.abs(examples.test.y - mean) <= 1.96 * deviation
        found |= {"truth": examples.test.y.tolist(), "mean": mean.tolist(), "deviation": deviation.tolist(),
                  "coverage": float(np.mean(inside))}  # fmt: skip
    return line, found


def likeliest_noise(nngp: Eigen, targets: Float64[np.ndarray, "n outputs"]) -> float:
    r"""The noise variance σ² with the largest marginal likelihood, of 61 from 1e-6 to 10 times the prior variance.

    log p = −½ Σᵢ ‖vᵢᵀ Y‖²/(λᵢ + σ²) − (outputs/2) Σᵢ log(λᵢ + σ²) + constant, over the eigenpairs of the kernel.

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.30.
    """
    values = nngp.non_negative_values()
    power = np.sum((nngp.vectors.T @ targets) ** 2, axis=1)
    grid = np.mean(values) * np.geomspace(1e-6, 10, 61)
    shifted = values + grid[:, None]
    evidence = -0.5 * np.sum(power / shifted, axis=1) - 0.5 * targets.shape[1] * np.sum(
        np.log(shifted), axis=1
    )
    return float(grid[np.argmax(evidence)])


def learning_curves(
    kernels: Kernels, modes: Modes, examples: Examples, *, determined: bool
) -> dict[str, Any]:
    """Losses and scores of training and test rows along gradient flow from an initial output of zero.

    The last time is convergence where that is ``determined`` and no mode is slower than is waited for.
    """
    values = modes.ntk.values
    slowest = max(float(values[-1]), SLOWEST * float(values[0]))
    times = np.geomspace(0.02 * len(values) / values[0], 5 * len(values) / slowest, TIMES)
    flow = gradient_flow(modes.ntk, examples.train.coded)
    train, test = flow.train(times), flow.test(times, kernels.ntk_test)
    test_loss = examples.test.loss(test)
    best = int(np.argmin(test_loss))
    scores = [examples.test.score(outputs) for outputs in test]
    return {
        "time": times.tolist(),
        "train_loss": flow.train_loss(times).tolist(),
        "test_loss": test_loss.tolist(),
        "train_score": [examples.train.score(outputs) for outputs in train],
        "test_score": scores,
        "best_time": float(times[best]),
        "best_score": scores[best],
        "last_score": scores[-1],
        "best_loss": float(test_loss[best]),
        "last_loss": float(test_loss[-1]),
        "converged": determined and float(values[-1]) >= slowest,
        "early_stopping_gain": float(1 - test_loss[best] / test_loss[-1]),
    }


def spectra(modes: Modes, examples: Examples) -> dict[str, Any]:
    """The eigenvalues of both kernels, and how much of the targets each mode of the NTK holds."""
    values = modes.ntk.values
    power, cumulative = target_power(modes.ntk, examples.train.coded)
    reached = [int(np.searchsorted(cumulative, share)) for share in (0.5, 0.9)]
    return {
        "eigenvalues": values.tolist(),
        "eigenvalues_nngp": modes.nngp.values.tolist(),
        "label_power": power.tolist(),
        "cumulative_power": np.minimum(cumulative, 1.0).tolist(),
        "cumulative_trace": (np.cumsum(values) / np.sum(values)).tolist(),
        "modes_50": reached[0] + 1,
        "modes_90": reached[1] + 1,
        "slowdown_90": float(values[0] / max(float(values[reached[1]]), modes.ntk.noise)),
    }


def definiteness(eigen: Eigen) -> dict[str, Any]:
    """Whether a kernel is positive definite beyond rounding, and how well conditioned."""
    found = spectrum(eigen)
    return {
        "smallest": found.smallest,
        "largest": found.largest,
        "condition": found.condition if found.positive_definite and np.isfinite(found.condition) else None,
        "positive_definite": found.positive_definite,
        "positive_semidefinite": found.positive_semidefinite,
        "rank": found.rank,
        "rounding": found.noise,
        "mean_diagonal": float(np.mean(found.eigenvalues)),
    }


def confusion(examples: Examples, outputs: Float64[np.ndarray, "m outputs"]) -> list[list[int]]:
    """How many test rows of each true class (row) are taken for each class (column)."""
    classes = outputs.shape[1]
    pairs = examples.test.y * classes + examples.test.coding.decode(outputs)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
