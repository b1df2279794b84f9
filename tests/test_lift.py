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
        self.stem = nn.Conv2d(8, width, 3, padding="same")
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
    layers = [linen.Dense(width), linen.relu, linen.LayerNorm(use_scale=False, use_bias=False)]
    return linen.Sequential([layers[0], layers[2], layers[1], linen.Dense(width), linen.silu, linen.Dense(4)])


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
        (torch_mlp, ROWS, 256, 40),
        (torch_net, IMAGES, 64, 40),
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
