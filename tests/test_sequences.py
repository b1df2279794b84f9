"""Batches of sequences of different lengths: what is masked is as if it were not there."""

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.batches import Padded
from ntkit.errors import InputError, NoClosedFormError
from ntkit.testing import widened

LENGTHS = (5, 2, 7, 3)
CHANNELS = 3
HEAD = nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1, b_std=0.3)

# One network for every layer that takes sequences, with a nonlinearity behind it.
NETWORKS = {
    "Dense": nk.Dense(64, 1.2, 0.3) >> HEAD,
    "StandardDense": nk.StandardDense(64, 1.2, 0.3) >> HEAD,
    "Conv": nk.Conv(64, 3, w_std=1.3, b_std=0.2) >> nk.Erf() >> nk.Conv(64, 2, dilation=2) >> HEAD,
    "Conv VALID": nk.Conv(64, 2, padding="VALID", w_std=1.3) >> HEAD,
    "Conv VALID strides": nk.Conv(64, 2, stride=2, padding="VALID", w_std=1.3) >> HEAD,
    "StandardConv": nk.StandardConv(64, 3, w_std=1.3, b_std=0.2) >> HEAD,
    "AvgPool": nk.Dense(64) >> nk.AvgPool(2, 1) >> HEAD,
    "SumPool SAME": nk.Dense(64) >> nk.SumPool(2, 1, "SAME") >> HEAD,
    "GlobalSumPool": nk.Dense(64)
    >> nk.Relu()
    >> nk.GlobalSumPool()
    >> nk.Dense(64)
    >> nk.Erf()
    >> nk.Dense(1),
    "RMSNorm": nk.Dense(64, b_std=0.3)
    >> nk.Relu()
    >> nk.RMSNorm("channels_and_space")
    >> nk.Dense(64)
    >> HEAD,
    "Conv padded": nk.Conv(64, 2, padding=((2, 1),), w_std=1.3) >> HEAD,
    "LayerNorm": nk.Dense(64, b_std=0.3) >> nk.LayerNorm() >> HEAD,
    "LayerNorm of all": nk.Dense(64, b_std=0.3) >> nk.LayerNorm("channels_and_space") >> HEAD,
    "Dropout": nk.Dense(64) >> nk.Dropout(0.4) >> nk.Dense(64) >> HEAD,
    "Residual": nk.Dense(64) >> nk.Residual(nk.Relu() >> nk.Conv(64, 3)) >> HEAD,
    "Concat": nk.Concat((nk.Dense(64) >> nk.Relu(), nk.Conv(64, 3))) >> nk.Dense(64) >> HEAD,
    "Product": nk.Product((nk.Dense(64), nk.Conv(64, 3))) >> nk.Dense(64) >> HEAD,
    "Repeat": nk.Dense(64) >> nk.Repeat(nk.Relu() >> nk.Conv(64, 3), 3) >> HEAD,
    "SelfAttention": nk.Dense(64, b_std=0.2) >> nk.SelfAttention(64, b_std=0.3) >> HEAD,
    "SelfAttention causal": nk.Dense(64) >> nk.SelfAttention(64, mechanism="abs", causal=True) >> HEAD,
    "SelfAttention sqrt": nk.Dense(64)
    >> nk.SelfAttention(64, 64, scaling="sqrt", mechanism="identity", b_std=0.3)
    >> HEAD,
    "PositionalEncoding": nk.Dense(64) >> nk.PositionalEncoding(0.7, 0.5) >> nk.SelfAttention(64) >> HEAD,
    "RNN": nk.RNN(64, nk.Relu(), w_std=1.3, b_std=0.3) >> nk.Dense(64) >> HEAD,
    "RNN reverse": nk.RNN(64, reverse=True, w_std=1.3)
    >> nk.Last()
    >> nk.Dense(64)
    >> nk.Relu()
    >> nk.Dense(1),
    "RNN both ways": nk.Concat((nk.RNN(64), nk.RNN(64, reverse=True))) >> nk.Dense(64) >> HEAD,
    "Last": nk.Conv(64, 2) >> nk.Relu() >> nk.Last() >> nk.Dense(1),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def sequences(*, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(length, CHANNELS)) for length in LENGTHS]


@networks
@pytest.mark.every(3)
def test_masked_is_cropped(name: str):
    net, rows = NETWORKS[name], sequences()
    ours = nk.kernel(net, nk.Sequences(rows))
    for i in range(len(rows)):
        alone = nk.kernel(net, rows[i][None])
        for k, cropped in zip(ours, alone, strict=True):
            np.testing.assert_allclose(k[i, i], cropped[0, 0], rtol=1e-12)
    pair = nk.kernel(net, nk.Sequences(rows[:1]), nk.Sequences(rows[1:2]))
    for k, cropped in zip(ours, pair, strict=True):
        np.testing.assert_allclose(k[0, 1], cropped[0, 0], rtol=1e-12, atol=1e-13 * np.abs(k).max())
        np.testing.assert_array_equal(k, k.T)


