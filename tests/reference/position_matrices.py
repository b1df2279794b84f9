"""The kernels of a network by brute force: all pairs of positions, every linear map of positions as an explicit matrix.

Nothing is planned and nothing saved: a batch of N examples of P positions is K and T of shape (N, N, P, P), variances
are read off the diagonal, and one layer is one formula of the oracle's README. Numbers are long doubles, whose digits
replace the care that the library takes where two variables coincide.
"""

import dataclasses
import math

import jax
import numpy as np

import ntkit as nk

REAL = np.longdouble
EXACT = (
    np.finfo(REAL).eps < 1e-18
)  # else a long double is a double, and half of its digits are lost at angle 0
PI = REAL("3.14159265358979323846264338327950288")


@dataclasses.dataclass(frozen=True)
class State:
    """Both kernels of all pairs of examples and positions, and the grid."""

    K: np.ndarray
    T: np.ndarray
    grid: tuple[int, ...]

    def map(self, matrix: np.ndarray, grid: tuple[int, ...]) -> "State":
        """K ← A K Aᵀ and T ← A T Aᵀ."""
        return State(matrix @ self.K @ matrix.T, matrix @ self.T @ matrix.T, grid)

    @property
    def variances(self) -> np.ndarray:
        """(N, P)."""
        return np.einsum("iipp->ip", self.K)


