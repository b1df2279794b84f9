"""Layers without a closed form: right as finite networks, refused where kernels are exact, sampled where asked for."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError

RNG = np.random.default_rng(3)
KEY = jax.random.key(5)
X = RNG.normal(size=(5, 3))
IMAGES = RNG.normal(size=(3, 4, 4, 2))

NORMED = nk.Dense(6, w_lr=0.5, b_std=0.3) >> nk.BatchNorm() >> nk.Erf() >> nk.Dense(2, b_std=0.1)
POOLED = nk.Conv(8, 3) >> nk.Relu() >> nk.MaxPool(2) >> nk.Flatten() >> nk.Dense(2)
BOTH = nk.Conv(6, 3) >> nk.BatchNorm() >> nk.Relu() >> nk.MaxPool(2) >> nk.GlobalAvgPool() >> nk.Dense(1)


def apply(layer, x):
    with jax.enable_x64(True):
        return np.asarray(layer.apply((), jnp.asarray(x)))


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


# Finite networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [X, IMAGES], ids=["vectors", "images"])
def test_batch_norm_is_that_of_torch_in_training(x):
    found = apply(nk.BatchNorm(epsilon=1e-3), x)
    expected = torch.nn.functional.batch_norm(channels_first(x), None, None, training=True, eps=1e-3)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("x", [X, IMAGES], ids=["vectors", "images"])
def test_channels_have_mean_0_and_variance_1(x):
    y = apply(nk.BatchNorm(epsilon=0), 7 * x + 3).reshape(-1, x.shape[-1])
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(0), 1, rtol=1e-12)


@pytest.mark.parametrize(("window", "stride"), [(2, None), ((2, 3), 1), (3, (2, 1)), (1, 2)])
def test_max_pool_is_that_of_torch(window, stride):
    found = apply(nk.MaxPool(window, stride=stride), IMAGES)
    expected = torch.nn.functional.max_pool2d(channels_first(IMAGES), window, stride)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 1), expected.numpy())


def test_what_lies_outside_is_never_the_largest():
    negative = -1 - np.abs(IMAGES)
    found = apply(nk.MaxPool(3, stride=1, padding="SAME"), negative)
    expected = torch.nn.functional.max_pool2d(channels_first(negative), 3, 1, padding=1)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 1), expected.numpy())


def test_circular_windows_go_round():
    pool = nk.MaxPool(3, stride=1, padding="CIRCULAR")
    rolled = np.roll(IMAGES, (1, 2), (1, 2))
    np.testing.assert_array_equal(apply(pool, rolled), np.roll(apply(pool, IMAGES), (1, 2), (1, 2)))
    expected = np.max([np.roll(IMAGES, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    np.testing.assert_array_equal(apply(pool, IMAGES), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nk.MaxPool(0), "MaxPool: window must be whole numbers"),
        (lambda: nk.MaxPool(2, padding="FULL"), "MaxPool: padding must be one of"),
        (
            lambda: nk.MaxPool(5, padding="SAME").init(KEY, (4, 4, 2)),
            "MaxPool: the window 5 is larger than the image",
        ),
        (lambda: nk.MaxPool(2).init(KEY, (4,)), "MaxPool"),
        (lambda: nk.BatchNorm(epsilon=-1.0), r"BatchNorm: epsilon must lie in \[0, inf\)"),
        (lambda: nk.BatchNorm().apply((), jnp.ones((1, 3))), "has one value in each channel"),
        (lambda: nk.kernel(NORMED, X[:1], engine="monte_carlo"), "has one value in each channel"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


# Exact engines refuse -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "x", "who"),
    [
        (NORMED, X, "BatchNorm"),
        (POOLED, IMAGES, "MaxPool"),
        (nk.Residual(NORMED >> nk.Dense(3)), X, "BatchNorm"),
    ],
)
def test_nothing_is_sampled_unless_asked_for(net, x, who):
    shape = x.shape[1:]
    refused = rf'{who}: .*no closed form. Remedy: .*engine="monte_carlo"'
    for engine in ("auto", "reference", "fused"):
        with pytest.raises(NoClosedFormError, match=refused):
            nk.kernel(net, x, engine=engine)
    for ask in (
        lambda: nk.nngp(net, x),
        lambda: nk.kernels.diagonal(net, x),
        lambda: nk.moments_by_layer(net, x),
        lambda: nk.engines.explain(net, shape),
        lambda: jax.jit(lambda a: nk.ntk(net, a))(x.astype(np.float32)),
    ):
        with pytest.raises(NoClosedFormError, match=refused):
            ask()


def test_explain_says_which_layer_made_it_necessary():
    found = nk.engines.explain(NORMED, (3,), 10, engine="monte_carlo")
    assert str(found).startswith("monte_carlo: BatchNorm has no closed form; about ")
    assert found.seconds > 0
    assert found.bytes_per_pair > 0
    exact = nk.engines.explain(nk.Dense(8) >> nk.Relu() >> nk.Dense(1), (3,), 10, 4, engine="monte_carlo")
    assert exact.why == "it was asked for; other engines have the closed form"
    with pytest.raises(InputError, match='explain: engine must be "auto" or "monte_carlo", found \'fused\''):
        nk.engines.explain(NORMED, (3,), engine="fused")


# Sampled kernels ----------------------------------------------------------------------------------------------------------


def of_one_batch(net, key, x):
    """Both kernels of one finite network by the Jacobian of its whole batch."""
    with jax.enable_x64(True):
        weights, mask = jax.random.split(key)
        params, _ = net.init(weights, x.shape[1:])
        f = net.apply(params, jnp.asarray(x), key=mask)
        jacobians = jax.jacobian(lambda p: net.apply(p, jnp.asarray(x), key=mask))(params)
        ntk = 0
        for rate, j in zip(jax.tree.leaves(net.rates(params)), jax.tree.leaves(jacobians), strict=True):
            flat = j.reshape(*f.shape, -1)
            ntk = ntk + jnp.einsum("ion,jon,n->ij", flat, flat, rate.reshape(-1)) / f.shape[-1]
        return np.stack([f @ f.T / f.shape[-1], ntk])


@pytest.mark.parametrize(
    ("net", "x"),
    [
        pytest.param(NORMED, X, id="dense"),
        pytest.param(BOTH, IMAGES, id="convolutional", marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_the_whole_batch(net, x):
    found = nk.sample(net, x, key=KEY, count=3)
    with jax.enable_x64(True):
        keys = jax.random.split(KEY, 3)
    each = np.stack([of_one_batch(net, k, x) for k in keys])
    np.testing.assert_allclose([found.nngp, found.ntk], each.mean(0), rtol=1e-9, atol=1e-12)
    errors = each.std(0, ddof=1) / 3**0.5
    np.testing.assert_allclose([found.nngp_error, found.ntk_error], errors, rtol=1e-7, atol=1e-12)


@pytest.mark.slow
def test_two_batches_are_one():
    """The kernel of x1 and x2 is a block of that of x1 with x2 behind it, and no block of another batch."""
    options = {"engine": "monte_carlo", "networks": 4}
    joint, block = nk.kernel(NORMED, X, **options), nk.kernel(NORMED, X[:2], X[2:], **options)
    for whole, part in zip(joint, block, strict=True):
        np.testing.assert_allclose(part, whole[:2, 2:], rtol=1e-9, atol=1e-12)
    smaller = nk.kernel(NORMED, X[:4], **options)
    assert np.abs(smaller.nngp - joint.nngp[:4, :4]).max() > 0.01


@pytest.mark.slow
def test_memory_changes_nothing():
    whole = nk.sample(NORMED, X, X[:3], key=KEY, count=3)
    blocks = nk.sample(NORMED, X, X[:3], key=KEY, count=3, memory=5000)
    for a, b in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_batch_norm_forgets_scale_and_mean():
    """Behind the normalisation, examples have mean 0 and norm 1, whatever the weights before it."""
    net = nk.Dense(16, w_std=3.0, b_std=2.0) >> nk.BatchNorm(epsilon=0)
    nngp = nk.nngp(net, X, engine="monte_carlo", networks=8)
    np.testing.assert_allclose(np.trace(nngp), len(X), rtol=1e-10)
    np.testing.assert_allclose(nngp.sum(0), 0, atol=1e-10)


def test_max_of_two_gaussians():
    """Clark (1961): the largest of two centred Gaussians has the mean of their variances as its second moment."""
    net = nk.Conv(16, 1, w_std=1.5) >> nk.MaxPool(2)
    x = RNG.normal(size=(2, 2, 3))
    found = nk.kernel(net, x, engine="monte_carlo", networks=2000)
    variances = 1.5**2 * np.mean(x**2, axis=-1)
    diagonal, error = (np.einsum("iipp->i", k) for k in (found.nngp, found.nngp_error))
    assert (np.abs(diagonal - variances.mean(1)) < 5 * error).all()
    assert (error < 0.05 * diagonal).all()


def test_a_sample_is_a_pair_that_agrees_with_the_exact_kernel():
    net = nk.Dense(48, w_std=1.4, b_std=0.2) >> nk.Relu() >> nk.Dense(2)  # exact at every width
    found, exact = nk.kernel(net, X, engine="monte_carlo", networks=400), nk.kernel(net, X)
    nngp, ntk = found
    assert isinstance(found, nk.KernelPair)
    assert isinstance(found, nk.SampledKernel)
    assert found.count == 400
    assert (np.abs(nngp - exact.nngp) < 5 * found.nngp_error).all()
    assert (np.abs(ntk - exact.ntk) < 5 * found.ntk_error).all()
    for k in (nngp, ntk, found.ntk_error):
        np.testing.assert_array_equal(k, k.T)
    np.testing.assert_allclose(nk.nngp(net, X, engine="monte_carlo", networks=400), nngp, rtol=1e-12)
    np.testing.assert_array_equal(nk.ntk(net, X, engine="monte_carlo", networks=400), ntk)


@pytest.mark.slow
def test_blocks_of_a_matrix_belong_to_the_same_networks():
    net = nk.Dense(6) >> nk.Relu() >> nk.Sin() >> nk.Dense(1)  # two activations in a row: no closed form
    k = nk.kernel_fn(net, engine="monte_carlo", networks=10)
    joint, block = k(X), k(X[:2], X[2:])
    for whole, part in zip(joint, block, strict=True):
        np.testing.assert_allclose(part, whole[:2, 2:], rtol=1e-9)
    tiled = nk.gram.compute(k, X[:4], tile=2)
    np.testing.assert_allclose(tiled.ntk, joint.ntk[:4, :4], rtol=1e-9)
    np.testing.assert_allclose(k.diag(X).nngp, np.diagonal(joint.nngp))
    np.testing.assert_allclose(k.diag(X).ntk_error, np.diagonal(joint.ntk_error))


def test_diagonals_of_positions():
    net = nk.Conv(3, 3) >> nk.MaxPool(2)
    k = nk.kernel_fn(net, engine="monte_carlo", networks=4)
    whole, diagonal = k(IMAGES).nngp, k.diag(IMAGES).nngp
    np.testing.assert_array_equal(diagonal, [whole[i, i] for i in range(3)])


def test_fingerprints_tell_samples_apart():
    prints = {nk.kernel_fn(POOLED, engine="monte_carlo", networks=n).fingerprint for n in (10, 20)} | {
        nk.kernel_fn(POOLED).fingerprint
    }
    assert len(prints) == 3


def test_a_kernel_that_belongs_to_a_batch_has_no_tiles():
    with pytest.raises(InputError, match="its kernel belongs to a batch and cannot be computed in tiles"):
        nk.gram.compute(nk.kernel_fn(NORMED, engine="monte_carlo"), X)


def test_samples_are_not_traced():
    with pytest.raises(InputError, match="which JAX does not trace"):
        jax.jit(lambda x: nk.ntk(POOLED, x, engine="monte_carlo"))(IMAGES)


def test_samples_are_copied_whole():
    found = nk.sample(nk.Dense(2), X, key=KEY, count=4)
    copies = (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), jax.tree.map(lambda k: k, found))
    for other in copies:
        assert type(other) is nk.SampledKernel
        assert other.count == 4
        np.testing.assert_array_equal(other.ntk_error, found.ntk_error)
    assert "ntk_error=array" in repr(found)


@pytest.mark.slow
def test_kernel_regression_takes_a_sample():
    """The joint kernel of training and test examples, cut in two."""
    k = nk.kernel(NORMED, X, engine="monte_carlo", networks=50).ntk
    y = X[:3, 0]
    found = nk.predict.kernel_regression(k[:3, :3], y).predict(k[3:, :3])
    np.testing.assert_allclose(found, k[3:, :3] @ np.linalg.solve(k[:3, :3], y), rtol=1e-6)
