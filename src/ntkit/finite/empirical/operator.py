"""`NTKOperator`: the tangent kernel of a finite network as a linear map, and what can be known of it by products alone."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntkit.arrays import check_whole, traced
from ntkit.errors import InputError
from ntkit.finite.functions import Batch, Call, Weights, examples, prepare


class Estimate(NamedTuple):
    """A number and its standard error.

    Attributes:
        value: The estimate.
        error: Its standard error, from the spread over random vectors.
    """

    value: float
    error: float


class Eigenvalues(NamedTuple):
    """The largest eigenvalues by Lanczos' method.

    Attributes:
        values: (k,), falling; fewer where the kernel's rank is lower.
        bounds: (k,), for each how far at most an eigenvalue lies from it: ‖Θ v − λ v‖.
        vectors: (k, n·O).
    """

    values: np.ndarray
    bounds: np.ndarray
    vectors: np.ndarray


class NTKOperator:
    """Θ of n examples with themselves, (n·O, n·O) with the outputs of an example side by side, as v → J (R (Jᵀ v)).

    Nothing of its size is ever formed: a product is one backward and one forward pass over the examples.

    Args:
        f: f(params, x) → (n, *outputs).
        params: A tree of real arrays.
        x: (n, …), or a tree of such arrays.
        rates: As those of `ntk`.
        batch: How many examples are in work at a time; None for all.

    Attributes:
        shape: (n·O, n·O).
        dtype: Of the parameters.

    Raises:
        InputError: The function or what it is given is not usable.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> theta = nk.finite.empirical.NTKOperator(lambda w, x: x @ w, np.ones(2), np.eye(2))
        >>> theta(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """

    def __init__(self, f: Callable, params: Any, x: Any, *, rates: Any = None, batch: int | None = None):
        self._problem = prepare(f, params, x, rates=rates)
        n, _, outputs = self._problem.sizes
        batch = None if batch is None else check_whole("batch", batch, 1)
        self._batch = min(batch or n, n)
        self.shape, self.dtype = (n * outputs, n * outputs), self._problem.dtype

    def __call__(self, v: Float[Array, " no"]) -> Any:
        """Θ v; it can be traced, so that it goes into matfree, lineax and `jax.jit`.

        Raises:
            InputError: v has another shape.
        """
        if np.shape(v) != self.shape[:1]:
            raise InputError(f"the operator takes vectors of shape {self.shape[:1]}, found {np.shape(v)}")
        p = self._problem
        with jax.enable_x64(self.dtype == np.float64):
            found = _product(p.call, p.weights, p.x1, jnp.asarray(v, self.dtype), self._batch)
        return found if traced(found) else np.asarray(found)

    __matmul__ = __call__

    def top_eigenvalues(self, k: int = 1, *, key: PRNGKeyArray, steps: int | None = None) -> Eigenvalues:
        """The k largest eigenvalues, by Lanczos' method with full orthogonalisation.

        Args:
            k: How many.
            key: Of the vector it starts from.
            steps: Products; None for 2k + 20. Large eigenvalues far from the others come first.
        """
        steps = min(self.shape[0], steps or 2 * k + 20)
        if not 1 <= k <= steps:
            raise InputError(f"k must lie between 1 and the number of steps, {steps}; found {k}")
        values, vectors = (a[::-1][:k] for a in self._lanczos(key, steps))
        return Eigenvalues(values, self._off(values, vectors), vectors)

    def _off(self, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """‖Θ v − λ v‖ of every pair."""
        moved = np.stack([np.asarray(self(v), np.float64) for v in vectors])
        return np.linalg.norm(moved - values[:, None] * vectors, axis=1)

    def condition(self, *, key: PRNGKeyArray, ridge: float = 0.0, steps: int | None = None) -> Estimate:
        """(λ_max + ridge) / (λ_min + ridge); what Lanczos' method leaves open of both ends is the error.

        Args:
            key: Of the vector it starts from.
            ridge: Added to all eigenvalues.
            steps: Products; None for as many as there are rows, and at most 200. The smallest eigenvalue needs many.
        """
        steps = min(self.shape[0], steps or 200)
        values, vectors = self._lanczos(key, steps)
        ends = [0, -1]
        low, high = values[ends] + ridge
        low_off, high_off = self._off(values[ends], vectors[ends])
        if low <= 0:
            return Estimate(math.inf, math.inf)
        return Estimate(high / low, high / low * math.hypot(low_off / low, high_off / high))

    def trace(self, *, key: PRNGKeyArray, samples: int = 64) -> Estimate:
        """Σ λ, by Hutchinson's estimate."""
        return _mean(self._probes(key, samples)[0])

    def squared_frobenius_norm(self, *, key: PRNGKeyArray, samples: int = 64) -> Estimate:
        """Σ λ²."""
        return _mean(self._probes(key, samples)[1])

    def frobenius_norm(self, *, key: PRNGKeyArray, samples: int = 64) -> Estimate:
        """(Σ λ²)^½."""
        squared = self.squared_frobenius_norm(key=key, samples=samples)
        value = math.sqrt(squared.value)
        return Estimate(value, squared.error / (2 * value) if value else 0.0)

    def effective_rank(self, *, key: PRNGKeyArray, samples: int = 64) -> Estimate:
        """(Σ λ)² / Σ λ², how many eigenvalues take part; the error is that of the ratio to first order."""
        ones, squares = self._probes(key, samples)
        t, s = ones.mean(), squares.mean()
        value = t**2 / s
        # To first order the ratio moves as 2 t δt / s − t² δs / s².
        moves = 2 * t / s * (ones - t) - value / s * (squares - s)
        return Estimate(float(value), float(moves.std(ddof=1) / math.sqrt(samples)))

    def log_determinant(
        self, *, key: PRNGKeyArray, ridge: float = 0.0, samples: int = 64, steps: int | None = None
    ) -> Estimate:
        """Log det(Θ + ridge), by Lanczos quadrature over random vectors.

        Args:
            key: Of the random vectors.
            ridge: Added to the diagonal; what the quadrature leaves out is small where the condition is moderate.
            samples: Random vectors.
            steps: Products for each; None for as many as there are rows, and at most 60.
        """
        steps = min(self.shape[0], steps or 60)
        with jax.enable_x64(self.dtype == np.float64):
            vectors = self._signs(key, samples)
        found = []
        for _, tridiagonal in self._krylov(vectors, steps):
            values, sides = np.linalg.eigh(tridiagonal)
            found.append(
                self.shape[0] * sides[0] ** 2 @ np.log(np.maximum(values + ridge, np.finfo(float).tiny))
            )
        return _mean(np.array(found))

    def _lanczos(self, key: PRNGKeyArray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, rising, and vectors."""
        with jax.enable_x64(self.dtype == np.float64):
            start = jax.random.normal(key, (1, self.shape[0]), self.dtype)
        [(basis, tridiagonal)] = self._krylov(start, steps)
        values, sides = np.linalg.eigh(tridiagonal)
        return values, (sides.T @ basis).astype(self.dtype)

    def _krylov(self, vectors: Array, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For every vector an orthonormal basis of its Krylov space, (k, n·O), and the operator in it, tridiagonal.

        The space may end before `steps`, as that of a kernel of low rank does; what comes behind its end is rounding.
        """
        from matfree import decomp

        decompose = decomp.tridiag_sym(steps, reortho="full")
        with jax.enable_x64(self.dtype == np.float64):
            found = jax.jit(lambda all_: jax.lax.map(lambda v: tuple(decompose(self, v)[:2]), all_))(vectors)
        spaces = []
        for basis, matrix in zip(*(np.asarray(f, np.float64) for f in found), strict=True):
            scale = np.nanmax(np.abs(np.diagonal(matrix)), initial=0.0)
            small = ~(np.abs(np.diagonal(matrix, 1)) > 1e3 * np.finfo(self.dtype).eps * scale)
            # A vector that is not orthogonal to those before it is what a residual of 0 has left.
            again = ~(np.abs(np.tril(basis @ basis.T, -1)).max(axis=1)[1:] < 0.1)
            ends = small | again
            k = int(np.argmax(ends)) + 1 if ends.any() else steps
            spaces.append((basis[:k], matrix[:k, :k]))
        return spaces

    def _signs(self, key: PRNGKeyArray, samples: int) -> Array:
        samples = check_whole("samples", samples, 2)
        return jax.random.rademacher(key, (samples, self.shape[0]), self.dtype)

    def _probes(self, key: PRNGKeyArray, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """vᵀ Θ v and ‖Θ v‖² of random signs v."""
        with jax.enable_x64(self.dtype == np.float64):
            vectors = self._signs(key, samples)
            products = jax.jit(lambda s: jax.lax.map(self, s))(vectors)
            ones = jnp.sum(vectors * products, axis=1), jnp.sum(products**2, axis=1)
            return tuple(np.asarray(o, np.float64) for o in ones)  # type: ignore[return-value]


def _mean(samples: np.ndarray) -> Estimate:
    return Estimate(float(samples.mean()), float(samples.std(ddof=1) / math.sqrt(len(samples))))


@functools.partial(jax.jit, static_argnames=("call", "size"))
def _product(call: Call, weights: Weights, x: Batch, v: Array, size: int) -> Array:
    """J (R (Jᵀ v)), blocks of examples one after another, the last one filled up with examples whose v is 0."""
    n = examples(x)
    blocks = -(-n // size)
    numbers = np.minimum(np.arange(blocks * size), n - 1).reshape(blocks, size)
    rows = v.reshape(n, -1)
    weighted = jnp.where(np.arange(blocks * size).reshape(blocks, size, 1) < n, rows[numbers], 0)

    def outputs(some: Batch) -> Callable:
        return lambda w: call.outputs(w, weights.frozen, some)

    def back(total: list[Array], block: tuple[Array, Array]) -> tuple[list[Array], None]:
        where, cotangents = block
        _, pull = jax.vjp(outputs([jnp.asarray(a)[where] for a in x]), weights.trained)
        return [t + g for t, g in zip(total, pull(cotangents)[0], strict=True)], None

    zeros = [jnp.zeros_like(w) for w in weights.trained]
    gradient, _ = jax.lax.scan(back, zeros, (jnp.asarray(numbers), weighted))
    step = [g * r for g, r in zip(gradient, weights.rates, strict=True)]

    def forward(where: Array) -> Array:
        return jax.jvp(outputs([jnp.asarray(a)[where] for a in x]), (weights.trained,), (step,))[1]

    moved = jax.lax.map(forward, jnp.asarray(numbers))
    return moved.reshape(blocks * size, -1)[:n].reshape(-1)
