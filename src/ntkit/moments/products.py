"""Covariance and gap of many vectors by one matrix product, repaired where it loses the gap's digits."""

import numpy as np

# Relative gap below which |x|² + |x'|² − 2 x·x' is recomputed by differences: above it, in float64, the angle is right
# to 1e-12.
_NEAR = 1e-6
_REPAIR_BYTES = 2**26


def products(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means over channels of x·x' and (x − x')² for all pairs of rows, and of x² of each, in the rows' dtype.

    A matrix product costs a small part of what differences cost, but leaves the gap of nearly equal rows, and the angle
    of nearly opposite ones, to rounding. These pairs are few; they are computed again, term by term.

    Args:
        x1: (n1, channels).
        x2: (n2, channels).

    Returns:
        The covariance and the gap, each (n1, n2), and the variances, (n1,) and (n2,).

    Example:
        >>> import numpy as np
        >>> cov, gap, _, _ = products(np.eye(2), np.eye(2))
        >>> cov.tolist(), gap.tolist()
        ([[0.5, 0.0], [0.0, 0.5]], [[0.0, 1.0], [1.0, 0.0]])
    """
    dtype = x1.dtype
    a, b = x1.astype(np.float64), x2.astype(np.float64)
    channels = a.shape[1]
    q1, q2 = (np.mean(x * x, axis=1) for x in (a, b))
    cov = a @ b.T / channels
    total = q1[:, None] + q2[None, :]
    gap = total - 2 * cov
    near = np.argwhere((gap < _NEAR * total) | (gap > (2 - _NEAR) * total))
    step = max(1, _REPAIR_BYTES // (8 * channels))
    for start in range(0, len(near), step):
        i, j = near[start : start + step].T
        apart = np.mean((a[i] - b[j]) ** 2, axis=1)
        mirrored = np.mean((a[i] + b[j]) ** 2, axis=1)
        close = apart < mirrored
        gap[i, j] = np.where(close, apart, 2 * total[i, j] - mirrored)
        cov[i, j] = np.where(close, total[i, j] - apart, mirrored - total[i, j]) / 2
    return cov.astype(dtype), gap.astype(dtype), q1.astype(dtype), q2.astype(dtype)
