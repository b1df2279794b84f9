"""Kernels by sampling: right within their standard errors, which are right themselves; streams; refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError
from ntkit.sampling import sample

KEY = jax.random.key(7)
X = np.random.default_rng(0).normal(size=(4, 3))


def agree(found, expected, sigmas=5.0):
    for name in ("nngp", "ntk"):
        mean, k, se = getattr(found, name), getattr(expected, name), getattr(found, f"{name}_error")
        assert mean.shape == k.shape == se.shape
        assert (np.abs(mean - k) <= sigmas * se + 1e-12).all(), (name, np.max(np.abs(mean - k) / se))


# A network with one hidden layer has the infinite kernels as its mean at every width.
SHALLOW = (
    nk.Dense(24, w_std=1.4, b_std=0.3, w_lr=0.5, b_lr=2.0) >> nk.Relu() >> nk.Dense(3, b_std=0.2, w_lr=0.3)
)


def test_mean_over_networks_of_layers_and_their_rates():
    found = sample(SHALLOW, X, key=KEY, count=600)
    agree(found, nk.kernel(SHALLOW, X))
    assert found.count == 600
    assert np.max(found.ntk_error / np.abs(np.diagonal(found.ntk)).max()) < 0.05


def test_two_batches_are_a_block_of_one():
    agree(sample(SHALLOW, X[:3], X[1:], key=KEY, count=600), nk.kernel(SHALLOW, X[:3], X[1:]))


def test_frozen_networks_have_no_tangent_kernel():
    net = nk.Dense(8, w_lr=0, b_lr=0) >> nk.Sign() >> nk.Dense(2, w_lr=0, b_lr=0)
    found = sample(net, X, key=KEY, count=10)
    assert (found.ntk == 0).all()
    assert (found.ntk_error == 0).all()


def test_plain_functions():
    """A quadratic with two parameters, one of them an integer that nothing is taken the gradient of."""

    def init(key, shape):
        return {"w": jax.random.normal(key, shape), "n": jnp.asarray(2)}, (1,)

    def apply(params, x):
        return (x @ params["w"])[:, None] * params["n"]

    found = sample((init, apply), X, key=KEY, count=2000)
    agree(found, nk.KernelPair(4 * X @ X.T, 4 * X @ X.T))
    np.testing.assert_allclose(found.ntk, 4 * X @ X.T, rtol=1e-12)


def test_plain_functions_of_one_output_without_an_axis():
    def init(key, shape):
        return jax.random.normal(key, shape), ()

    found = sample((init, lambda w, x: x @ w), X, key=KEY, count=50)
    np.testing.assert_allclose(found.ntk, X @ X.T, rtol=1e-12)


@pytest.mark.slow
def test_masks_differ_between_rows_and_networks():
    net = nk.Dense(40) >> nk.Dropout(0.6) >> nk.Dense(4)
    twice = np.concatenate([X[:2], X[:2]])
    agree(sample(net, twice, key=KEY, count=2000, units=1), nk.kernel(net, twice))
    agree(sample(net, X[:2], X[:2], key=KEY, count=2000, units=1), nk.kernel(net, X[:2], X[:2]))


def test_positions_at_the_end():
    net = nk.Conv(5, 3) >> nk.AvgPool(2, stride=1) >> nk.Conv(2, 2)
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 2))
    found = sample(net, x, x[:1] + 1, key=KEY, count=800)
    agree(found, nk.kernel(net, x, x[:1] + 1), sigmas=6.0)
    assert found.nngp.shape == (2, 1, 12, 12)


@pytest.mark.slow
def test_memory_changes_the_blocks_and_not_the_result():
    net = nk.Dense(16) >> nk.Erf() >> nk.Dense(16) >> nk.Erf() >> nk.Dense(2)
    one = sample(net, X, X[:3], key=KEY, count=6)
    for a, b in zip(one, sample(net, X, X[:3], key=KEY, count=6, memory=3000 * 2 * 3), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    whole = sample(net, X, key=KEY, count=6)
    blocks = sample(net, X, key=KEY, count=6, memory=3000 * 2 * 3)
    np.testing.assert_allclose(whole.ntk, blocks.ntk, rtol=1e-9)


def test_a_count_that_the_batches_do_not_divide():
    """11 networks, drawn 8 and 3 at a time, are the 11 networks of these keys."""
    net = nk.Dense(1)
    found = sample(net, X, key=KEY, count=11)
    with jax.enable_x64(True):
        keys = jax.random.split(KEY, 16)[:11]
        outputs = [net.apply(net.init(jax.random.split(k)[0], (3,))[0], jnp.asarray(X))[:, 0] for k in keys]
    products = np.stack([np.outer(f, f) for f in outputs])
    np.testing.assert_allclose(found.nngp, products.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.nngp_error, products.std(0, ddof=1) / 11**0.5, rtol=1e-9)


def test_merge_is_the_sample_of_both():
    a, b = (sample(SHALLOW, X, key=jax.random.key(seed), count=count) for seed, count in ((1, 24), (2, 40)))
    both = a.merge(b)
    assert both.count == 64
    np.testing.assert_allclose(both.nngp, (24 * a.nngp + 40 * b.nngp) / 64)
    squares = sum(s.nngp_error**2 * s.count * (s.count - 1) + s.count * s.nngp**2 for s in (a, b))
    np.testing.assert_allclose(both.nngp_error**2, (squares - 64 * both.nngp**2) / (64 * 63))
    agree(both, nk.kernel(SHALLOW, X))


def test_standard_errors_are_right():
    """Over many samples, squared deviations from the truth average to the squared standard error."""
    exact = nk.kernel(SHALLOW, X)
    found = [sample(SHALLOW, X, key=jax.random.key(100 + seed), count=20) for seed in range(60)]
    for name in ("nngp", "ntk"):
        z2 = [((getattr(f, name) - getattr(exact, name)) / getattr(f, f"{name}_error")) ** 2 for f in found]
        assert 0.7 < np.mean(z2) < 1.7


def test_nothing_is_compiled_for_other_values_or_keys():
    compiled = []

    def listen(event, *_, **__):
        compiled.extend([event] * (event == "/jax/core/compile/backend_compile_duration"))

    for seed, w_std in enumerate((1.0, 1.3)):
        if seed == 1:
            jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            net = nk.Dense(3, w_std=w_std) >> nk.Sin(b=w_std) >> nk.Dense(2)
            sample(net, X, key=jax.random.key(seed), count=4)
        finally:
            if seed == 1:
                jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


def test_dtype_is_that_of_the_data():
    assert sample(nk.Dense(1), X, key=KEY, count=2).nngp.dtype == np.float64
    single = sample(SHALLOW, X.astype(np.float32), key=KEY, count=300)
    agree(single, nk.kernel(SHALLOW, X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": nk.Dense}, "pair of functions"),
        ({"net": (len,)}, "pair of functions"),
        ({"count": 1}, "count must be a whole number of at least 2, found 1"),
        ({"count": 2.5}, "count must be a whole number"),
        ({"units": 0}, "units must be a whole number of at least 1, found 0"),
        ({"x1": X[0]}, "x1 must be shaped"),
        ({"x1": X * np.nan}, "x1 holds nan"),
        ({"x2": X[:, :2]}, r"x2 must hold examples shaped like x1's, \(3,\); found \(2,\)"),
        ({"dtype": "int32"}, "dtype must be float32 or float64"),
        ({"memory": 100}, "the gradients of one example take"),
    ],
)
def test_refusals(change, message):
    arguments = {"net": SHALLOW, "x1": X, "x2": None, "key": KEY, "count": 4} | change
    with pytest.raises(InputError, match=message):
        sample(arguments.pop("net"), arguments.pop("x1"), arguments.pop("x2"), **arguments)


def test_samples_of_other_inputs_do_not_merge():
    a, b = (sample(nk.Dense(1), X[:n], key=KEY, count=2) for n in (2, 3))
    with pytest.raises(InputError, match=r"kernels shaped \(2, 2\) and \(3, 3\)"):
        a.merge(b)
