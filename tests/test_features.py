"""Features have the inner products that they promise, and a linear model of them is the kernel regression of these."""

import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkit as nk
from ntkit import features
from ntkit.errors import InputError, NoClosedFormError, NumericalError
from ntkit.features.draws import Draws
from ntkit.features.folding import folded

DENSE = nk.Dense(1, w_std=1.4, b_std=0.3) >> nk.Relu() >> nk.Dense(1, w_std=1.4, b_std=0.1)
BLOCK = nk.Residual(nk.Dense(1) >> nk.Relu() >> nk.Dense(1))
STAGE = nk.Conv(1, 3, w_std=1.4, b_std=0.2) >> nk.Relu()
VECTORS, IMAGES = (6,), (6, 6, 2)
NETWORKS = {
    "relu": (DENSE >> nk.Relu() >> nk.Dense(1), VECTORS),
    "erf": (nk.Dense(1) >> nk.Erf() >> nk.Dense(1) >> nk.Erf() >> nk.Dense(1, b_std=1.0), VECTORS),
    "residual": (DENSE >> BLOCK >> BLOCK >> nk.Relu() >> nk.Dense(1), VECTORS),
    "frozen below": (
        nk.Dense(1, w_lr=0, b_lr=0) >> nk.Relu() >> nk.Dense(1, w_lr=0.5) >> nk.Gelu() >> nk.Dense(1),
        VECTORS,
    ),
    "last layer alone": (nk.Dense(1, w_lr=0, b_lr=0) >> nk.Sign() >> nk.Dense(1), VECTORS),
    "flatten": (STAGE >> STAGE >> nk.Flatten() >> nk.Dense(1), IMAGES),
    "global pooling": (STAGE >> STAGE >> nk.GlobalAvgPool() >> nk.Dense(1), IMAGES),
    "pooling": (STAGE >> nk.AvgPool(2) >> STAGE >> nk.GlobalAvgPool() >> nk.Dense(1), IMAGES),
    "strides": (
        nk.Conv(1, 3, stride=2, padding="CIRCULAR")
        >> nk.Relu()
        >> nk.Conv(1, 2, padding="VALID")
        >> nk.Flatten(),
        IMAGES,
    ),
}
DIAGONAL_IS_KNOWN = [name for name in NETWORKS if "pooling" not in name]


def rows(shape: tuple[int, ...], n: int = 12) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, *shape))


def error(found, exact) -> float:
    return float(np.linalg.norm(found - exact) / max(np.linalg.norm(exact), 1e-300))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.every(4)
def test_the_error_of_a_sketch_falls_as_the_root_of_its_dimension(name):
    net, shape = NETWORKS[name]
    found = features.error_by_dimension(net, rows(shape), [64, 1024], seeds=4)
    for errors in (found.nngp, found.ntk):
        small, large = errors.mean(axis=1)
        assert large < 0.12
        assert large < 0.45 * small or small < 1e-6


@pytest.mark.parametrize("name", DIAGONAL_IS_KNOWN)
@pytest.mark.every(3)
def test_without_pooling_variances_are_exact(name):
    net, shape = NETWORKS[name]
    x = rows(shape)
    found, exact = features.sketch(net, shape, 64).diag(x), nk.kernel_fn(net).diag(x)
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_without_activations_a_sketch_is_exact():
    net, x = nk.Conv(1, 3, b_std=0.5) >> nk.Flatten() >> nk.Dense(1, b_std=0.1), rows((4, 2))
    found, exact = features.sketch(net, (4, 2), 4096)(x, x[:5]), nk.kernel(net, x, x[:5])
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.every(2)
def test_features_of_an_example_do_not_depend_on_its_batch(dtype, monkeypatch):
    net, shape = NETWORKS["pooling"]
    x = rows(shape).astype(dtype)
    one = features.sketch(net, shape, 64)
    whole = one.ntk(x)
    assert whole.dtype == dtype
    np.testing.assert_allclose(one.ntk(x[3:5]), whole[3:5], rtol=1e-4)
    monkeypatch.setattr(sys.modules["ntkit.features.sketch"], "AT_ONCE", 1)
    np.testing.assert_allclose(features.sketch(net, shape, 64).ntk(x), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_sketch_is_a_kernel_function():
    net, shape = NETWORKS["relu"]
    one, other = features.sketch(net, shape, 64), features.sketch(net, shape, 64, seed=1)
    assert isinstance(one, nk.KernelFn)
    assert one.fingerprint == features.sketch(net, shape, 64).fingerprint != other.fingerprint
    np.testing.assert_allclose(np.diag(one(rows(shape)).ntk), one.diag(rows(shape)).ntk)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(2, 6), st.integers(0, 1000))
def test_folding_keeps_inner_products_on_average(widths, dimension, seed):
    generator = np.random.default_rng(seed)
    a, b = ([generator.normal(size=(1, w)) for w in widths] for _ in range(2))
    exact = sum(float((u @ v.T)[0, 0]) for u, v in zip(a, b, strict=True))
    lengths = [sum(float((u @ u.T)[0, 0]) for u in side) for side in (a, b)]
    found = []
    asked = Draws()
    folded(a, dimension, asked, "x")
    for s in range(200):
        draws = Draws(asked.drawn(s))
        u, v = (np.asarray(folded(side, dimension, draws, "x"), float) for side in (a, b))
        assert u.shape[1] <= dimension
        found.append(float((u @ v.T)[0, 0]))
    spread = (2 * lengths[0] * lengths[1]) ** 0.5
    assert abs(np.mean(found) - exact) < 5 * spread / 200**0.5


