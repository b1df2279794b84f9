"""What scikit-learn reaches on the same rows: a linear ridge and an RBF support vector machine, both tuned."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkit.study.progress import Advance

RIDGES = np.logspace(-4, 5, 28)
WIDTHS = (0.2, 1.0, 5.0)  # times 1 / (columns · variance), scikit-learn's "scale"
PENALTIES = (0.3, 1.0, 10.0, 100.0)
PENALTIES_OF_REGRESSION = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
TOLERANCES = (0.1, 0.3, 0.02)  # epsilon over the target's deviation; the first while C is chosen
TRIALS = len(WIDTHS) * len(PENALTIES_OF_REGRESSION) + len(TOLERANCES)
FOLDS = 3

Trial = tuple[float, ...]
"""C and the width factor of a support vector machine, and epsilon where it is a regression."""


def tuned_ridge(x: Float[np.ndarray, "n d"], y: np.ndarray, task: str) -> tuple[Any, dict[str, float]]:
    """A linear ridge fitted to the training rows, its penalty chosen by leave-one-out, and the chosen penalty.

    Args:
        x: Preprocessed training rows.
        y: Class numbers, or standardised targets.
        task: ``"classification"`` or ``"regression"``.
    """
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV

    model = (RidgeClassifierCV if task == "classification" else RidgeCV)(alphas=RIDGES).fit(x, y)
    return model, {"alpha": float(model.alpha_)}


def tuned_svm(
    x: Float[np.ndarray, "n d"], y: np.ndarray, task: str, seed: int, advance: Advance
) -> tuple[Any, dict[str, float]]:
    """An RBF support vector machine fitted to the training rows, tuned by cross-validation, and what was chosen.

    Args:
        x: Preprocessed training rows.
        y: Class numbers, or standardised targets.
        task: ``"classification"`` or ``"regression"``.
        seed: Of the folds.
        advance: Told of each of at most ``TRIALS`` trials.
    """
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

    classify = task == "classification"
    stratified = classify and int(np.min(np.unique(y, return_counts=True)[1])) >= FOLDS
    folds = (StratifiedKFold if stratified else KFold)(FOLDS, shuffle=True, random_state=seed)

    def judge(trial: Trial) -> float:
        scores = cross_val_score(_svm(x, trial), x, y, cv=folds, error_score=np.nan)
        advance(1)
        return float(np.nanmean(scores)) if np.any(np.isfinite(scores)) else -np.inf

    scores = (search_classification if classify else search_regression)(judge)
    best = max(scores, key=lambda trial: scores[trial])
    penalty, factor, *tolerance = best
    chosen = {"C": penalty, "gamma": _gamma(x, factor)} | ({"epsilon": tolerance[0]} if tolerance else {})
    chosen["cross_validated_accuracy" if classify else "cross_validated_r2"] = scores[best]
    return _svm(x, best).fit(x, y), chosen


def search_classification(judge: Callable[[Trial], float]) -> dict[Trial, float]:
    """The scores of all pairs of C and the width."""
    return {trial: judge(trial) for trial in product(PENALTIES, WIDTHS)}


def search_regression(judge: Callable[[Trial], float]) -> dict[Trial, float]:
    """The scores along C for every width, as long as they rise, and then along epsilon from the best of these.

    A C beyond the best one costs most of the time of a full grid, and a regression's score has one peak along it.
    """
    scores: dict[Trial, float] = {}
    for factor in WIDTHS:
        highest = -np.inf
        for penalty in PENALTIES_OF_REGRESSION:
            trial = (penalty, factor, TOLERANCES[0])
            scores[trial] = judge(trial)
            if scores[trial] <= highest:
                break
            highest = scores[trial]
    penalty, factor, _ = max(scores, key=lambda trial: scores[trial])
    return scores | {t: judge(t) for t in ((penalty, factor, tolerance) for tolerance in TOLERANCES[1:])}


def _svm(x: np.ndarray, trial: Trial) -> Any:
    from sklearn.svm import SVC, SVR

    penalty, factor, *tolerance = trial
    options = {"kernel": "rbf", "C": penalty, "gamma": _gamma(x, factor)}
    return SVR(**options, epsilon=tolerance[0]) if tolerance else SVC(**options)


def _gamma(x: np.ndarray, factor: float) -> float:
    return factor / (x.shape[1] * float(np.var(x)))
