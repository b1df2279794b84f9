"""One row for every public layer: a layer, the shape of one of its inputs, which laws do not apply to it.

A row is `slow` that compiles for long, or has a relative in the table that is not: of Tanh's family all but Tanh, of ReLU's
LeakyRelu and Abs, of sums over positions those beside the means.
"""

from typing import NamedTuple

import jax.numpy as jnp

import ntkit as nk


class Row(NamedTuple):
    layer: nk.Layer
    shape: tuple[int | None, ...]
    without: tuple[str, ...] = ()
    slow: bool = False


VECTOR = (4,)
LINE = (5, 2)
IMAGE = (3, 4, 2)

TABLE = [
    # weights
    Row(nk.Dense(4, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), VECTOR),
    Row(nk.StandardDense(4, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), VECTOR),
    Row(nk.Conv(2, 3, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), LINE),
    Row(nk.Conv(2, (2, 3), stride=(1, 2), padding="VALID", w_std=1.3), IMAGE),
    Row(nk.StandardConv(2, 3, stride=2, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), LINE, slow=True),
    Row(nk.ConvLocal(2, 3, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), LINE),
    Row(nk.ConvTranspose(2, 3, 2, w_std=1.3, b_std=0.4, w_lr=0.7, b_lr=1.2), (3, 2)),
    # graphs
    Row(nk.Aggregate(), (None, 4)),
    Row(nk.Aggregate("mean", self_loops=0.7), (None, 4)),
    Row(nk.Aggregate("symmetric", self_loops=1.0, steps=3, teleport=0.2), (None, 4), slow=True),
    # sequences
    Row(nk.SelfAttention(2, 2, 2, 2, w_key_std=1.2, w_query_std=0.9, b_std=0.3, w_lr=0.7), LINE),
    Row(nk.SelfAttention(2, 2, 2, 2, causal=True, w_value_std=1.3), LINE, slow=True),
    Row(nk.PositionalEncoding(0.8, 0.6, 0.7), LINE),
    Row(nk.RNN(2, nk.Relu(), w_std=1.2, u_std=0.9, b_std=0.3, w_lr=0.7, b_lr=1.2), LINE),
    Row(nk.RNN(2, reverse=True, w_std=1.2), LINE, slow=True),
    Row(nk.Last(), LINE),
    # positions
    Row(nk.AvgPool(2), (4, 4, 2)),
    Row(nk.SumPool(3, stride=2, padding="CIRCULAR"), LINE, slow=True),
    Row(nk.GlobalAvgPool(), IMAGE),
    Row(nk.GlobalSumPool(), LINE, slow=True),
    Row(nk.Flatten(), IMAGE),
    Row(nk.Index((1, (None, None, 2))), IMAGE),
    Row(nk.ImageResize((2, 5)), IMAGE, slow=True),
    # branches
    Row(nk.Identity(), VECTOR),
    Row(nk.Residual(nk.Relu() >> nk.Dense(4, w_std=0.8, b_std=0.2)), VECTOR),
    Row(nk.Sum((nk.Erf(), nk.Dense(4, w_std=0.8))), VECTOR),
    Row(nk.Product((nk.Dense(4, b_std=0.5), nk.Relu() >> nk.Dense(4))), VECTOR, slow=True),
    Row(nk.Concat((nk.Dense(3) >> nk.Relu(), nk.Dense(1) >> nk.Erf())), VECTOR),
    Row(nk.Serial((nk.Relu(), nk.Dense(4, w_std=1.2))), VECTOR),
    Row(nk.Repeat(nk.Erf() >> nk.Dense(4, w_std=1.2, b_std=0.3), 3), VECTOR),
    # others
    Row(nk.LayerNorm(), VECTOR),
    Row(nk.LayerNorm("channels_and_space"), LINE),
    Row(nk.RMSNorm(), VECTOR),
    Row(nk.RMSNorm("channels_and_space"), LINE, slow=True),
    Row(nk.Dropout(0.3), VECTOR),
    # activations
    Row(nk.Relu(), VECTOR),
    Row(nk.LeakyRelu(0.2), VECTOR, slow=True),
    Row(nk.ABRelu(-0.4, 1.1), VECTOR),
    Row(nk.Abs(), VECTOR, slow=True),
    Row(nk.Erf(1.2, 0.8, 0.3), VECTOR),
    Row(nk.Gelu(), VECTOR),
    Row(nk.Sin(1.1, 0.9, 0.3), VECTOR),
    Row(nk.Cos(1.1, 0.9, 0.3), VECTOR, slow=True),
    Row(nk.Rbf(0.7), VECTOR),
    Row(nk.Gaussian(1.1, -0.6), VECTOR),
    Row(nk.Exp(0.8, 0.6), VECTOR, slow=True),
    Row(
        nk.ExpNormalized(0.9, -1.0), VECTOR, without=("duals_are_moments_of_the_function",)
    ),  # not elementwise
    Row(nk.Monomial(2), VECTOR),
    Row(nk.Hermite(3), VECTOR),
    Row(nk.Polynomial((0.3, -0.8, 0.2)), VECTOR),
    Row(nk.RectifiedMonomial(2), VECTOR, slow=True),
    Row(nk.Gabor(), VECTOR, slow=True),
    Row(nk.Sign(), VECTOR),
    Row(nk.Step(), VECTOR),
]

