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
from ntkit.analysis.learning_curve import ExpectedLoss, expected_loss
from ntkit.analysis.measured_curve import MeasuredLoss, measured_loss
from ntkit.analysis.population import Population, distribution, population
from ntkit.analysis.spectrum import Spectrum, TargetPower, spectrum, target_power
from ntkit.analysis.sphere import SphereSpectrum, sphere_eigenvalues

__all__ = [
    "Convergence",
    "EarlyStopping",
    "ExpectedLoss",
    "MeasuredLoss",
    "Mode",
    "OptimalStep",
    "Population",
    "Spectrum",
    "SphereSpectrum",
    "TargetPower",
    "convergence",
    "distribution",
    "early_stopping",
    "expected_loss",
    "learning_times",
    "measured_loss",
    "optimal_step",
    "population",
    "spectrum",
    "sphere_eigenvalues",
    "target_power",
]
