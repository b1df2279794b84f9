"""Closed relations of convolutions, pools and norms: explicit padding, linear maps written as matrices, what is refused."""

import json

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError

WEIGHTS = {"w_std": 1.3, "b_std": 0.3, "w_lr": 0.7, "b_lr": 1.2}
RELU = nk.Relu()


def images(*shape: int) -> np.ndarray:
    """Four examples, two of them equal, one the negative of another."""
    x = np.random.default_rng(0).normal(size=(4, *shape))
    x[1], x[2] = x[0], -x[3]
    return x


def assert_equal_kernels(a: nk.Layer, b: nk.Layer, x: np.ndarray, tolerance: float = 1e-12, **options) -> None:
    """Both kernels of two networks, within a part of the largest entry."""
    for k, l in zip(nk.kernel(a, x, **options), nk.kernel(b, x, **options), strict=True):
        np.testing.assert_allclose(k, l, rtol=0, atol=tolerance * np.abs(l).max())


def assert_engines_agree(net: nk.Layer, x: np.ndarray, tolerance: float = 1e-8) -> None:
    """The angle of opposite images is known to the root of rounding."""
    expected, found = (nk.kernel(net, x, engine=engine) for engine in ("reference", "fused"))
    for k, l in zip(found, expected, strict=True):
        np.testing.assert_allclose(k, l, rtol=0, atol=tolerance * np.abs(l).max())


# Explicit padding -----------------------------------------------------------------------------------------------------

SAME_OF_3 = ((1, 1), (1, 1))


@pytest.mark.parametrize("conv", [nk.Conv, nk.StandardConv])
def test_padding_as_same_pads_is_same(conv):
    def net(padding):
        body = conv(4, 3, padding=padding, **WEIGHTS) >> RELU >> nk.AvgPool(3, 1, padding)
        return body >> nk.Dense(2) >> RELU >> nk.SumPool(3, 1, padding) >> nk.Flatten()

    x = images(3, 4, 2)
    assert_equal_kernels(net(SAME_OF_3), net("SAME"), x)
    assert_equal_kernels(net(((0, 0), (0, 0))), net("VALID"), images(7, 8, 2))
    params, _ = net("SAME").init(jax.random.key(0), x.shape[1:])
    np.testing.assert_allclose(
        net(SAME_OF_3).apply(params, x), net("SAME").apply(params, x), rtol=1e-6, atol=1e-6
    )


def test_explicit_padding_is_zeros_put_around_the_data():
    """Without biases; also more zeros than a window has taps, so that some windows read nothing else."""
    x = images(3, 4, 2)
    pads = ((1, 4), (0, 2))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    for layers in ((lambda p: nk.Conv(3, 3, 2, p)), (lambda p: nk.AvgPool((2, 5), 1, p) >> nk.Dense(3))):
        net, valid = (layers(p) >> RELU >> nk.Conv(3, 2) >> RELU >> nk.GlobalAvgPool() for p in (pads, "VALID"))
        for k, l in zip(nk.kernel(net, x), nk.kernel(valid, padded), strict=True):
            # The angle of a pooled row with itself is known to the root of rounding.
            np.testing.assert_allclose(k, l, rtol=1e-8)
        shape = net.init(jax.random.key(0), x.shape[1:])[1]
        assert shape == valid.init(jax.random.key(0), padded.shape[1:])[1]


def test_equal_examples_keep_a_gap_of_zero_behind_padding():
    """In float32 the angle of near duplicates comes from the gap, which must know the variances next to zeros."""
    x = images(3, 3, 2)
    x[1] = x[0] + 1e-4 * x[3]
    conv = nk.Conv(4, 3, padding=((2, 1), (0, 2)), w_std=1.4)
    net = nk.Serial((conv, RELU) * 2) >> nk.GlobalAvgPool() >> nk.Dense(1)
    for k, l in zip(nk.kernel(net, x.astype(np.float32)), nk.kernel(net, x), strict=True):
        np.testing.assert_allclose(k, l, rtol=1e-5, atol=1e-6 * np.abs(l).max())


@pytest.mark.parametrize("pads", [((1, 0), (0, 2)), ((0, 1), (1, 1))])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_fused_engine_pads_as_told(pads, stride):
    conv = nk.Conv(4, 3, stride, pads, **WEIGHTS) >> RELU
    assert_engines_agree(conv >> nk.Conv(4, 3, padding=pads) >> RELU >> nk.GlobalAvgPool(), images(5, 6, 2))
    assert_engines_agree(nk.Conv(4, 3, stride, pads[1:]) >> RELU >> nk.Flatten() >> nk.Dense(2), images(6, 2))


def test_the_fused_engine_refuses_more_zeros_than_a_window_reads():
    net = nk.Conv(4, 3, padding=((2, 1),)) >> RELU >> nk.GlobalAvgPool()
    with pytest.raises(InputError, match="no instruction for padding with more zeros"):
        nk.kernel(net, images(5, 2), engine="fused")


def test_sketches_pad_as_told():
    net = nk.Conv(4, 3, padding=((2, 3), (0, 1)), **WEIGHTS) >> nk.GlobalAvgPool()
    x = images(3, 4, 2)
    sketch = nk.features.sketch(net, x.shape[1:], dimension=4096)
    np.testing.assert_allclose(sketch(x).nngp, nk.nngp(net, x), rtol=0, atol=1e-10)


def test_padding_goes_through_json():
    net = nk.Conv(4, 3, padding=((1, np.int64(2)), [0, 1])) >> nk.SumPool(2, 1, [[0, 1], [1, 0]])
    again = nk.from_spec(json.loads(json.dumps(nk.to_spec(net))))
    assert again == net
    assert again.layers[0].padding == ((1, 2), (0, 1))
    assert hash(again.layers[1].padding)


@pytest.mark.parametrize("padding", [(1, 2), ((1, 2, 3),), ((1, -1),), ((1, 0.5),), (), ((True, 1),), 1, "same"])
def test_paddings_that_are_none(padding):
    with pytest.raises(InputError, match="padding must be one of SAME, VALID, CIRCULAR, or how many zeros"):
        nk.Conv(4, 3, padding=padding)


def test_padding_of_other_dimensions():
    with pytest.raises(InputError, match="padding .* differ in dimensions"):
        nk.Conv(4, (3, 3), padding=((1, 1),))
    with pytest.raises(InputError, match="needs inputs with 2 dimensions"):
        nk.kernel(nk.AvgPool(3, 1, SAME_OF_3), images(5, 2))
    with pytest.raises(InputError, match="a window over 5 positions does not fit into 4"):
        nk.kernel(nk.AvgPool(5, 1, ((1, 0),)), images(3, 2))


@pytest.mark.parametrize(("extent", "pool"), [(3, 2), (5, 3), (7, 4)])
def test_a_pool_to_one_pixel_that_leaves_some_out(extent, pool):
    """The gaps within its only window are taken away from the gap of two images."""
    net = nk.Conv(4, 3, **WEIGHTS) >> RELU >> nk.AvgPool(pool)
    assert_engines_agree(net >> nk.Flatten() >> nk.Dense(1), images(extent, 2))
    assert_engines_agree(net >> nk.Conv(4, 1) >> RELU >> nk.GlobalAvgPool(), images(extent, extent, 2))