# More settings of layers that are in the table: for the slow tests.
VARIANTS = [
    # At logits near 0 the kink makes finite networks differ by 1/√key_width, which the law on them does not allow for.
    Row(
        nk.SelfAttention(2, 2, 2, 2, mechanism="relu", causal=True, w_value_std=1.3),
        LINE,
        without=("finite_networks_agree",),
    ),
    Row(nk.Conv(2, 3, padding="CIRCULAR", dilation=2, w_std=1.3), LINE),
    Row(nk.Conv(2, (1, 2, 3), stride=(1, 1, 2), w_std=1.3, b_std=0.3), (1, 2, 3, 2)),
    Row(nk.Conv(2, 3, stride=2, padding=((2, 0),), w_std=1.3, b_std=0.3), LINE),
    Row(nk.AvgPool((2, 3), stride=1, padding="SAME"), IMAGE),
    Row(nk.AvgPool(2, stride=1, padding=((1, 0),)), LINE),
    Row(nk.SumPool(2, stride=1), IMAGE),
    Row(nk.Dropout(0.3), LINE),
    Row(nk.Relu(), LINE),
    Row(nk.Abs(), IMAGE),
    Row(nk.Sign(), LINE),
    Row(nk.Residual(nk.Relu() >> nk.Conv(2, 3, w_std=0.8)), LINE),
    Row(nk.Monomial(3), VECTOR),
    Row(nk.RectifiedMonomial(1), VECTOR),
    Row(nk.LayerNorm("channels_and_space"), VECTOR),
    Row(nk.Relu() >> nk.RMSNorm(), VECTOR),
    Row(nk.Conv(4, 3, w_std=1.3, b_std=0.4, groups=2), (5, 4)),
    Row(nk.ConvTranspose(2, (1, 2), (1, 3), "VALID", w_std=1.3, b_std=0.3), (2, 2, 2)),
    Row(nk.ConvLocal(2, (2, 3), stride=(1, 2), padding="VALID", w_std=1.3), IMAGE),
    Row(nk.ConvLocal(2, 3, w_std=1.2, b_std=0.3) >> nk.Relu() >> nk.ConvLocal(2, 2) >> nk.AvgPool(2), LINE),
    Row(nk.ImageResize((4,), "cubic"), LINE),
]

# Layers without a closed form keep the laws of finite networks alone; tests/test_monte_carlo_layers.py has theirs.
SAMPLED = [
    Row(nk.BatchNorm(epsilon=0.01), IMAGE),
    Row(nk.BatchNorm(), VECTOR),
    Row(nk.MaxPool(2), (4, 4, 2)),
    Row(nk.MaxPool((2, 3), stride=1, padding="SAME"), IMAGE),
]

# Exported by ntkit.activations since moments by quadrature are.
NUMERICAL = {
    "Tanh": lambda: Row(nk.Tanh(), VECTOR),
    "Sigmoid": lambda: Row(nk.Sigmoid(), VECTOR, slow=True),
    "Softplus": lambda: Row(nk.Softplus(), VECTOR, slow=True),
    "Silu": lambda: Row(nk.Silu(), VECTOR, slow=True),
    "Elu": lambda: Row(nk.Elu(0.8), VECTOR, slow=True),
    "Elementwise": lambda: Row(nk.Elementwise(softsign), VECTOR, without=("spec_round_trips",), slow=True),
}


def softsign(x):
    return x / (1 + jnp.abs(x))


TABLE += [row() for name, row in NUMERICAL.items() if hasattr(nk, name)]
