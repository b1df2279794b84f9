"""Closed relations of convolutions and pools: explicit padding, linear maps written as matrices, what is refused."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError

WEIGHTS = {"w_std": 1.3, "b_std": 0.3, "w_lr": 0.7, "b_lr": 1.2}
RELU = nk.Relu()


def images(*shape: int) -> np.ndarray:
    """Four examples, two of them equal, one the negative of another."""
    x = np.random.default_rng(0).normal(size=(4, *shape))
    x[1], x[2] = x[0], -x[3]
    return x


def assert_equal_kernels(
    a: nk.Layer, b: nk.Layer, x: np.ndarray, tolerance: float = 1e-12, **options
) -> None:
    """Both kernels of two networks, within a part of the largest entry."""
    for k, other in zip(nk.kernel(a, x, **options), nk.kernel(b, x, **options), strict=True):
        np.testing.assert_allclose(k, other, rtol=0, atol=tolerance * np.abs(other).max())


def assert_engines_agree(net: nk.Layer, x: np.ndarray, tolerance: float = 1e-8) -> None:
    """The angle of opposite images is known to the root of rounding."""
    expected, found = (nk.kernel(net, x, engine=engine) for engine in ("reference", "fused"))
    for k, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(k, other, rtol=0, atol=tolerance * np.abs(other).max())


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
        net, valid = (
            layers(p) >> RELU >> nk.Conv(3, 2) >> RELU >> nk.GlobalAvgPool() for p in (pads, "VALID")
        )
        for k, other in zip(nk.kernel(net, x), nk.kernel(valid, padded), strict=True):
            # The angle of a pooled row with itself is known to the root of rounding.
            np.testing.assert_allclose(k, other, rtol=1e-8)
        shape = net.init(jax.random.key(0), x.shape[1:])[1]
        assert shape == valid.init(jax.random.key(0), padded.shape[1:])[1]


def test_equal_examples_keep_a_gap_of_zero_behind_padding():
    """In float32 the angle of near duplicates comes from the gap, which must know the variances next to zeros."""
    x = images(3, 3, 2)
    x[1] = x[0] + 1e-4 * x[3]
    conv = nk.Conv(4, 3, padding=((2, 1), (0, 2)), w_std=1.4)
    net = nk.Serial((conv, RELU) * 2) >> nk.GlobalAvgPool() >> nk.Dense(1)
    for k, other in zip(nk.kernel(net, x.astype(np.float32)), nk.kernel(net, x), strict=True):
        np.testing.assert_allclose(k, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())


@pytest.mark.every(3)
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


@pytest.mark.parametrize(
    "padding", [(1, 2), ((1, 2, 3),), ((1, -1),), ((1, 0.5),), (), ((True, 1),), 1, "same"]
)
def test_paddings_that_are_none(padding):
    with pytest.raises(InputError, match="padding must be one of SAME, VALID, CIRCULAR, or how many zeros"):
        nk.Conv(4, 3, padding=padding)


def test_padding_of_other_dimensions():
    with pytest.raises(InputError, match=r"padding .* differ in dimensions"):
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


# Weights that are not shared ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", [nk.Identity(), nk.Conv(4, 3, **WEIGHTS) >> RELU], ids=["data", "conv"])
def test_positions_of_a_local_convolution_are_independent(below):
    x = images(5, 2)
    shared = nk.kernel(below >> nk.Conv(4, 3, padding=((2, 1),), **WEIGHTS), x)
    local = nk.kernel(below >> nk.ConvLocal(4, 3, padding=((2, 1),), **WEIGHTS), x)
    for k, other in zip(local, shared, strict=True):
        np.testing.assert_allclose(k, other * np.eye(k.shape[-1]), rtol=1e-12)


def test_a_mean_over_independent_positions():
    x = images(3, 4, 2)
    shared, local = nk.Conv(4, 3, **WEIGHTS), nk.ConvLocal(4, 3, **WEIGHTS)
    assert_equal_kernels(local >> nk.Flatten(), shared >> nk.Flatten(), x)
    for k, other in zip(
        nk.kernel(local >> nk.GlobalAvgPool(), x), nk.kernel(shared >> nk.Flatten(), x), strict=True
    ):
        np.testing.assert_allclose(k, other / 12, rtol=1e-12)
    # A convolution behind it meets each position with itself alone, and so does one below Flatten anyhow.
    assert_equal_kernels(
        local >> RELU >> nk.ConvLocal(4, 2) >> nk.Flatten(),
        shared >> RELU >> nk.Conv(4, 2) >> nk.Flatten(),
        x,
    )


def test_the_gap_of_independent_positions():
    """The angle of a ReLU comes from the gap: E[relu u relu v] = σσ'/2π of independent u and v."""
    x = images(4, 2)
    net = nk.ConvLocal(4, 3, w_std=1.3, b_std=0.2)
    q = np.einsum("iipp->ip", nk.nngp(net, x))
    k = nk.nngp(net >> RELU, x)
    expected = np.sqrt(q[:, None, :, None] * q[None, :, None, :]) / (2 * np.pi)
    apart = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(k[:, :, apart], expected[:, :, apart], rtol=1e-12)


