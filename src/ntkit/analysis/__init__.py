"""What a kernel's numbers say before anything is trained: its spectrum, how training converges, when to stop."""

from ntkit.analysis.convergence import (
    Convergence,
    Mode,
    OptimalStep,
    convergence,
    learning_times,
    optimal_step,
)
from ntkit.analysis.early_stopping import EarlyStopping, early_stopping
from ntkit.analysis.spectrum import Spectrum, TargetPower, spectrum, target_power

__all__ = [
    "Convergence",
    "EarlyStopping",
    "Mode",
    "OptimalStep",
    "Spectrum",
    "TargetPower",
    "convergence",
    "early_stopping",
    "learning_times",
    "optimal_step",
    "spectrum",
    "target_power",
]
