"""Why a kernel has no inverse, or cannot be a kernel: which of its rows are to blame."""

import numpy as np
from jaxtyping import Float64

NAMED = 3  # pairs or rows that a message names; more would bury it
BLOCK = 1024  # rows compared at a time


def repeated_rows(kernel: Float64[np.ndarray, "n n"], unit: float) -> list[tuple[int, int]]:
    """At most three pairs of rows that are one row in the kernel's own geometry, to rounding.

    The squared distance of rows i and j is K_ii + K_jj − 2 K_ij.

    Args:
        kernel: (n, n), symmetric.
        unit: unit roundoff of the arithmetic in which it was computed.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve.diagnosis import repeated_rows
        >>> x = np.array([[1.0], [2.0], [1.0]])
        >>> repeated_rows(x @ x.T + np.eye(3) * [[0.0], [1.0], [0.0]], 2.0**-53)
        [(0, 2)]
    """
    diagonal = np.diag(kernel)
    found: list[tuple[int, int]] = []
    for start in range(0, len(kernel), BLOCK):
        size = np.abs(diagonal[start : start + BLOCK, None]) + np.abs(diagonal)
        distance = diagonal[start : start + BLOCK, None] + diagonal - 2 * kernel[start : start + BLOCK]
        same = np.abs(distance) <= 16 * unit * size
        pairs = np.argwhere(np.triu(same, 1 + start))
        found += [(int(i) + start, int(j)) for i, j in pairs[: NAMED - len(found)]]
        if len(found) == NAMED:
            break
    return found


def name_pairs(pairs: list[tuple[int, int]]) -> str:
    """The pairs in words.

    Example:
        >>> from ntkit.solve.diagnosis import name_pairs
        >>> name_pairs([(0, 2), (1, 5)])
        'rows 0 and 2, 1 and 5'
    """
    return "rows " + ", ".join(f"{i} and {j}" for i, j in pairs)


def heaviest_rows(vector: Float64[np.ndarray, " n"]) -> str:
    """The rows that hold most of an eigenvector, in words.

    Example:
        >>> import numpy as np
        >>> from ntkit.solve.diagnosis import heaviest_rows
        >>> heaviest_rows(np.array([0.0, 0.8, 0.1, -0.6]))
        'rows 1, 3'
    """
    order = np.argsort(-np.abs(vector), kind="stable")
    share = np.cumsum(vector[order] ** 2) / np.sum(vector**2)
    count = min(int(np.searchsorted(share, 0.9)) + 1, NAMED)
    rest = " and others" if share[count - 1] < 0.9 else ""
    return "rows " + ", ".join(str(int(i)) for i in sorted(order[:count])) + rest
