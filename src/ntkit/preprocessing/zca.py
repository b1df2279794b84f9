"""`ZCA`, all pixels of an image whitened together."""

import math
from typing import Any

import numpy as np

from ntkit.errors import InputError
from ntkit.preprocessing.preprocessor import Preprocessor, check_number, checked, fitted
from ntkit.preprocessing.whitening import Whitening, of_rows


class ZCA(Preprocessor):
    """Whitening (Σ + ε I)^(−1/2) (x − mean), Σ the covariance of the training examples over all d pixels and channels.

    ε = ridge · tr(Σ)/d, so `ridge` counts in mean eigenvalues. Images stay images. For CIFAR-10, `contrast_normalised`
    before it and a ridge between 1e-5 and 1 are usual. Where images are fewer than pixels, singular values of the n images
    stand for eigenvectors of the d pixels. Without a ridge, what the training examples do not vary in is left out.

    Args:
        ridge: ε over the mean eigenvalue, ≥ 0.

    Attributes:
        whitening_: The mean, eigenvectors and eigenvalues, and ε.

    Raises:
        InputError: By `fit`, `ridge` is out of range, or the examples are all the same; by `transform`, they are shaped
            otherwise.

    Example:
        >>> import numpy as np
        >>> from ntkit.preprocessing import ZCA
        >>> x = np.random.default_rng(0).normal(size=(50, 3)) @ np.array([[2.0, 1, 0], [0, 1, 1], [0, 0, 3]])
        >>> z = ZCA(ridge=0).fit_transform(x)
        >>> bool(np.allclose(z.T @ z / 50, np.eye(3)))
        True

    References:
        Lee et al. (2020), "Finite Versus Infinite Neural Networks: an Empirical Study", section 3.10 (regularised ZCA
        whitening); Shankar et al. (2020), "Neural Kernels Without Tangents" (ZCA of CIFAR-10).
    """

    whitening_: Whitening
    shape_: tuple[int, ...]

    def __init__(self, ridge: float = 0.1):
        self.ridge = ridge

    def fit(self, x: Any, y: Any = None) -> "ZCA":
        ridge = check_number(self, "ridge")
        x, _ = checked(self, x)
        self.shape_ = x.shape[1:]
        self.whitening_ = of_rows(x.reshape(len(x), -1), ridge)
        return self

    def transform(self, x: Any) -> np.ndarray:
        whitening = fitted(self, "whitening_")
        x, dtype = checked(self, x)
        if x.shape[1:] != self.shape_:
            raise InputError(f"ZCA: fitted to examples shaped {self.shape_}, found {x.shape[1:]}")
        return whitening(x.reshape(len(x), math.prod(self.shape_))).reshape(x.shape).astype(dtype)