def kernels(net: nk.Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK (N, N), or (N, N, P, P) where positions are left, of a batch with itself."""
    grid = x.shape[1:-1]
    flat = x.reshape(len(x), math.prod(grid), x.shape[-1]).astype(REAL)
    K = np.einsum("ipc,jqc->ijpq", flat, flat) / x.shape[-1]
    end = propagate(net, State(K, np.zeros_like(K), grid))
    return tuple((k if end.grid else k[:, :, 0, 0]).astype(float) for k in (end.K, end.T))


def propagate(layer: nk.Layer, s: State) -> State:
    """One layer, by its name."""
    return globals()[f"_{type(layer).__name__.lower()}"](layer, s)


def _serial(layer, s):
    for each in layer.layers:
        s = propagate(each, s)
    return s


def _repeat(layer, s):
    for _ in range(layer.times):
        s = propagate(layer.body, s)
    return s


def _identity(layer, s):
    return s


def _residual(layer, s):
    body = propagate(layer.body, s)
    return State(s.K + body.K, s.T + body.T, s.grid)


def _sum(layer, s):
    branches = [propagate(b, s) for b in layer.branches]
    return State(sum(b.K for b in branches), sum(b.T for b in branches), branches[0].grid)


def _product(layer, s):
    a, b = (propagate(branch, s) for branch in layer.branches)
    return State(a.K * b.K, a.T * b.K + a.K * b.T, a.grid)


def _weights(layer, K, T, grid):
    w, b = REAL(layer.w_std) ** 2, REAL(layer.b_std) ** 2
    return State(w * K + b, w * T + layer.w_lr * w * K + layer.b_lr * b, grid)


def _dense(layer, s):
    return _weights(layer, s.K, s.T, s.grid)


def _conv(layer, s):
    taps, grid = tap_matrices(s.grid, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    K, T = (sum(A @ k @ A.T for A in taps) / len(taps) for k in (s.K, s.T))
    return _weights(layer, K, T, grid)


def _avgpool(layer, s):
    taps, grid = tap_matrices(s.grid, layer.window, layer.stride or layer.window, layer.padding, 1)
    return s.map(sum(taps) / len(taps), grid)


def _sumpool(layer, s):
    taps, grid = tap_matrices(s.grid, layer.window, layer.stride or layer.window, layer.padding, 1)
    return s.map(sum(taps), grid)


def _globalavgpool(layer, s):
    P = math.prod(s.grid)
    return s.map(np.full((1, P), REAL(1) / P), ())


def _globalsumpool(layer, s):
    return s.map(np.ones((1, math.prod(s.grid)), REAL), ())


def _flatten(layer, s):
    K, T = (np.einsum("ijpp->ij", k)[:, :, None, None] / math.prod(s.grid) for k in (s.K, s.T))
    return State(K, T, ())


def _index(layer, s):
    entries = tuple(slice(*e) if isinstance(e, tuple) else e for e in layer.index)
    chosen = np.arange(math.prod(s.grid)).reshape(s.grid)[entries]
    return s.map(np.eye(math.prod(s.grid), dtype=REAL)[chosen.ravel()], chosen.shape)


def _imageresize(layer, s):
    """The matrix is the resampling of every unit image."""
    P = math.prod(s.grid)
    with jax.enable_x64(True):
        units = np.eye(P).reshape(P, *s.grid)
        columns = jax.image.resize(units, (P, *layer.size), layer.method, antialias=layer.antialias)
    return s.map(np.asarray(columns).reshape(P, -1).T.astype(REAL), layer.size)


def _layernorm(layer, s):
    q = s.variances + REAL(10) ** -12
    if layer.over == "channels_and_space":
        q = np.broadcast_to(q.mean(axis=1, keepdims=True), q.shape)
    scale = np.sqrt(q[:, None, :, None] * q[None, :, None, :])
    return State(s.K / scale, s.T / scale, s.grid)


def _dropout(layer, s):
    (n, _, p, _), keep = s.K.shape, 1 - REAL(layer.rate)
    same = np.eye(n, dtype=bool)[:, :, None, None] & np.eye(p, dtype=bool)
    return State(np.where(same, s.K / keep, s.K), np.where(same, s.T / keep, s.T), s.grid)


def _relu(layer, s):
    q1, q2 = s.variances[:, None, :, None], s.variances[None, :, None, :]
    scale = np.sqrt(q1 * q2)
    c = np.where(scale > 0, s.K / np.where(scale > 0, scale, 1), 0)
    c = np.where(np.abs(c) > 1 - 32 * np.finfo(REAL).eps, np.sign(c), c)
    theta = np.arccos(c)
    K = scale * (np.sqrt(1 - c**2) - theta * c) / (2 * PI) + s.K / 2
    return State(K, s.T * (1 - theta / PI) / 2, s.grid)


def _erf(layer, s):
    a, b, c = (REAL(v) for v in (layer.a, layer.b, layer.c))
    q1, q2 = s.variances[:, None, :, None], s.variances[None, :, None, :]
    own = (1 + 2 * b**2 * q1) * (1 + 2 * b**2 * q2)
    K = a**2 * 2 / PI * np.arcsin(2 * b**2 * s.K / np.sqrt(own)) + c**2
    return State(K, s.T * 4 * a**2 * b**2 / (PI * np.sqrt(own - 4 * b**4 * s.K**2)), s.grid)


def tap_matrices(grid, size, stride, padding, dilation):
    """The matrix (outputs, positions) of every tap of a window, and the grid of the outputs."""
    per_dimension, out = [], []
    for d, n in enumerate(grid):
        k, s, step = (e[d] if isinstance(e, tuple) else e for e in (size, stride, dilation))
        reach = (k - 1) * step + 1
        outputs = (n - reach) // s + 1 if padding == "VALID" else -(-n // s)
        low = 0 if padding == "VALID" else max((outputs - 1) * s + reach - n, 0) // 2
        taps = []
        for t in range(k):
            matrix = np.zeros((outputs, n), REAL)
            for o in range(outputs):
                source = o * s - low + t * step
                if padding == "CIRCULAR":
                    matrix[o, source % n] = 1
                elif 0 <= source < n:
                    matrix[o, source] = 1
            taps.append(matrix)
        per_dimension.append(taps)
        out.append(outputs)
    matrices = [np.ones((1, 1), REAL)]
    for taps in per_dimension:
        matrices = [np.kron(a, b) for a in matrices for b in taps]
    return matrices, tuple(out)