def test_network_features_are_the_last_hidden_layer():
    net = nk.Dense(4000) >> nk.Relu() >> nk.Dense(3, w_std=1.5, b_std=0.5)
    x = rows(VECTORS)
    phi = features.network_features(net, VECTORS, key=jax.random.key(1))(x)
    assert phi.shape == (12, 4001)
    assert error(phi @ phi.T, nk.nngp(net, x)) < 0.05


@pytest.mark.parametrize("outputs", [1, 3])
def test_gradient_features_are_those_of_a_finite_network(outputs):
    net = nk.Dense(1000) >> nk.Relu() >> nk.Dense(outputs)
    x = rows(VECTORS)
    psi = features.gradient_features(net, VECTORS, 1500, key=jax.random.key(1))(x)
    assert psi.shape == (12, 1500 * outputs)
    assert error(psi @ psi.T, nk.ntk(net, x)) < 0.12


@pytest.mark.slow
def test_nystrom_is_exact_at_landmarks_and_below_the_kernel_elsewhere():
    net, shape = NETWORKS["relu"]
    x = rows(shape, 60)
    found, kernel = features.nystrom(nk.kernel_fn(net), x[:40]), nk.kernel(net, x)
    for psi, exact in ((found.nngp(x), kernel.nngp), (found.ntk(x), kernel.ntk)):
        k = psi @ psi.T
        np.testing.assert_allclose(k[:40], exact[:40], rtol=1e-6)
        assert np.linalg.eigvalsh(exact - k)[0] > -1e-8


def test_nystrom_of_a_kernel_without_single_kernels():
    x = rows(VECTORS, 8)
    one = features.sketch(NETWORKS["relu"][0], VECTORS, 128)
    pair = features.nystrom(lambda a, b=None: one(a, b), x).ntk(x)
    np.testing.assert_allclose(pair @ pair.T, one(x).ntk, rtol=1e-6)


def test_landmarks_that_repeat_are_refused():
    x = np.repeat(rows(VECTORS, 3), 2, axis=0).astype(np.float32)
    found = features.nystrom(nk.kernel_fn(NETWORKS["relu"][0]), x)
    assert found.factor("ntk").jitter > 0 or pytest.fail("nothing was added")
    with pytest.raises(NumericalError, match="not positive definite"):
        features.nystrom(lambda a, b=None: nk.KernelPair(*[-np.eye(2)] * 2), x[:2]).ntk(x)


@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.every(2)
def test_ridge_on_features_is_kernel_ridge_with_their_kernel(outputs, monkeypatch):
    monkeypatch.setattr(sys.modules["ntkit.features.ridge"], "ROWS", 7)
    net, shape = NETWORKS["relu"]
    x, y = rows(shape, 30), np.random.default_rng(1).normal(size=(30, *outputs))
    one = features.sketch(net, shape, 50)
    k = one(x[:20]).ntk, one(x[20:], x[:20]).ntk
    expected = nk.predict.kernel_regression(k[0], y[:20], ridge=0.1).predict(k[1])
    found = features.feature_ridge(one.ntk, x[:20], y[:20], 0.1).predict(x[20:])
    assert found.shape == (10, *outputs)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: features.sketch(DENSE, VECTORS, 1), "dimension must be a whole number of at least 2"),
        (lambda: features.sketch(DENSE, VECTORS, 8, width=0), "width must be a whole number"),
        (lambda: features.sketch(nk.Dense(1) >> nk.Dropout(0.5), VECTORS, 8), "Dropout"),
        (lambda: features.sketch(STAGE, IMAGES, 8), "ends with positions"),
        (
            lambda: features.sketch(nk.Concat((nk.Dense(1), nk.Dense(1))), VECTORS, 8),
            "no sketch is known for branches side by side",
        ),
        (lambda: features.sketch(DENSE, VECTORS, 8).ntk(np.ones((2, 5))), r"shaped \(6,\)"),
        (lambda: features.error_by_dimension(DENSE, np.ones((2, 6)), []), "at least one of each"),
        (lambda: features.network_features(nk.Relu(), VECTORS, key=jax.random.key(0)), "ends with Dense"),
        (
            lambda: features.network_features(STAGE >> nk.Dense(1), IMAGES, key=jax.random.key(0)),
            "reads positions",
        ),
        (lambda: features.NormalEquations().solve(1.0), "no examples"),
        (lambda: features.NormalEquations().add(np.ones(3), [1.0]), r"expected \(b, m\)"),
        (lambda: features.NormalEquations().add(np.full((1, 3), np.nan), [1.0]), "nan"),
        (lambda: _two_blocks(np.ones((1, 2)), [1.0]), "a block of 2 features and 1 outputs"),
        (lambda: features.feature_ridge(lambda x: x, np.eye(2), [1.0, 2.0], -1.0), "ridge"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def _two_blocks(block, y):
    seen = features.NormalEquations()
    seen.add(np.ones((1, 3)), [1.0])
    seen.add(block, y)


def test_a_jump_above_trained_weights_is_refused():
    with pytest.raises(NoClosedFormError, match="jumps"):
        features.sketch(nk.Dense(1) >> nk.Sign() >> nk.Dense(1), VECTORS, 8)


def test_dependent_features_without_a_ridge_are_refused():
    with pytest.raises(NumericalError, match="not positive definite"):
        features.feature_ridge(lambda x: np.ones((len(x), 2)), np.eye(3), np.ones(3), 0.0)
