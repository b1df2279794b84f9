"""What scikit-learn reaches on the same rows: a linear ridge and an RBF support vector machine, both tuned."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

RIDGES = np.logspace(-4, 5, 28)
PENALTIES = (0.3, 1.0, 10.0, 100.0)
WIDTHS = (0.2, 1.0, 5.0)  # times 1 / (columns · variance), scikit-learn's "scale"
FOLDS = 3


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


def svm_grid() -> list[tuple[float, float]]:
    """The pairs (C, width factor) that `svm_scores` tries."""
    return list(product(PENALTIES, WIDTHS))


def svm_scores(x: Float[np.ndarray, "n d"], y: np.ndarray, task: str, seed: int) -> Iterator[float]:
    """Cross-validated scores of the RBF-SVM for every pair of `svm_grid`, one at a time."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

    stratified = task == "classification" and int(np.min(np.unique(y, return_counts=True)[1])) >= FOLDS
    folds = (StratifiedKFold if stratified else KFold)(FOLDS, shuffle=True, random_state=seed)
    for pair in svm_grid():
        scores = cross_val_score(_svm(x, task, *pair), x, y, cv=folds, error_score=np.nan)
        yield float(np.nanmean(scores)) if np.any(np.isfinite(scores)) else -np.inf


def best_svm(
    x: Float[np.ndarray, "n d"], y: np.ndarray, task: str, scores: list[float]
) -> tuple[Any, dict[str, float]]:
    """The RBF-SVM with the best of ``scores``, fitted to all training rows, and what was chosen."""
    best = int(np.argmax(scores))
    penalty, factor = svm_grid()[best]
    model = _svm(x, task, penalty, factor).fit(x, y)
    return model, {"C": penalty, "gamma": _gamma(x, factor), "cross_validation_score": scores[best]}


def _svm(x: np.ndarray, task: str, penalty: float, factor: float) -> Any:
    from sklearn.svm import SVC, SVR

    return (SVC if task == "classification" else SVR)(kernel="rbf", C=penalty, gamma=_gamma(x, factor))


def _gamma(x: np.ndarray, factor: float) -> float:
    return factor / (x.shape[1] * float(np.var(x)))