@networks
@pytest.mark.every(6)
def test_finite_networks_see_the_cropped_sequence(name: str):
    net, rows = NETWORKS[name], sequences()
    batch = jax.tree.map(np.asarray, nk.Sequences(rows).padded(9, np.float32))
    params, _ = net.init(jax.random.key(0), (9, CHANNELS))
    noisy = Padded(batch.values + 3.0 * (1 - batch.mask)[..., None], batch.mask)
    found = net.apply(params, noisy, key=jax.random.key(1))
    if "Dropout" in name:
        return  # masks are drawn for all positions of the batch at once
    for row, y in zip(rows, found, strict=True):
        np.testing.assert_allclose(net.apply(params, row[None].astype(np.float32))[0], y, atol=2e-5)


@networks
@pytest.mark.every(8)
def test_finite_networks_have_the_kernel(name: str):
    net = NETWORKS[name]
    x = nk.Sequences(sequences())
    k = nk.kernel(net, x)
    found = nk.sample(widened(net, 2), x, key=jax.random.key(2), count=150, units=1, dtype=np.float32)
    for which in ("nngp", "ntk"):
        exact, mean, error = getattr(k, which), getattr(found, which), getattr(found, f"{which}_error")
        scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
        assert (np.abs(mean - exact) <= 4.5 * error + 0.06 * scale).all()


@pytest.mark.slow
def test_random_logits_follow_many_heads():
    # With √d scaling the limit is one of heads too.
    net = nk.Dense(64) >> nk.SelfAttention(64, 48, 64, 64, "sqrt", "identity", b_std=0.2, w_lr=0.6)
    net = net >> nk.Erf() >> nk.GlobalAvgPool() >> nk.Dense(1)
    x = nk.Sequences([row / 2 for row in sequences(seed=3)[:2]])
    k = nk.kernel(net, x)
    found = nk.sample(net, x, key=jax.random.key(0), count=400, units=1, dtype=np.float32)
    for which in ("nngp", "ntk"):
        exact, mean, error = getattr(k, which), getattr(found, which), getattr(found, f"{which}_error")
        assert (np.abs(mean - exact) <= 4.5 * error + 0.06 * np.abs(exact).max()).all()


@pytest.mark.slow
def test_sizes_do_not_depend_on_tiles():
    draw = np.random.default_rng(0)
    x = nk.Sequences([draw.normal(size=(n, 2)) for n in (1, 40, 3, 9, 17, 2, 33)])
    net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
    whole = nk.kernel(net, x)
    for options in ({"memory": 5 * 2**20}, {"memory": 2**21}):
        np.testing.assert_allclose(nk.kernel(net, x, **options).ntk, whole.ntk, rtol=1e-12)
    np.testing.assert_allclose(nk.kernel(net, x[::2], x[1::2]).ntk, whole.ntk[::2, 1::2], rtol=1e-12)
    np.testing.assert_allclose(nk.kernels.diagonal(net, x).ntk, np.diag(whole.ntk), rtol=1e-12)
    np.testing.assert_allclose(nk.moments_by_layer(net, x)[-1][1].ntk, whole.ntk, rtol=1e-12)
    single = nk.kernel(net, x, dtype=np.float32)
    assert single.ntk.dtype == np.float32
    np.testing.assert_allclose(single.ntk, whole.ntk, rtol=1e-4)


def test_positions_at_the_end_are_0_beyond_it():
    net = nk.Conv(64, 3) >> nk.Relu() >> nk.Dense(1, b_std=1.0)
    k = nk.nngp(net, nk.Sequences(sequences()))
    assert k.shape == (4, 4, 7, 7)
    assert (k[1, 0, 2:] == 0).all()
    assert (k[1, 0, :2, :5] != 0).all()


@pytest.mark.slow
def test_gradients_in_hyperparameters():
    x = nk.Sequences(sequences())

    def total(net):
        return nk.ntk(net, x).sum()

    net = nk.RNN(64, nk.Relu(), w_std=1.3) >> nk.SelfAttention(64) >> nk.Last() >> nk.Dense(1)
    with jax.enable_x64(True):
        gradient = float(jax.grad(total)(net).layers[0].w_std)
        step = 1e-6
        ends = []
        for w in (1.3 + step, 1.3 - step):
            ends.append(float(total(nk.Serial((nk.RNN(64, nk.Relu(), w_std=w), *net.layers[1:])))))
    assert gradient == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_masks_say_the_same_as_lists():
    rows = sequences()
    values = np.zeros((4, 7, CHANNELS))
    for i, row in enumerate(rows):
        values[i, : len(row)] = row
    x = nk.Sequences.from_mask(values, np.arange(7) < np.array(LENGTHS)[:, None])
    assert x.sizes.tolist() == list(LENGTHS)
    np.testing.assert_array_equal(x.values, nk.Sequences(rows).values)
    assert x[1].sizes.tolist() == [2]
    assert x.shape == (4, None, CHANNELS)