def test_a_local_convolution_is_its_matrix():
    x = images(3, 3, 2)
    net = nk.ConvLocal(5, (2, 3), stride=(1, 2), w_std=0.8, b_std=0.3, w_lr=0.5, b_lr=2.0)
    assert_finite_is_infinite(net, x)


def assert_finite_is_infinite(net: nk.Layer, x: np.ndarray) -> None:
    """Of one linear layer the tangent kernel does not depend on the weights: J R Jᵀ of one channel, R the rates."""
    with jax.enable_x64(True):
        params, shape = net.init(jax.random.key(1), x.shape[1:])
        jacobian = jax.jacobian(lambda p: net.apply(p, x)[..., 0])(params)
        rates = net.rates(params)
        k = sum(
            np.einsum(
                "aw,bw,w->ab", flat := np.reshape(j, (len(x) * math.prod(shape[:-1]), -1)), flat, np.ravel(r)
            )
            for j, r in zip(jax.tree.leaves(jacobian), jax.tree.leaves(rates), strict=True)
        )
    positions = math.prod(shape[:-1])
    found = k.reshape(len(x), positions, len(x), positions).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(nk.ntk(net, x), found, rtol=0, atol=1e-12 * np.abs(found).max())


def test_the_fused_engine_refuses_local_convolutions():
    net = nk.ConvLocal(4, 3) >> RELU >> nk.GlobalAvgPool()
    with pytest.raises(InputError, match="no instruction for weights that are not shared"):
        nk.kernel(net, images(5, 2), engine="fused")


# Groups ---------------------------------------------------------------------------------------------------------------


def test_groups_do_not_change_the_limit():
    x = images(5, 4)

    def net(**options):
        return (
            nk.Conv(8, 3, **WEIGHTS)
            >> RELU
            >> nk.Conv(12, 3, **WEIGHTS, **options)
            >> RELU
            >> nk.GlobalAvgPool()
        )

    assert_equal_kernels(net(groups=4), net(), x, tolerance=0)
    assert_equal_kernels(net(groups=4), net(), x, engine="fused")
    assert nk.from_spec(nk.to_spec(net(groups=4))) == net(groups=4)


def test_a_grouped_convolution_is_one_of_each_group():
    """Finite networks read groups in order, and divide by the fan-in of a group."""
    x = images(5, 6)
    net, one = nk.Conv(4, 3, groups=2, w_std=1.3, b_std=0.3), nk.Conv(2, 3, w_std=1.3, b_std=0.3)
    params, shape = net.init(jax.random.key(0), (5, 6))
    assert params["W"].shape == (3, 3, 4)
    assert shape == (5, 4)
    for group in range(2):
        ins, outs = slice(3 * group, 3 * group + 3), slice(2 * group, 2 * group + 2)
        alone = one.apply({"W": params["W"][..., outs], "b": params["b"][outs]}, x[..., ins])
        np.testing.assert_allclose(net.apply(params, x)[..., outs], alone, rtol=1e-5, atol=1e-6)


def test_depthwise_networks_are_finite():
    net = nk.Conv(6, 3, groups=3)
    params, _ = net.init(jax.random.key(0), (5, 3))
    assert net.apply(params, images(5, 3)).shape == (4, 5, 6)


