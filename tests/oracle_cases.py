"""The reference values in tests/oracle: cases by name, and their error measure."""

import json
from pathlib import Path

import numpy as np

ORACLE = Path(__file__).parent / "oracle"
CASES = json.loads((ORACLE / "cases.json").read_text())["cases"]


def load(case: dict) -> dict[str, np.ndarray]:
    """The arrays of a case."""
    with np.load(ORACLE / case["file"], allow_pickle=False) as arrays:
        return dict(arrays)


def relative_error(value, reference, diag1, diag2) -> float:
    """max |value − reference| / √(diag1 diag2); absolute where that is 0."""
    scale = np.sqrt(np.outer(diag1, diag2))
    return float(np.max(np.abs(value - reference) / np.where(scale == 0, 1.0, scale)))
