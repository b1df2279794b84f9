"""Fitted transformations of images: channels standardised, pixels whitened, images as whitened patches."""

from ntkit.preprocessing.channels import Channels
from ntkit.preprocessing.contrast import contrast_normalised
from ntkit.preprocessing.patches import Patches
from ntkit.preprocessing.preprocessor import Preprocessor
from ntkit.preprocessing.zca import ZCA

__all__ = ["ZCA", "Channels", "Patches", "Preprocessor", "contrast_normalised"]