GROUPS_REFUSED = {
    "the data": (nk.Conv(4, 3, groups=2), "since they are the data"),
    "normed data": (nk.RMSNorm() >> nk.Conv(4, 3, groups=2), "since they are the data"),
    "branches": (
        nk.Concat((nk.Conv(4, 3), nk.Conv(4, 1) >> RELU)) >> nk.Conv(4, 3, groups=2),
        "come from different branches or positions",
    ),
    "depthwise": (
        nk.Conv(4, 3) >> RELU >> nk.Conv(4, 3, groups=4),
        "one channel \\(a depthwise convolution\\)",
    ),
}


@pytest.mark.parametrize("name", GROUPS_REFUSED)
def test_groups_that_are_not_alike_are_refused(name):
    net, why = GROUPS_REFUSED[name]
    with pytest.raises(NoClosedFormError, match=why) as caught:
        nk.kernel(net >> nk.GlobalAvgPool(), images(5, 4))
    assert "Remedy" in str(caught.value)


def test_groups_divide_channels():
    with pytest.raises(InputError, match="groups must divide the channels, found 3 groups and 4 outputs"):
        nk.Conv(4, 3, groups=3)
    with pytest.raises(InputError, match="groups must be a whole number of at least 1"):
        nk.Conv(4, 3, groups=0)
    for ask in (
        lambda: nk.Conv(6, 3, groups=3).init(jax.random.key(0), (5, 4)),
        lambda: nk.kernel(nk.Conv(4, 1) >> nk.Conv(6, 3, groups=3), images(5, 2)),
    ):
        with pytest.raises(InputError, match="3 groups and 4 inputs"):
            ask()


# Transposed convolutions ----------------------------------------------------------------------------------------------


def taps_as_matrices(
    n: int, size: int, stride: int, low: int, outputs: int, dilation: int = 1
) -> list[np.ndarray]:
    """Of each tap, which input each output reads: input i stands at i·stride, tap t of output o at o + dilation·t − low."""
    o, i = np.arange(outputs)[:, None], np.arange(n)[None, :]
    return [(i * stride == o + dilation * t - low).astype(float) for t in range(size)]


# (size, stride, padding, dilation), then the outputs of 3 inputs and the zeros below, as by jax.lax.conv_transpose.
TRANSPOSED = [
    ((3, 1, "SAME", 1), 3, 1),
    ((3, 2, "SAME", 1), 6, 2),
    ((4, 2, "SAME", 1), 6, 2),
    ((2, 3, "SAME", 1), 9, 1),
    ((3, 2, "VALID", 1), 7, 2),
    ((2, 3, "VALID", 1), 9, 1),
    ((2, 2, "VALID", 3), 8, 3),
]


