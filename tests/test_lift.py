"""A lifted module's kernels are the limits of the module's own, over its library's own initialisation."""

from functools import partial

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import ntkit as nk
import ntkit.finite.torch
from ntkit.errors import InputError

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(-1, 1, size=(3, 48)).astype(np.float32)
IMAGES = RNG.uniform(-1, 1, size=(3, 6, 6, 8)).astype(np.float32)


class Block(nn.Module):
    """A residual block that begins with its nonlinearity."""

    def __init__(self, width):
        super().__init__()
        self.relu = nn.ReLU()
        self.first, self.last = (nn.Conv2d(width, width, 3, padding=1, bias=bias) for bias in (False, True))

    def forward(self, x):
        return x + self.last(self.relu(self.first(torch.relu(x))))


class ResNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(8, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.short = nn.Conv2d(width, width, 1)
        self.long = nn.Sequential(nn.GELU(), nn.Conv2d(width, width, 3, padding=1, padding_mode="circular"))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        x = torch.add(self.short(x), self.long(x))
        return self.head(torch.relu(x).mean((2, 3)))


# Each as (module of a key or seed and a width, examples).


def equinox_mlp(key, width):
    return eqx.nn.MLP(48, 4, width, 2, activation=jnp.tanh, key=key)


def equinox_net(key, width):
    a, b, c = jax.random.split(key, 3)
    layers = [eqx.nn.Conv2d(8, width, 3, padding=1, key=a), eqx.nn.Lambda(jax.nn.relu)]
    layers += [eqx.nn.AvgPool2d(2, 2), eqx.nn.Conv2d(width, width, 2, stride=1, key=b)]
    layers += [eqx.nn.Lambda(jax.nn.gelu), eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(4 * width, 4, key=c)]
    return eqx.nn.Sequential(layers)


def linen_mlp(width):
    norm = linen.LayerNorm(use_scale=False, use_bias=False)
    layers = [linen.Dense(width), norm, linen.relu, linen.Dense(width), linen.silu, linen.Dense(4)]
    return linen.Sequential(layers)


def linen_net(width):
    pool = partial(linen.avg_pool, window_shape=(2, 2), strides=(2, 2))
    layers = [linen.Conv(width, (3, 3), strides=2), linen.relu, linen.Conv(width, (3, 3), padding="CIRCULAR")]
    return linen.Sequential([pool, *layers, jnp.tanh, lambda x: x.mean((1, 2)), linen.Dense(4)])


def nnx_mlp(key, width):
    rngs = nnx.Rngs(params=key)
    first, second = nnx.Linear(48, width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)
    return nnx.Sequential(first, nnx.relu, second, nnx.elu, nnx.Linear(width, 4, use_bias=False, rngs=rngs))


def torch_mlp(width):
    layers = [nn.Linear(48, width), nn.LeakyReLU(0.2), nn.Linear(width, width, bias=False), nn.Softplus()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def torch_net(width):
    layers = [nn.Conv2d(8, width, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Conv2d(width, width, 2)]
    return nn.Sequential(*layers, nn.ELU(), nn.Flatten(), nn.Linear(4 * width, 4))


def of_equinox(make, width):
    rest = eqx.partition(make(jax.random.key(0), width), eqx.is_inexact_array)[1]

    def apply(params, x):
        return jax.vmap(eqx.combine(params, rest))(jnp.moveaxis(x, -1, 1))

    return lambda key, shape: (eqx.filter(make(key, width), eqx.is_inexact_array), (4,)), apply


def of_linen(make, width):
    module = make(width)
    return lambda key, shape: (module.init(key, jnp.ones((1, *shape))), (4,)), module.apply


def of_nnx(make, width):
    definition = nnx.split(make(jax.random.key(0), width))[0]
    return lambda key, shape: (nnx.split(make(key, width))[1], (4,)), lambda p, x: nnx.merge(definition, p)(x)


JAX = [
    (equinox_mlp, of_equinox, lambda width: equinox_mlp(jax.random.key(0), width), ROWS),
    (linen_mlp, of_linen, linen_mlp, ROWS),
    (nnx_mlp, of_nnx, lambda width: nnx_mlp(jax.random.key(0), width), ROWS),
    pytest.param(
        equinox_net,
        of_equinox,
        lambda width: equinox_net(jax.random.key(0), width),
        IMAGES,
        marks=pytest.mark.slow,
    ),
    pytest.param(linen_net, of_linen, linen_net, IMAGES, marks=pytest.mark.slow),
]


def near(found, error, limit):
    """Within the Monte Carlo error, and what is left of order 1/width and of the shape of uniform weights."""
    np.testing.assert_array_less(np.abs(found - limit), 5 * error + 0.02 * np.abs(limit).max())


@pytest.mark.every(3)
@pytest.mark.parametrize(("make", "pair", "original", "x"), JAX)
def test_kernels_of_jax_modules_approach_those_of_the_lifted_network(make, pair, original, x):
    width = 256 if x.ndim == 2 else 96
    limit = nk.kernel(nk.lift(original(width)), x)
    found = nk.sample(pair(make, width), x, key=jax.random.key(1), count=48)
    near(found.nngp, found.nngp_error, limit.nngp)
    near(found.ntk, found.ntk_error, limit.ntk)
    assert found.ntk_error.max() < 0.05 * limit.ntk.max()


@pytest.mark.parametrize(
    ("make", "x", "width", "count"),
    [
        (torch_mlp, ROWS, 256, 24),
        pytest.param(torch_net, IMAGES, 48, 16, marks=pytest.mark.slow),
        pytest.param(ResNet, IMAGES, 128, 60, marks=pytest.mark.slow),
    ],
)
def test_kernels_of_torch_models_approach_those_of_the_lifted_network(make, x, width, count):
    inputs = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    nngp, ntk = [], []
    for seed in range(count):
        torch.manual_seed(seed)
        model = make(width).eval()
        with torch.no_grad():
            y = model(inputs).numpy()
        nngp.append(y @ y.T / y.shape[1])
        ntk.append(ntkit.finite.torch.ntk(model, inputs, form="trace").numpy())
    limit = nk.kernel(nk.lift(model), x)
    for found, expected in ((nngp, limit.nngp), (ntk, limit.ntk)):
        near(np.mean(found, 0), np.std(found, 0) / (count - 1) ** 0.5, expected)


# What is said of layers ---------------------------------------------------------------------------------------------------

KEY = jax.random.key(0)
RNGS = nnx.Rngs(0)
ELEMENTWISE = [
    (nk.Relu(), nn.ReLU(), torch.relu, jax.nn.relu),
    (
        nk.LeakyRelu(0.3),
        nn.LeakyReLU(0.3),
        lambda x: nn.functional.leaky_relu(x, 0.3),
        lambda x: linen.leaky_relu(x, 0.3),
    ),
    (nk.Gelu(), nn.GELU(), nn.functional.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    (nk.Tanh(), nn.Tanh(), torch.tanh, jnp.tanh),
    (nk.Sigmoid(), nn.Sigmoid(), torch.sigmoid, linen.sigmoid),
    (nk.Elu(0.7), nn.ELU(0.7), lambda x: nn.functional.elu(x, 0.7), lambda x: jax.nn.elu(x, 0.7)),
    (nk.Silu(), nn.SiLU(), lambda x: x * torch.sigmoid(x), nnx.swish),
    (nk.Softplus(), nn.Softplus(), nn.functional.softplus, lambda x: jnp.log1p(jnp.exp(x))),
    (nk.Erf(), None, torch.erf, jax.lax.erf),
    (nk.Identity(), nn.Identity(), lambda x: x + 0, lambda x: x),
    (nk.Flatten(), nn.Flatten(), lambda x: x.view(x.size(0), -1), lambda x: x.reshape((x.shape[0], -1))),
]


class Calls(nn.Module):
    """A model of one function, with layers for it to use."""

    def __init__(self, fn, **modules):
        super().__init__()
        self.fn, self.conv = fn, nn.Conv2d(3, 4, 1)
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.fn(self, x)


@pytest.mark.parametrize(
    ("layer", "module", "function", "of_jax"), ELEMENTWISE, ids=lambda e: type(e).__name__
)
def test_functions_are_told_by_their_values(layer, module, function, of_jax):
    found = [
        nk.lift(linen.Sequential([of_jax])),
        nk.lift(nnx.Sequential(of_jax)),
        nk.lift(Calls(lambda _, x: function(x))),
    ]
    if module is not None:
        found += [nk.lift(module), nk.lift(nn.Sequential(module))]
    if not isinstance(layer, nk.Flatten):
        found.append(nk.lift(eqx.nn.Sequential([eqx.nn.Lambda(of_jax)])))
    assert [nk.to_spec(each) for each in found] == [nk.to_spec(layer)] * len(found)


def test_gelu_by_tanh_is_lifted_as_what_it_is():
    for net in (nk.lift(linen.Sequential([jax.nn.gelu])), nk.lift(nn.GELU(approximate="tanh"))):
        x = jnp.linspace(-3, 3, 7)
        np.testing.assert_allclose(net.fn(x), jax.nn.gelu(x, approximate=True))


def test_means_over_positions():
    ways = [
        lambda m, x: m.conv(x).mean((2, 3)),
        lambda m, x: torch.mean(m.conv(x), dim=[-1, -2], keepdim=True).flatten(1),
        lambda m, x: torch.flatten(nn.functional.adaptive_avg_pool2d(m.conv(x), 1), 1),
    ]
    for way in ways:
        layers = [type(layer).__name__ for layer in nk.lift(Calls(way)).layers]
        assert layers == ["StandardConv", "GlobalAvgPool"]
    windows = nk.lift(Calls(lambda m, x: nn.functional.avg_pool2d(m.conv(x), 3, 1, 1)))
    assert nk.to_spec(windows.layers[1]) == nk.to_spec(nk.AvgPool((3, 3), (1, 1), "SAME"))
    of_jax = nk.lift(
        eqx.nn.Sequential(
            [eqx.nn.Conv1d(2, 3, 3, key=KEY), eqx.nn.AdaptiveAvgPool1d(1), eqx.nn.Lambda(jnp.ravel)]
        )
    )
    assert isinstance(of_jax.layers[1], nk.GlobalAvgPool)


def test_scales():
    third = 3**-0.5
    linear = nn.Linear(12, 5)
    assert nk.to_spec(nk.lift(linear)) == nk.to_spec(nk.StandardDense(5, third, 1 / 6))
    assert nk.to_spec(nk.lift(nn.Conv1d(3, 5, 4, 2))) == nk.to_spec(
        nk.StandardConv(5, (4,), (2,), "VALID", (1,), third, 1 / 6)
    )
    assert nk.to_spec(nk.lift(eqx.nn.Linear(12, 5, key=KEY))) == nk.to_spec(nk.lift(linear))
    assert nk.to_spec(nk.lift(eqx.nn.Linear(12, 5, use_bias=False, key=KEY))) == nk.to_spec(
        nk.StandardDense(5, third, 0.0, b_lr=0.0)
    )
    assert nk.to_spec(nk.lift(linen.Dense(5))) == nk.to_spec(nk.StandardDense(5))
    assert nk.to_spec(nk.lift(linen.Dense(5), parametrisation="ntk")) == nk.to_spec(nk.Dense(5))
    assert nk.to_spec(nk.lift(linear.requires_grad_(False))) == nk.to_spec(
        nk.StandardDense(5, third, 1 / 6, 0.0, 0.0)
    )


def measured(width):
    module = linen.Dense(
        width, kernel_init=jax.nn.initializers.normal(0.2), bias_init=jax.nn.initializers.normal(0.3)
    )
    linear = nnx.Linear(100, width, kernel_init=module.kernel_init, bias_init=module.bias_init, rngs=RNGS)
    model = nn.Linear(100, width)
    nn.init.normal_(model.weight, std=0.2), nn.init.normal_(model.bias, std=0.3)
    return [module.bind(module.init(KEY, jnp.ones((1, 100)))), linear, model]


def test_scales_may_be_measured():
    for module in measured(4000):
        layer = nk.lift(module, init="measured")
        np.testing.assert_allclose([layer.w_std, layer.b_std], [2.0, 0.3], rtol=0.05)
    mlp = eqx.nn.MLP(40, 1, 60, 3, scan=True, key=KEY)
    layers = [layer for layer in nk.lift(mlp, init="measured").layers if isinstance(layer, nk.StandardDense)]
    assert len(layers) == 4
    stds = [np.sqrt(np.mean(np.square(mlp.layers[1].weight[i])) * 60) for i in range(2)]
    np.testing.assert_allclose([layer.w_std for layer in layers[1:3]], stds, rtol=1e-6)


def test_lifted_networks_go_through_json():
    modules = [torch_net(4), ResNet(4), nnx_mlp(KEY, 4), linen_net(4), equinox_mlp(KEY, 4)]
    for net in map(nk.lift, modules):
        assert nk.to_spec(nk.from_spec(nk.to_spec(net))) == nk.to_spec(net)


def test_dropout_is_lifted_in_training_mode():
    drop = nk.to_spec(nk.Dropout(0.25))
    on = [nn.Dropout(0.25), eqx.nn.Dropout(0.25), linen.Dropout(0.25), nnx.Dropout(0.25, rngs=RNGS)]
    on.append(Calls(lambda m, x: nn.functional.dropout(x, 0.25, m.training)))
    assert [nk.to_spec(nk.lift(module)) for module in on] == [drop] * 5
    off = [nn.Dropout(0.25).eval(), eqx.nn.Dropout(0.25, inference=True)]
    off += [linen.Dropout(0.25, deterministic=True), nnx.Dropout(0.25, deterministic=True)]
    assert all(isinstance(nk.lift(module), nk.Identity) for module in off)


def test_layer_norm_without_gain_and_bias():
    frozen = nn.LayerNorm(4).requires_grad_(False)
    plain = [
        frozen,
        nn.LayerNorm(4, elementwise_affine=False),
        nnx.LayerNorm(4, use_bias=False, use_scale=False, rngs=RNGS),
    ]
    plain.append(eqx.nn.LayerNorm(4, use_weight=False, use_bias=False))
    assert [nk.lift(module).over for module in plain] == ["channels"] * 4
    whole = nn.Sequential(nn.Conv1d(2, 4, 3), nn.LayerNorm((4, 5), elementwise_affine=False))
    assert nk.lift(whole).layers[1].over == "channels_and_space"


# What cannot be lifted ----------------------------------------------------------------------------------------------------


def conv(*args, **kwargs):
    return nn.Conv2d(3, 4, *args, **kwargs)


def hooked():
    module = nn.Linear(3, 3)
    module.register_forward_hook(lambda *_: None)
    return module


def tied():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def shared_branches(m, x):
    x = m.a(x)
    y = x + m.b(x)
    return y + m.c(x + y)


def overwriting(m, x):
    x = m.a(x)
    y = m.b(nn.functional.relu(m.drop(x), inplace=True))
    return y + x


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


LINEARS = {name: nn.Linear(3, 3) for name in "abc"}
LINEAR = linen.Dense(3)
REPORTS = [
    (nn.BatchNorm2d(3), r"0: BatchNorm2d: examples of a batch act on one another.*Monte Carlo \(nk.sample\)"),
    (linen.BatchNorm(), "the module: BatchNorm: examples of a batch"),
    (eqx.nn.MaxPool2d(2), "MaxPool2d: the maximum over positions has no closed form; use average pooling"),
    (nnx.Embed(3, 3, rngs=RNGS), "Embed: it takes numbers of tokens"),
    (nn.MultiheadAttention(4, 2), "0: MultiheadAttention: attention is none of ntkit's layers"),
    (eqx.nn.PReLU(0.2), "PReLU: its slope is trained"),
    (nn.Sequential(nn.PReLU()), "0: PReLU: its slope is trained"),
    (
        nn.Sequential(nn.Bilinear(1, 1, 1)),
        "0: Bilinear: no layer of ntkit is known to be the limit",
    ),
    (
        linen.Sequential([LINEAR, linen.relu, LINEAR]),
        r"layers\[2\]: tied weights: it shares one with layers\[0\]",
    ),
    (tied(), r"2: tied weights: it shares one with 0 \(the call _0\)"),
    (Calls(lambda m, x: m.a(torch.relu(m.a(x))), **LINEARS), "a: tied weights"),
    (hooked(), "Linear has hooks, which may change what it computes"),
    (
        conv(3, stride=2, padding=1, padding_mode="circular"),
        r"0: circular padding \(\(1, 1\), \(1, 1\)\) with kernel .* is none of ntkit's",
    ),
    (conv(3, padding=1, padding_mode="reflect"), "the padding 'reflect' is none of ntkit's"),
    (
        conv(3, padding="same", padding_mode="circular"),
        "padding same by circular is none of ntkit's; give numbers",
    ),
    (nn.Conv2d(4, 4, 3, groups=2), "a convolution of 2 groups"),
    (eqx.nn.Conv1d(4, 4, 3, groups=2, key=KEY), "a convolution of 2 groups"),
    (
        eqx.nn.Conv1d(4, 4, 3, padding="SAME", padding_mode="CIRCULAR", key=KEY),
        "padding SAME by CIRCULAR is none",
    ),
    (eqx.nn.Conv1d(4, 4, 3, padding="SAME_LOWER", key=KEY), "the padding 'SAME_LOWER' is none of ntkit's"),
    (linen.Conv(4, (3,), 2, padding="CIRCULAR"), "circular padding with a stride starts elsewhere"),
    (linen.Conv(4, (3,), input_dilation=2), "with groups, input dilation or a mask"),
    (nn.AvgPool2d(2, ceil_mode=True), "a pool with ceil_mode, a divisor of its own"),
    (eqx.nn.AvgPool2d(2, use_ceil=True), "a pool with use_ceil=True"),
    (
        partial(linen.avg_pool, window_shape=(3,), padding="SAME", count_include_pad=False),
        "an average that leaves out what was padded",
    ),
    (nn.AdaptiveAvgPool2d(2), "adaptive pooling to 2 depends on the image"),
    (eqx.nn.AdaptiveAvgPool2d(2), r"adaptive pooling to \(2, 2\) depends on the image"),
    (nn.Flatten(0), r"Flatten\(0, -1\) is not Flatten\(1, −1\)"),
    (
        nn.LayerNorm(3),
        "a trained gain or bias of its own adds to the tangent kernel; elementwise_affine=False",
    ),
    (linen.LayerNorm(), "a trained gain or bias of its own .* use_scale=False, use_bias=False"),
    (
        linen.LayerNorm(use_bias=False, use_scale=False, reduction_axes=(1, 2)),
        r"a LayerNorm over the axes \(1, 2\)",
    ),
    (
        nn.Sequential(conv(1), nn.LayerNorm(5, elementwise_affine=False)),
        "1: a LayerNorm over the last 1 axes, with 2 dim",
    ),
    (linen.Dropout(0.5, broadcast_dims=(0,)), "a Dropout whose masks are shared over axes"),
    (
        nn.Sequential(conv(1), nn.Linear(3, 3)),
        "1: a Linear on 2 dimensions of positions acts on the last of them",
    ),
    (
        nn.Sequential(conv(1), nn.AdaptiveAvgPool2d(1), conv(1)),
        "2: a convolution after all positions have been averaged",
    ),
    (eqx.nn.Linear("scalar", 3, key=KEY), 'a Linear of "scalar" takes or gives numbers'),
    (linen.Dense(3, kernel_init=jax.nn.initializers.normal()), "its initialiser is not the default"),
    (linen.Sequential([jnp.sort]), r"layers\[0\]: sort is no function that ntkit knows by its values"),
    (linen.Sequential([lambda x: x.mean(1)]), "<lambda> is no function"),
    (nn.Sequential(nn.Softmax(1)), "0: Softmax: no layer of ntkit is known to be the limit"),
    (Calls(lambda m, x: torch.matmul(x, x)), "matmul of x is no function.*where the number of dimensions"),
    (Calls(lambda m, x: m.conv(x).mean(1)), r"mean of conv is no function that ntkit knows by its values$"),
    (Calls(shared_branches, **LINEARS), "add_2: branches that share layers are not independent"),
    (
        Calls(overwriting, drop=nn.Dropout(), **LINEARS),
        "relu: it overwrites what add reads later; do not work in place",
    ),
    (
        Calls(lambda m, x: m.a(x) + m.own, own=nn.Parameter(torch.ones(3)), **LINEARS),
        "add: it adds own, a tensor of the model's",
    ),
    (Calls(lambda m, x: x if x.sum() > 0 else -x), r"torch.fx cannot trace the model \("),
    (Calls(lambda m, x: (x, x)), "the model returns several things"),
    (TwoInputs(), "the model's output depends on 2 inputs"),
    (nk.Relu(), "lift: Relu is a network of ntkit already"),
    (jnp.tanh, "expected a module of Equinox, Flax or PyTorch"),
]


@pytest.mark.parametrize(("module", "message"), REPORTS, ids=range(len(REPORTS)))
def test_what_cannot_be_lifted_is_said(module, message):
    if isinstance(module, partial):
        module = linen.Sequential([module])
    with pytest.raises(InputError, match=message):
        nk.lift(module)


def test_everything_is_said_at_once():
    layers = [
        conv(3, stride=2, padding=1, padding_mode="circular"),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 2),
    ]
    with pytest.raises(InputError) as found:
        nk.lift(nn.Sequential(nn.Sequential(*layers), nn.Softmax(1)))
    said = str(found.value).splitlines()
    assert said[0] == "lift: Sequential cannot be lifted:"
    assert [line.split(":")[0].strip() for line in said[1:]] == ["0.0", "0.1", "0.3", "1"]


def test_options_are_checked():
    with pytest.raises(InputError, match="parametrisation must be one of standard, ntk, found 'mup'"):
        nk.lift(nn.ReLU(), parametrisation="mup")
    with pytest.raises(InputError, match="init must be one of default, measured, found 'kaiming'"):
        nk.lift(nn.ReLU(), init="kaiming")
    with pytest.raises(InputError, match=r"it holds no weights; lift module.bind\(variables\)"):
        nk.lift(linen.Dense(3), init="measured")
