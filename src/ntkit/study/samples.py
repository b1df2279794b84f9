"""Some test images of a study, the mistakes first, for the report."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ntkit.batches import Graphs
from ntkit.datasets import Dataset, Table
from ntkit.study.examples import Examples
from ntkit.study.preprocessing import ClassCoding

IMAGES = 12
LARGEST = 64  # pixels along an edge


def sample_images(
    data: Dataset, examples: Examples, outputs: Float[np.ndarray, "m outputs"]
) -> dict[str, Any] | None:
    """At most 12 test images with their true and predicted classes; None where the examples are no images with classes.

    Args:
        data: The data set, with one or three channels.
        examples: The examples of the study.
        outputs: What a method gives for the test examples.
    """
    coding = examples.test.coding
    if isinstance(data.x, Table | Graphs) or not isinstance(coding, ClassCoding) or not _are_images(data.x):
        return None
    predicted = coding.decode(outputs)
    chosen = np.argsort(predicted == examples.test.y, kind="stable")[:IMAGES]
    pixels = data.x[examples.split.test[chosen]].astype(np.float64)
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    low, high = float(pixels.min()), float(pixels.max())
    grey = np.round(255 * (pixels - low) / max(high - low, 1e-300)).astype(int)
    return {
        "rows": examples.split.test[chosen].tolist(),
        "images": np.broadcast_to(grey, (*grey.shape[:3], 3)).tolist(),
        "true": [data.class_names[c] for c in examples.test.y[chosen]],
        "predicted": [data.class_names[c] for c in predicted[chosen]],
    }


def _are_images(x: np.ndarray) -> bool:
    grey = x.ndim == 3 and x.shape[1] == x.shape[2]
    return (grey or (x.ndim == 4 and x.shape[3] in (1, 3))) and max(x.shape[1:3]) <= LARGEST
