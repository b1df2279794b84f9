"""Kernels of graph networks by dense algebra: one matrix over all nodes of all graphs, nothing saved."""

import numpy as np

# Correlations nearer to 1 are those of a node with itself, or with one that looks the same.
_SAME = 1e-13

Kernels = tuple[np.ndarray, np.ndarray]


def adjacency(graphs) -> np.ndarray:
    """M[j, i], the weight of the edge from i to j, over all nodes."""
    m = np.zeros((len(graphs.values),) * 2)
    source, target = graphs.ends
    np.add.at(m, (target, source), graphs.weights)
    return m


def aggregation(graphs, normalisation: str, self_loops: float, steps: int = 1, teleport: float = 0.0):
    """The matrix of `Aggregate`."""
    a = adjacency(graphs) + self_loops * np.eye(len(graphs.values))
    into, out = a.sum(axis=1), a.sum(axis=0)
    if normalisation == "mean":
        a = a / into[:, None]
    elif normalisation == "symmetric":
        a = a / np.sqrt(into[:, None] * out[None, :])
    one_step = np.linalg.matrix_power
    rest = sum((1 - teleport) ** k * one_step(a, k) for k in range(steps)) if teleport else 0.0
    return (1 - teleport) ** steps * one_step(a, steps) + teleport * rest


def readout(graphs, *, mean: bool) -> np.ndarray:
    """The matrix of a sum or mean over each graph's nodes."""
    m = np.zeros((len(graphs), len(graphs.values)))
    for g, (a, b) in enumerate(zip(graphs.offsets[:-1], graphs.offsets[1:], strict=True)):
        m[g, a:b] = 1 / (b - a) if mean else 1
    return m


def start(graphs) -> Kernels:
    """Of the features."""
    x = graphs.values.astype(np.float64)
    k = x @ x.T / x.shape[1]
    return k, np.zeros_like(k)


def mapped(kernels: Kernels, m: np.ndarray) -> Kernels:
    """Behind a linear map."""
    return tuple(m @ k @ m.T for k in kernels)  # type: ignore[return-value]


def dense(kernels: Kernels, w_std: float, b_std: float = 0.0, w_lr: float = 1.0) -> Kernels:
    """Fresh weights."""
    k, t = kernels
    return w_std**2 * k + b_std**2, w_std**2 * (t + w_lr * k) + b_std**2


def relu(kernels: Kernels) -> Kernels:
    """Arc-cosine kernels of degrees 1 and 0."""
    k, t = kernels
    s = np.sqrt(np.diag(k))
    c = k / np.outer(s, s)
    angle = np.where(c > 1 - _SAME, 0.0, np.arccos(np.clip(c, -1, 1)))
    dual = np.outer(s, s) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return dual, t * (np.pi - angle) / (2 * np.pi)


def erf(kernels: Kernels) -> Kernels:
    """Williams (1997)."""
    k, t = kernels
    q = 1 + 2 * np.diag(k)
    ratio = 2 * k / np.sqrt(np.outer(q, q))
    slope = 4 / np.pi / np.sqrt(np.outer(q, q) - 4 * k**2)
    return 2 / np.pi * np.arcsin(ratio), t * slope
