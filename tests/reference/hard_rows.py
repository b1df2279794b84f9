"""Rows on which the plain recursions lose their digits, and what an implementation makes of them.

Each function measures one figure; the tests bound it and `bench/numerics.py` writes it down.
"""

import mpmath as mp
import numpy as np

import ntkit as nk
from reference.activation_moments import half_lines

ROUNDING = 2.0**-24


def relu_network(depth: int, b_std: float = 0.0) -> nk.Layer:
    """`depth` hidden layers at the variance that keeps the scale, the equal ones in a loop."""
    hidden = nk.Relu() >> nk.Dense(64, w_std=2**0.5, b_std=b_std)
    deeper = () if depth == 1 else (nk.Repeat(hidden, depth - 1),)
    return nk.Serial((nk.Dense(64, w_std=2**0.5, b_std=b_std), *deeper, nk.Relu(), nk.Dense(1)))


def near_duplicates(n: int = 500, pairs: int = 50, apart: float = 1e-3, seed: int = 0) -> np.ndarray:
    """Rows of unit norm in float32, the last `pairs` of them at the distance `apart` from the first."""
    generator = np.random.default_rng(seed)
    x = unit(generator.normal(size=(n, 20)))
    x[-pairs:] = x[:pairs] + apart * unit(generator.normal(size=(pairs, 20)))
    return x.astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def single_precision(depth: int = 20, b_std: float = 0.0) -> dict[str, float]:
    """Worst entries of float32 kernels against float64 ones of the same rows, and the smallest eigenvalue."""
    x, net = near_duplicates(), relu_network(depth, b_std)
    single, double = nk.kernel(net, x), nk.kernel(net, x, dtype=np.float64)
    found = {}
    for name, k, exact in zip(("nngp", "ntk"), single, double, strict=True):
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        found[f"{name}_error"] = float(np.max(np.abs(k - exact) / scale))
        lowest = float(np.linalg.eigvalsh(k.astype(np.float64))[0])
        # In units of the bound: −1 would be as negative as rounding may make it.
        found[f"{name}_eigenvalue"] = lowest / (4 * ROUNDING * len(x) ** 0.5 * float(np.trace(k)) / len(x))
    return found


def exact_relu_pair(x: np.ndarray, y: np.ndarray, depth: int, b_std: float) -> tuple[mp.mpf, mp.mpf]:
    """NNGP and NTK of one pair under `relu_network`, in 80 digits."""
    dual, slope = half_lines(0, 1)
    w, b = mp.mpf(float(2**0.5)) ** 2, mp.mpf(b_std) ** 2
    x, y = ([mp.mpf(float(v)) for v in row] for row in (x, y))
    q1, q2, r = (
        mp.fsum(a * c for a, c in zip(s, t, strict=True)) / len(x) for s, t in ((x, x), (y, y), (x, y))
    )
    t = mp.mpf(0)
    for layer in range(depth + 1):
        if layer:
            t = t * slope(q1, q2, r)
            q1, q2, r = dual(q1, q1, q1), dual(q2, q2, q2), dual(q1, q2, r)
        scale = w if layer < depth else mp.mpf(1)
        shift = b if layer < depth else mp.mpf(0)
        q1, q2, r = scale * q1 + shift, scale * q2 + shift, scale * r + shift
        t = scale * t + r
    return r, t


def errors_of_pairs(
    x: np.ndarray, depth: int, b_std: float = 0.0, dtype: type = np.float64
) -> tuple[float, float]:
    """Worst relative errors of NNGP and NTK of row 0 with every row, relative to √ of the diagonals."""
    x = x.astype(dtype)
    found = nk.kernel(relu_network(depth, b_std), x)
    exact = [exact_relu_pair(x[0], row, depth, b_std) for row in x]
    worst = []
    for k, truth in zip(found, zip(*exact, strict=True), strict=True):
        own = [mp.mpf(float(v)) for v in np.diag(k)]
        worst.append(
            max(
                float(abs(mp.mpf(float(k[0, j])) - truth[j]) / mp.sqrt(own[0] * own[j]))
                for j in range(len(x))
            )
        )
    return worst[0], worst[1]


def parallel_rows() -> np.ndarray:
    """x, 2x, 3x, x/7, −x, −3x: rows of angle 0 or π whose differences are not small."""
    x = np.random.default_rng(3).normal(size=10)
    return np.stack([x, 2 * x, 3 * x, x / 7, -x, -3 * x])


def scaled_rows(scale: float) -> np.ndarray:
    """Rows of norm `scale`, two of them equal, two opposite, one of norm 1."""
    x = unit(np.random.default_rng(4).normal(size=(5, 8)))
    x[3], x[4] = x[0], -x[1]
    return np.concatenate([scale * x, x[2:3]])
