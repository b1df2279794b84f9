"""`Patches`, every position of an image described by its whitened patch."""

from typing import Any

import numpy as np

from ntkit.arrays import check_whole
from ntkit.errors import InputError
from ntkit.preprocessing.contrast import normalised_rows
from ntkit.preprocessing.preprocessor import Preprocessor, check_number, checked_images, fitted
from ntkit.preprocessing.whitening import Whitening, of_covariance

_AT_ONCE = 2**24  # numbers of patches in memory while fitting


class Patches(Preprocessor):
    """Images (n, H, W, C) → (n, H − size + 1, W − size + 1, size²·C): contrast-normalised, ZCA-whitened patches.

    A patch p becomes (Σ + ε I)^(−1/2) (c(p) − mean), c(p) = (p − mean of p)/√(variance of p + offset); Σ and mean are
    those of c(p) over all patches of the training images, ε = regularisation · tr(Σ)/d, and offset = contrast · the mean
    variance of these patches. With `signs`, channels are doubled: max(z, 0), then max(−z, 0), which a network of one
    convolution less makes nonlinear features of.

    Args:
        size: Pixels along each side of a patch, ≥ 1.
        regularisation: ε over the mean eigenvalue of Σ, ≥ 0.
        contrast: The offset over the mean variance of a patch, ≥ 0.
        signs: Whether to give positive and negative parts.

    Attributes:
        whitening_: The mean, eigenvectors and eigenvalues, and ε.
        offset_: Added to the variance of a patch, in the unit of images squared.
        channels_: C.

    Raises:
        InputError: By `fit`, an option is out of range, images are smaller than a patch, or have no contrast; by `transform`,
            they have other channels.

    Example:
        >>> import numpy as np
        >>> from ntkit.preprocessing import Patches
        >>> images = np.random.default_rng(0).normal(size=(10, 8, 8, 3))
        >>> Patches(5).fit_transform(images).shape, Patches(5, signs=True).fit_transform(images).shape
        ((10, 4, 4, 75), (10, 4, 4, 150))

    References:
        Coates, Lee & Ng (2011), "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", section 3.1;
        Li et al. (2019), "Enhanced Convolutional Neural Tangent Kernels" (pre-processing by patches, in the experiments).
    """

    whitening_: Whitening
    offset_: float
    channels_: int

    def __init__(
        self, size: int = 5, regularisation: float = 0.1, *, contrast: float = 0.01, signs: bool = False
    ):
        self.size, self.regularisation, self.contrast, self.signs = size, regularisation, contrast, signs

    def fit(self, x: Any, y: Any = None) -> "Patches":
        check_whole("Patches: size", self.size, 1)
        ridge, contrast = check_number(self, "regularisation"), check_number(self, "contrast")
        x, _ = checked_images(self, x)
        self._check_extents(x)
        parts = self._parts(x)
        variance = float(np.mean(np.concatenate([self._rows(part).var(axis=1) for part in parts])))
        if variance == 0:
            raise InputError("Patches: no patch of the training images has any contrast; use larger patches")
        self.offset_, self.channels_ = contrast * variance, x.shape[-1]
        mean, covariance = self._moments(parts)
        self.whitening_ = of_covariance(mean, covariance, ridge)
        return self

    def transform(self, x: Any) -> np.ndarray:
        whitening = fitted(self, "whitening_")
        x, dtype = checked_images(self, x)
        self._check_extents(x)
        if x.shape[-1] != self.channels_:
            raise InputError(f"Patches: fitted to images of {self.channels_} channels, found {x.shape[-1]}")
        grid = tuple(side - self.size + 1 for side in x.shape[1:3])
        parts = []
        for part in self._parts(x):
            z = whitening(normalised_rows(self._rows(part), self.offset_))
            z = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1) if self.signs else z
            parts.append(z.reshape(len(part), *grid, -1).astype(dtype))
        return np.concatenate(parts)

    def _check_extents(self, x: np.ndarray) -> None:
        if min(x.shape[1:3]) < self.size:
            raise InputError(
                f"Patches: images of {x.shape[1]} by {x.shape[2]} have no patch of size {self.size}; use a smaller size"
            )

    def _parts(self, x: np.ndarray) -> list[np.ndarray]:
        """Images whose patches are in memory together."""
        at_once = max(1, _AT_ONCE // (x[0].size * self.size**2))
        return [x[i : i + at_once] for i in range(0, len(x), at_once)]

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """(patches, size²·C), row by row, channels innermost, as a convolution lays out its weights."""
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.size, self.size), axis=(1, 2))
        return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, self.size**2 * x.shape[-1])

    def _moments(self, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of all normalised patches; in two passes, since the covariance is of differences."""
        rows = [self._rows(part).shape[0] for part in parts]
        total: Any = sum(normalised_rows(self._rows(p), self.offset_).sum(axis=0) for p in parts)
        mean = total / sum(rows)
        covariance: Any = 0
        for part in parts:
            centred = normalised_rows(self._rows(part), self.offset_) - mean
            covariance = covariance + centred.T @ centred
        return mean, covariance / sum(rows)
