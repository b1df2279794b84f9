"""`regime_report`: is a trained network in the kernel regime, or has it learnt features, and how sure is that?"""

from typing import Any, NamedTuple

import numpy as np

from ntkit.analysis.alignment import target_alignment
from ntkit.analysis.kernel_change import kernel_distance
from ntkit.errors import InputError, NumericalError
from ntkit.finite.run import TrainingRun
from ntkit.predict import choose_ridge, kernel_regression
from ntkit.solve.arrays import finite_array

LAZY = (0.05, 0.2)  # kernel distance and linearisation error; lazy is below both
RICH = (
    0.2,
    1.0,
)  # kernel distance and change; rich is above one: the kernel has turned, or moved by more than itself
POINTS = 10  # the fewest that say anything
RESAMPLES = 200


class RegimeReport(NamedTuple):
    """A verdict and the figures behind it.

    Attributes:
        verdict: "lazy", the kernel of the start explains the trained network; "rich", the kernel has turned, or
            moved by more than its own size: features were learnt; or "between".
        confidence: Share of resamples of the examples with the same verdict, from 0 to 1.
        kernel_distance: 1 − ⟨K, K₀⟩/(‖K‖ ‖K₀‖) of the tangent kernels.
        relative_change: ‖K − K₀‖/‖K₀‖.
        linearisation_error: ‖f − f_lin‖/‖f − f₀‖ at the trained parameters.
        movement: ‖θ − θ₀‖/‖θ₀‖.
        kappa: Chizat's κ at the start, along the gradient; training is lazy where it is much less than 1. NaN if not known.
        alignment_before: Centred alignment of the first kernel with the targets.
        alignment_after: That of the last.
        error_before: Kernel ridge regression with the first kernel on the test examples, ‖f − y‖²/‖y − ȳ‖², the ridge
            chosen by leave-one-out; with the next two, NaN without test examples.
        error_after: The same with the last kernel.
        error_network: Of the network.
    """

    verdict: str
    confidence: float
    kernel_distance: float
    relative_change: float
    linearisation_error: float
    movement: float
    kappa: float
    alignment_before: float
    alignment_after: float
    error_before: float
    error_after: float
    error_network: float

    def __str__(self) -> str:
        lines = [
            f"{self.verdict} ({100 * self.confidence:.0f} % of resamples of the examples agree)",
            f"  kernel distance      {self.kernel_distance:.3g}   lazy below {LAZY[0]}, rich above {RICH[0]}",
            f"  linearisation error  {self.linearisation_error:.3g}   lazy below {LAZY[1]}",
            f"  change of the kernel {self.relative_change:.3g}   rich above {RICH[1]}",
            f"  movement of weights  {self.movement:.3g}",
            f"  kernel and targets   {self.alignment_before:.3g} before, {self.alignment_after:.3g} after",
        ]
        if np.isfinite(self.kappa):
            lines.append(f"  κ at the start       {self.kappa:.3g}   much less than 1 promises lazy training")
        if np.isfinite(self.error_network):
            lines.append(
                f"  unexplained on test  {self.error_before:.3g} by the first kernel, {self.error_after:.3g} by the last, "
                f"{self.error_network:.3g} by the network"
            )
        return "\n".join(lines)


