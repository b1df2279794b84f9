"""What a wide network predicts: at convergence, as a Gaussian process, and at every moment of its training."""

from ntkit.predict.ensemble import Ensemble, Gaussian, flow_ensemble
from ntkit.predict.gradient_descent import gradient_descent, largest_learning_rate
from ntkit.predict.gradient_flow import gradient_flow
from ntkit.predict.leave_one_out import RidgeChoice, choose_ridge
from ntkit.predict.loss import squared_loss
from ntkit.predict.posterior import Posterior, posterior
from ntkit.predict.ridge import KernelRegression, kernel_regression
from ntkit.predict.training_curve import TrainingCurve

__all__ = [
    "Ensemble",
    "Gaussian",
    "KernelRegression",
    "Posterior",
    "RidgeChoice",
    "TrainingCurve",
    "choose_ridge",
    "flow_ensemble",
    "gradient_descent",
    "gradient_flow",
    "kernel_regression",
    "largest_learning_rate",
    "posterior",
    "squared_loss",
]
