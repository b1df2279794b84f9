"""What a kernel's numbers say before anything is trained: its spectrum, how training converges, what will be learnt."""

from ntkit.analysis.alignment import alignment, target_alignment
from ntkit.analysis.alpha_sweep import AlphaSweep, alpha_sweep
from ntkit.analysis.bounds import cao_gu_rate, fine_grained_bound, interpolation_bound
from ntkit.analysis.convergence import (
    Convergence,
    Mode,
    OptimalStep,
    convergence,
    learning_times,
    optimal_step,
)
from ntkit.analysis.criticality import Phase, critical, phase, phase_diagram
from ntkit.analysis.decay import Decay, decay_exponent
from ntkit.analysis.early_stopping import EarlyStopping, early_stopping
from ntkit.analysis.eigenfunctions import Eigenfunctions, eigenfunctions
from ntkit.analysis.kare import kare
from ntkit.analysis.kernel_change import KernelChange, kernel_change, kernel_distance
from ntkit.analysis.learning_curve import ExpectedLoss, expected_loss
from ntkit.analysis.measured_curve import MeasuredLoss, measured_loss
from ntkit.analysis.native_space import rkhs_inner_product, rkhs_norm
from ntkit.analysis.population import Population, distribution, population
from ntkit.analysis.regime import RegimeReport, regime_report
from ntkit.analysis.simulated_curve import SimulatedLoss, simulated_loss
from ntkit.analysis.spectrum import Spectrum, TargetPower, spectrum, target_power
from ntkit.analysis.sphere import SphereSpectrum, sphere_eigenvalues
from ntkit.analysis.stack import StackPhase, Trainability, mode_depths, stack_phase, trainability
from ntkit.analysis.trajectories import TrajectoryStudy, trajectory_study
from ntkit.analysis.width import Rate, WidthStudy, fitted_rate, width_study

__all__ = [
    "AlphaSweep",
    "Convergence",
    "Decay",
    "EarlyStopping",
    "Eigenfunctions",
    "ExpectedLoss",
    "KernelChange",
    "MeasuredLoss",
    "Mode",
    "OptimalStep",
    "Phase",
    "Population",
    "Rate",
    "RegimeReport",
    "SimulatedLoss",
    "Spectrum",
    "SphereSpectrum",
    "StackPhase",
    "TargetPower",
    "Trainability",
    "TrajectoryStudy",
    "WidthStudy",
    "alignment",
    "alpha_sweep",
    "cao_gu_rate",
    "convergence",
    "critical",
    "decay_exponent",
    "distribution",
    "early_stopping",
    "eigenfunctions",
    "expected_loss",
    "fine_grained_bound",
    "fitted_rate",
    "interpolation_bound",
    "kare",
    "kernel_change",
    "kernel_distance",
    "learning_times",
    "measured_loss",
    "mode_depths",
    "optimal_step",
    "phase",
    "phase_diagram",
    "population",
    "regime_report",
    "rkhs_inner_product",
    "rkhs_norm",
    "simulated_loss",
    "spectrum",
    "sphere_eigenvalues",
    "stack_phase",
    "target_alignment",
    "target_power",
    "trainability",
    "trajectory_study",
    "width_study",
]