def test_a_recurrent_network_of_one_step_is_dense():
    x = np.random.default_rng(0).normal(size=(4, 3))
    rnn = (
        nk.RNN(64, nk.Relu(), w_std=1.7, u_std=1.2, b_std=0.4, w_lr=0.6, b_lr=0.3) >> nk.Last() >> nk.Dense(1)
    )
    dense = nk.Dense(64, 1.2, 0.4, 0.6, 0.3) >> nk.Relu() >> nk.Dense(1)
    for a, b in zip(nk.kernel(rnn, x[:, None]), nk.kernel(dense, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nk.Sequences([]), "no sequence"),
        (lambda: nk.Sequences([np.ones((2, 3)), np.ones((0, 3))]), "sequence 1 is empty"),
        (lambda: nk.Sequences([np.ones((2, 3)), np.ones((2, 2))]), "sequence 1 has 2 channels"),
        (lambda: nk.Sequences([np.ones((2, 3)), np.ones(2)]), "sequence 1 must be shaped"),
        (lambda: nk.Sequences([np.array([[1.0], [np.nan]])]), "sequence 0 hold .* in row 1"),
        (lambda: nk.Sequences.from_mask(np.ones((2, 4)), np.ones((2, 4))), "values must be shaped"),
        (lambda: nk.Sequences.from_mask(np.ones((2, 2, 1)), [[1, 1], [0, 0]]), "all of row 1 is masked"),
        (lambda: nk.Sequences.from_mask(np.ones((2, 2, 1)), [[1, 1], [0, 1]]), "mask of row 1 has a gap"),
        (lambda: nk.SelfAttention(4, scaling="cube"), "scaling must be one of"),
        (lambda: nk.SelfAttention(4, scaling="sqrt"), "closed form is known for"),
        (lambda: nk.RNN(4, nk.Dense(3)), "activation must be an activation"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nk.Conv(8, 3) >> nk.Flatten(), "Flatten: needs examples of one size"),
        (nk.Conv(8, 3) >> nk.Index(0), "Index: needs examples of one size"),
        (nk.ImageResize((3,)), "ImageResize: needs examples of one size"),
        (nk.Conv(8, 3, stride=2) >> HEAD, "lie differently in sequences"),
        (nk.Conv(8, 3, padding="CIRCULAR") >> HEAD, "lie differently in sequences"),
        (nk.Conv(8, 3, padding="VALID") >> HEAD, "example 1, the shortest, has 2 positions"),
        (nk.ConvLocal(8, 3) >> HEAD, "ConvLocal: needs examples of one size"),
        (nk.ConvTranspose(8, 3, 2) >> HEAD, "ConvTranspose: needs examples of one size"),
        (nk.Aggregate() >> HEAD, "Aggregate: needs graphs"),
    ],
)
def test_networks_that_need_one_size_or_graphs(net, message):
    with pytest.raises(InputError, match=message):
        nk.kernel(net, nk.Sequences(sequences()))


def test_encodings_end_where_they_were_drawn():
    layer = nk.PositionalEncoding()
    params, _ = layer.init(jax.random.key(0), (3, CHANNELS))
    with pytest.raises(InputError, match=r"drawn for positions \(3,\), the inputs have \(4,\)"):
        layer.apply(params, np.ones((1, 4, CHANNELS)))


def test_finite_networks_that_need_one_size():
    x = nk.Sequences(sequences()).padded(7, np.float32)
    net = nk.Dense(8) >> nk.Flatten()
    params, _ = net.init(jax.random.key(0), (7, CHANNELS))
    with pytest.raises(InputError, match="Flatten: needs examples of one size"):
        net.apply(params, x)
    with pytest.raises(InputError, match="Aggregate: needs graphs"):
        nk.Aggregate().apply((), x)


@pytest.mark.parametrize("layer", [nk.SelfAttention(8), nk.RNN(8)], ids=["SelfAttention", "RNN"])
def test_random_covariances_are_refused(layer):
    with pytest.raises(NoClosedFormError, match="second moments do not determine the kernel"):
        nk.kernel(nk.Dropout(0.3) >> layer >> nk.GlobalAvgPool(), np.ones((2, 3, 2)))


def test_batch_norm_needs_one_size():
    with pytest.raises(InputError, match="BatchNorm needs examples of one size"):
        nk.kernel(nk.Dense(8) >> nk.BatchNorm() >> HEAD, nk.Sequences(sequences()), engine="monte_carlo")


def test_batches_of_one_kind():
    x = nk.Sequences(sequences())
    with pytest.raises(InputError, match="batches of one kind"):
        nk.kernel(HEAD, x, np.ones((2, 3)))
    with pytest.raises(InputError, match="as many channels as x1's, 3; found 2"):
        nk.kernel(nk.Dense(8) >> HEAD, x, nk.Sequences([np.ones((2, 2))]))
    with pytest.raises(InputError, match="no instruction for sequences"):
        nk.kernel(nk.Dense(8) >> HEAD, x, engine="fused")
