"""Finite networks: their empirical kernels, their linearisation, and their training beside the theory."""

from ntkit.finite import empirical
from ntkit.finite.adapters import Model, from_equinox, from_linen, from_nnx
from ntkit.finite.expansion import centre, linearize, scale, taylor
from ntkit.finite.observe import observe
from ntkit.finite.parametrisation import AbcMlp, CoordinateCheck, Parametrisation, coordinate_check
from ntkit.finite.run import TrainingRun, load_run
from ntkit.finite.train import History, train

__all__ = [
    "AbcMlp",
    "CoordinateCheck",
    "History",
    "Model",
    "Parametrisation",
    "TrainingRun",
    "centre",
    "coordinate_check",
    "empirical",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "linearize",
    "load_run",
    "observe",
    "scale",
    "taylor",
    "train",
]
