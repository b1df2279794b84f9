"""What a wide network predicts: at convergence, as a Gaussian process, and at every moment of its training."""

import importlib
from typing import Any

from ntkit.predict.cross_validation import LeftOut, cross_validate, leave_one_out
from ntkit.predict.dirichlet import DirichletClassifier, dirichlet
from ntkit.predict.ensemble import Ensemble, ensemble
from ntkit.predict.gaussian import Gaussian
from ntkit.predict.gradient_descent import gradient_descent, largest_learning_rate
from ntkit.predict.gradient_flow import gradient_flow
from ntkit.predict.laplace import LaplaceClassifier, laplace
from ntkit.predict.loss import squared_loss
from ntkit.predict.outputs import CoupledOutputs, SeparateOutputs, coupled_outputs, separate_outputs
from ntkit.predict.posterior import Posterior, posterior
from ntkit.predict.ridge import KernelRegression, kernel_regression
from ntkit.predict.ridge_choice import RidgeChoice, choose_ridge
from ntkit.predict.stochastic import StochasticDescent, StochasticRun, stochastic_gradient_descent
from ntkit.predict.tiles import in_tiles, kernel_tiles
from ntkit.predict.training_curve import TrainingCurve
from ntkit.predict.weight_decay import DecayingCurve, weight_decay_descent, weight_decay_flow

_WITH_DIFFRAX = ("LossFlow", "loss_flow")


def __getattr__(name: str) -> Any:
    """What needs diffrax is imported when it is first asked for: diffrax takes half a second."""
    if name in _WITH_DIFFRAX:
        return getattr(importlib.import_module("ntkit.predict.flow_of_loss"), name)
    raise AttributeError(f"module 'ntkit.predict' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WITH_DIFFRAX})


__all__ = [
    "CoupledOutputs",
    "DecayingCurve",
    "DirichletClassifier",
    "Ensemble",
    "Gaussian",
    "KernelRegression",
    "LaplaceClassifier",
    "LeftOut",
    "LossFlow",
    "Posterior",
    "RidgeChoice",
    "SeparateOutputs",
    "StochasticDescent",
    "StochasticRun",
    "TrainingCurve",
    "choose_ridge",
    "coupled_outputs",
    "cross_validate",
    "dirichlet",
    "ensemble",
    "gradient_descent",
    "gradient_flow",
    "in_tiles",
    "kernel_regression",
    "kernel_tiles",
    "laplace",
    "largest_learning_rate",
    "leave_one_out",
    "loss_flow",
    "posterior",
    "separate_outputs",
    "squared_loss",
    "stochastic_gradient_descent",
    "weight_decay_descent",
    "weight_decay_flow",
]
