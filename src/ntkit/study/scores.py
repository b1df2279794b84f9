"""How good outputs are: the squared loss of coded targets, and the accuracy or the error in the target's unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkit.predict import squared_loss
from ntkit.study.preprocessing import ClassCoding, NumberCoding


@dataclass(frozen=True)
class Targets:
    """The targets of the training or the test rows of a study.

    Args:
        y: Class numbers, or numbers in the target's unit.
        coded: What a network shall give.
        coding: From the one to the other and back.
    """

    y: np.ndarray
    coded: Float[np.ndarray, "n outputs"]
    coding: ClassCoding | NumberCoding

    def loss(self, outputs: Float[np.ndarray, "*times n outputs"]) -> Float[np.ndarray, "*times"]:
        """Mean over rows of ½‖f − y‖²."""
        return squared_loss(outputs, self.coded)

    def score(self, outputs: Float[np.ndarray, "n outputs"]) -> float:
        """The accuracy, or the root mean squared error."""
        return self.judge(self.coding.decode(outputs))["score"]

    def judge(self, predicted: np.ndarray) -> dict[str, float]:
        """The score of decoded predictions with its standard error; for numbers also R².

        Args:
            predicted: Class numbers, or numbers in the target's unit.
        """
        rows = len(self.y)
        if isinstance(self.coding, ClassCoding):
            right = float(np.mean(predicted == self.y))
            return {"score": right, "standard_error": float(np.sqrt(right * (1 - right) / rows))}
        squares = (predicted - self.y) ** 2
        error = float(np.sqrt(np.mean(squares)))
        spread = float(np.std(squares) / np.sqrt(rows) / (2 * error)) if error > 0 else 0.0
        total = float(np.mean((self.y - np.mean(self.y)) ** 2))
        return {"score": error, "standard_error": spread, "r2": 1 - error**2 / total if total > 0 else 0.0}

    def metrics(self, outputs: Float[np.ndarray, "n outputs"]) -> dict[str, float]:
        """The score of outputs and their loss."""
        return {**self.judge(self.coding.decode(outputs)), "loss": float(self.loss(outputs))}


def describe_score(task: str, target: str) -> dict[str, Any]:
    """How the report names the score of a task."""
    if task == "classification":
        return {
            "id": "accuracy",
            "name": "accuracy",
            "axis": "accuracy on test rows",
            "higher_is_better": True,
        }
    axis = f"root mean squared error on test rows (in units of {target})"
    return {"id": "rmse", "name": "RMSE", "axis": axis, "higher_is_better": False}