@pytest.mark.parametrize(("options", "outputs", "low"), TRANSPOSED)
def test_a_transposed_convolution_is_its_matrices(options, outputs, low):
    x = images(3, 2)
    size, stride, _, dilation = options
    net = nk.ConvTranspose(4, *options, **WEIGHTS)
    matrices = taps_as_matrices(3, size, stride, low, outputs, dilation)
    data = np.einsum("ipc,jqc->ijpq", x, x) / 2
    read = sum(m @ data @ m.T for m in matrices) / size
    scale, shift = WEIGHTS["w_std"] ** 2, WEIGHTS["b_std"] ** 2
    k = nk.kernel(net, x)
    np.testing.assert_allclose(k.nngp, scale * read + shift, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(k.ntk, 0.7 * scale * read + 1.2 * shift, rtol=1e-12, atol=1e-14)


def test_a_finite_transposed_convolution_has_the_kernel_of_its_jacobian():
    net = nk.ConvTranspose(3, (3, 2), (2, 3), "SAME", w_std=0.8, b_std=0.3, w_lr=0.5, b_lr=2.0)
    assert_finite_is_infinite(net, images(2, 3, 2))
    assert_finite_is_infinite(nk.ConvTranspose(3, 2, 2, "VALID", 2, w_std=0.8), images(3, 2))


def test_a_transposed_convolution_reads_inputs_set_apart():
    """Between nonlinearities too, where gaps to the zeros count: the data with zeros between them, then a convolution."""
    x = images(3, 2, 2)
    apart = np.zeros((4, 5, 4, 2))
    apart[:, ::2, ::3] = x

    def rest(layer):
        return layer >> RELU >> nk.ConvTranspose(3, 3, 2, w_std=1.4) >> RELU >> nk.GlobalAvgPool()

    transposed = rest(nk.ConvTranspose(3, (3, 2), (2, 3), **WEIGHTS))
    plain = rest(nk.Conv(3, (3, 2), padding=((2, 1), (1, 2)), **WEIGHTS))
    for k, other in zip(nk.kernel(transposed, x), nk.kernel(plain, apart), strict=True):
        np.testing.assert_allclose(k, other, rtol=1e-12, atol=1e-14)


def test_a_transposed_convolution_of_stride_one_is_a_convolution():
    x = images(4, 3, 2)
    nets = [c(3, 3, **WEIGHTS) >> RELU >> nk.Flatten() for c in (nk.ConvTranspose, nk.Conv)]
    assert_equal_kernels(*nets, x)
    assert_engines_agree(nets[0], x)


def test_near_duplicates_behind_a_transposed_convolution():
    x = images(3, 2)
    x[1] = x[0] + 1e-4 * x[3]
    net = nk.ConvTranspose(4, 3, 2, w_std=1.4) >> RELU
    net = net >> nk.ConvTranspose(4, 2, 2, "VALID") >> RELU >> nk.GlobalAvgPool() >> nk.Dense(1)
    for k, other in zip(nk.kernel(net, x.astype(np.float32)), nk.kernel(net, x), strict=True):
        np.testing.assert_allclose(k, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())


def test_sketches_of_transposed_convolutions():
    net = nk.ConvTranspose(4, 3, 2, **WEIGHTS) >> nk.GlobalAvgPool()
    x = images(3, 4, 2)
    sketch = nk.features.sketch(net, x.shape[1:], dimension=4096)
    np.testing.assert_allclose(sketch(x).nngp, nk.nngp(net, x), rtol=0, atol=1e-10)


def test_transposed_convolutions_that_are_refused():
    with pytest.raises(InputError, match="ConvTranspose: padding must be one of SAME, VALID, found"):
        nk.ConvTranspose(4, 3, padding="CIRCULAR")
    with pytest.raises(InputError, match="ConvTranspose: padding must be one of SAME, VALID, found"):
        nk.ConvTranspose(4, 3, padding=((1, 1),))
    with pytest.raises(InputError, match="ConvTranspose: needs inputs with 1 dimensions"):
        nk.kernel(nk.ConvTranspose(4, (3,)), images(3, 3, 2))
    with pytest.raises(InputError, match="no instruction for zeros between positions, as by ConvTranspose"):
        nk.kernel(nk.ConvTranspose(4, 3, 2) >> nk.GlobalAvgPool(), images(3, 2), engine="fused")


# Local average pooling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["CIRCULAR", "SAME"])
def test_local_average_pooling_is_a_mean_over_boxes(padding):
    """Li et al.: the mean over all shifts of both images by up to c, then over positions that are equal."""
    x = images(5, 3, 2)
    conv = nk.Conv(4, 3, **WEIGHTS) >> RELU
    k = nk.ntk(conv, x).reshape(4, 4, 5, 3, 5, 3)
    shifted, inside = np.zeros((4, 4)), range(-1, 2)
    for dy, dx, ey, ex, y, p in itertools.product(inside, inside, inside, inside, range(5), range(3)):
        (a, b), (c, d) = (y + dy, p + dx), (y + ey, p + ex)
        if padding == "CIRCULAR":
            shifted += k[:, :, a % 5, b % 3, c % 5, d % 3]
        elif 0 <= a < 5 and 0 <= b < 3 and 0 <= c < 5 and 0 <= d < 3:
            shifted += k[:, :, a, b, c, d]
    net = conv >> nk.AvgPool(3, stride=1, padding=padding) >> nk.Flatten()
    np.testing.assert_allclose(nk.ntk(net, x), shifted / 9**2 / 15, rtol=1e-12)


def test_local_average_pooling_lies_between_none_and_global():
    x = images(5, 5, 2)
    options = {"depth": 2, "width": 4}
    assert_equal_kernels(nk.zoo.cnn_lap(radius=2, **options), nk.zoo.cnn_gap(**options), x)
    assert_equal_kernels(nk.zoo.cnn_lap(radius=0, **options), nk.zoo.cnn(**options), x)
    assert_engines_agree(nk.zoo.cnn_lap(radius=1, **options), x)


@pytest.mark.parametrize("radius", [-1, 1.0, True])
def test_radii_that_are_none(radius):
    with pytest.raises(InputError, match="radius must be a whole number of at least 0"):
        nk.zoo.cnn_lap(radius=radius)
