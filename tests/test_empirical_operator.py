"""The tangent kernel as an operator: products are those of the matrix, estimates are right within their errors."""

import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest

from finite_functions import FUNCTIONS
from ntkit.errors import InputError
from ntkit.finite.empirical import NTKOperator, ntk

X = np.random.default_rng(5).normal(size=(11, 5))
PARAMS, F = FUNCTIONS["layer norm"]
K = ntk(F, PARAMS, X).transpose(0, 2, 1, 3).reshape(66, 66)
EIGENVALUES = np.linalg.eigvalsh(K)
RIDGE = 0.5


@pytest.mark.parametrize("batch", [None, 1, 3, 11, 20])
def test_products(batch: int | None):
    operator = NTKOperator(F, PARAMS, X, batch=batch)
    v = np.random.default_rng(1).normal(size=66)
    assert operator.shape == (66, 66)
    assert isinstance(operator(v), np.ndarray)
    np.testing.assert_array_equal(operator @ v, operator(v))
    np.testing.assert_allclose(operator(v), K @ v, rtol=1e-11, atol=1e-11)


def test_rates():
    rates = {"w": 0.3, "s": 0.0, "b": 2.0}
    v = np.random.default_rng(1).normal(size=66)
    k = ntk(F, PARAMS, X, rates=rates).transpose(0, 2, 1, 3).reshape(66, 66)
    np.testing.assert_allclose(NTKOperator(F, PARAMS, X, rates=rates)(v), k @ v, rtol=1e-11, atol=1e-11)


def test_lineax_solves_with_it():
    operator = NTKOperator(F, PARAMS, X)
    y = np.random.default_rng(1).normal(size=66)
    with jax.enable_x64(True):
        shape = jax.ShapeDtypeStruct((66,), jnp.float64)
        shifted = lineax.FunctionLinearOperator(
            lambda v: operator(v) + RIDGE * v, shape, lineax.positive_semidefinite_tag
        )
        found = lineax.linear_solve(shifted, jnp.asarray(y), lineax.CG(1e-10, 1e-10)).value
    np.testing.assert_allclose(found, np.linalg.solve(K + RIDGE * np.eye(66), y), rtol=1e-6, atol=1e-8)


def test_eigenvalues():
    found = NTKOperator(F, PARAMS, X).top_eigenvalues(4, key=jax.random.key(0))
    np.testing.assert_allclose(found.values, EIGENVALUES[::-1][:4], rtol=1e-8)
    for value, bound, vector in zip(*found, strict=True):
        assert np.min(np.abs(EIGENVALUES - value)) <= bound + 1e-10
        np.testing.assert_allclose(K @ vector, value * vector, atol=bound + 1e-9)
    early = NTKOperator(F, PARAMS, X).top_eigenvalues(2, key=jax.random.key(0), steps=4)
    assert all(np.min(np.abs(EIGENVALUES - v)) <= b for v, b in zip(early.values, early.bounds, strict=True))


def test_condition():
    found = NTKOperator(F, PARAMS, X).condition(key=jax.random.key(0), ridge=RIDGE)
    expected = (EIGENVALUES[-1] + RIDGE) / (EIGENVALUES[0] + RIDGE)
    assert abs(found.value - expected) <= found.error + 1e-6 * expected


def test_low_rank():
    """Four rows in a plane: Krylov's spaces end early."""
    operator = NTKOperator(lambda w, x: x @ w, np.ones(2), np.array([[1.0, 0], [0, 2], [1, 0], [0, 0]]))
    key = jax.random.key(0)
    np.testing.assert_allclose(operator.top_eigenvalues(2, key=key).values, [4, 2])
    assert operator.condition(key=key).value > 1e12
    assert operator.condition(key=key, ridge=1.0).value == pytest.approx(5)
    found = operator.log_determinant(key=key, ridge=1.0, samples=400)
    assert abs(found.value - np.log(15)) < 4 * found.error


EXPECTED = {
    "trace": EIGENVALUES.sum(),
    "squared_frobenius_norm": (EIGENVALUES**2).sum(),
    "frobenius_norm": np.sqrt((EIGENVALUES**2).sum()),
    "effective_rank": EIGENVALUES.sum() ** 2 / (EIGENVALUES**2).sum(),
    "log_determinant": np.log(EIGENVALUES + RIDGE).sum(),
}


def scores(name: str, seeds: int) -> np.ndarray:
    """Errors in standard errors."""
    operator = NTKOperator(F, PARAMS, X)
    more = {"ridge": RIDGE} if name == "log_determinant" else {}
    found = [getattr(operator, name)(key=jax.random.key(s), samples=256, **more) for s in range(seeds)]
    return np.array([(e.value - EXPECTED[name]) / e.error for e in found])


@pytest.mark.parametrize("name", EXPECTED)
def test_estimates(name: str):
    assert np.abs(scores(name, 6)).max() < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_estimates_of_many_seeds(name: str):
    z = np.abs(scores(name, 200))
    assert np.mean(z < 3) >= 0.99
    assert z.max() < 5
    assert 0.55 <= np.mean(z < 1) <= 0.80


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: o(np.ones(3)), r"takes vectors of shape \(66,\), found \(3,\)"),
        (lambda o: o.trace(key=jax.random.key(0), samples=1), "samples must be a whole number of at least 2"),
        (lambda o: o.top_eigenvalues(9, key=jax.random.key(0), steps=3), "k must lie between 1 and"),
        (lambda o: NTKOperator(F, PARAMS, X, batch=0), "batch must be a whole number"),
    ],
)
def test_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(NTKOperator(F, PARAMS, X))
