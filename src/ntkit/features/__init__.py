"""Features: vectors whose inner products approximate the kernels, in time linear in the number of examples."""

from ntkit.features.error import SketchError, error_by_dimension
from ntkit.features.gradient_features import gradient_features
from ntkit.features.network_features import FeatureMap, network_features
from ntkit.features.nystrom import Nystrom, nystrom
from ntkit.features.ridge import FeatureRidge, NormalEquations, feature_ridge
from ntkit.features.sketch import Sketch, sketch

__all__ = [
    "FeatureMap",
    "FeatureRidge",
    "NormalEquations",
    "Nystrom",
    "Sketch",
    "SketchError",
    "error_by_dimension",
    "feature_ridge",
    "gradient_features",
    "network_features",
    "nystrom",
    "sketch",
]