def regime_report(run: Any, *, seed: int = 0) -> RegimeReport:
    r"""Lazy or rich?

    The verdict rests on three figures that are 0 in the lazy limit: how far the tangent kernel has turned, how far it has
    moved, and what part of the change of outputs the linearised network misses. It is repeated on resamples of the examples
    (bootstrap), and the confidence is the share that agrees: it covers the choice of examples, not that of the seed of the
    network. Thresholds are conventions; read the figures.

    Args:
        run: As `nk.finite.observe` makes it of any JAX function, `nk.finite.torch.observe` of a PyTorch model, and
            `nk.finite.load_run` of a file.
        seed: Of the resamples.

    Raises:
        InputError: There are fewer than 10 examples, the targets are constant, or the outputs did not move.
        NumericalError: The run is not finite: its training diverged.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(1024) >> nk.Erf() >> nk.Dense(1)
        >>> start, _ = net.init(jax.random.key(0), (2,))
        >>> x = np.random.default_rng(0).normal(size=(20, 2))
        >>> y = np.sign(x[:, :1])
        >>> run = nk.finite.train(net.apply, start, x, y, steps=50, learning_rate=0.5)
        >>> report = nk.analysis.regime_report(nk.finite.observe(net.apply, start, run.params, x, y))
        >>> report.verdict, report.confidence > 0.9
        ('lazy', True)

    References:
        Fort, Dziugaite, Paul, Kharaghani, Roy and Ganguli, "Deep learning versus kernel learning", 2020, eq. 3; Chizat, Oyallon
        and Bach, "On lazy training in differentiable programming", 2019, section 1.1; Efron, "Bootstrap methods", 1979.
    """
    _check(run)
    n = len(run.targets)
    everyone = np.arange(n)
    distance, change, error = _figures(run, everyone)
    verdict = _verdict(distance, change, error)
    draws = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    agree = [_verdict(*_figures(run, rows)) == verdict for rows in draws]
    errors = _errors_on_test(run)
    return RegimeReport(
        verdict,
        float(np.mean(agree)),
        distance,
        change,
        error,
        run.movement,
        run.kappa,
        target_alignment(run.kernel_before, run.targets),
        target_alignment(run.kernel_after, run.targets),
        *errors,
    )


def _check(run: Any) -> None:
    if not isinstance(run, TrainingRun):
        raise InputError(
            f"expected a TrainingRun, found {type(run).__name__}; make one by nk.finite.observe or nk.finite.torch.observe"
        )
    n = len(run.targets)
    if n < POINTS:
        raise InputError(f"the run was seen on {n} examples; a verdict needs at least {POINTS}, better 100")
    for name in ("before", "after", "linear", "kernel_before", "kernel_after"):
        if not np.isfinite(getattr(run, name)).all():
            raise NumericalError(f"the run's {name} is not finite: its training diverged, take smaller steps")
    if np.linalg.norm(run.after - run.before) == 0:
        raise InputError("the outputs are those of the start: the network was not trained")


def _verdict(distance: float, change: float, error: float) -> str:
    if distance > RICH[0] or change > RICH[1]:
        return "rich"
    return "lazy" if distance <= LAZY[0] and error <= LAZY[1] else "between"


def _figures(run: TrainingRun, rows: np.ndarray) -> tuple[float, float, float]:
    """Kernel distance, change and linearisation error on some examples; pairs of one with its own copy are left out."""
    pairs = np.ix_(rows, rows)
    copies = (rows[:, None] == rows) & ~np.eye(len(rows), dtype=bool)
    first, last = (np.where(copies, 0.0, k[pairs]) for k in (run.kernel_before, run.kernel_after))
    moved = float(np.linalg.norm((run.after - run.before)[rows]))
    missed = float(np.linalg.norm((run.after - run.linear)[rows]))
    change = float(np.linalg.norm(last - first) / np.linalg.norm(first))
    return kernel_distance(first, last), change, missed / moved if moved else float("inf")


def _errors_on_test(run: TrainingRun) -> tuple[float, float, float]:
    if (
        run.test_targets is None
        or run.test_before is None
        or run.test_after is None
        or run.test_outputs is None
    ):
        return float("nan"), float("nan"), float("nan")
    y = finite_array(run.test_targets, "test_targets")
    spread = float(np.sum((y - y.mean(axis=0)) ** 2))
    if spread == 0:
        raise InputError("the targets of the test examples are constant: there is nothing to explain")
    said = [run.test_outputs]
    for own, cross in ((run.kernel_before, run.test_before), (run.kernel_after, run.test_after)):
        mean = run.targets.mean(axis=0)
        ridge = choose_ridge(own, run.targets - mean).ridge
        said.append(mean + kernel_regression(own, run.targets - mean, ridge=ridge).predict(cross))
    network, before, after = (float(np.sum((outputs - y) ** 2)) / spread for outputs in said)
    return before, after, network
