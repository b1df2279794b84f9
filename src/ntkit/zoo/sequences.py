"""Architectures for sequences."""

from ntkit.layer import Layer
from ntkit.layers import (
    RNN,
    Concat,
    Dense,
    GlobalAvgPool,
    Identity,
    LayerNorm,
    PositionalEncoding,
    Repeat,
    SelfAttention,
    Sum,
)
from ntkit.zoo.pieces import activation, count


def transformer(
    *,
    depth: int = 2,
    heads: int = 4,
    width: int = 128,
    act: str = "gelu",
    w_std: float = 1.0,
    b_std: float = 0.1,
    position_std: float = 0.5,
    decay: float = 0.0,
    outputs: int = 1,
) -> Layer:
    """`depth` pre-norm blocks of attention and an MLP over positions with random encodings, then the mean over positions.

    Keys share their weights with queries (linear scaling of `SelfAttention`), so that the limit holds for any number of heads.

    References:
        Hron et al. (2020), "Infinite attention: NNGP and NTK for deep attention networks", section 4; Xiong et al. (2020), "On
        Layer Normalization in the Transformer Architecture", figure 1 (b).
    """
    attention = LayerNorm() >> SelfAttention(width, count("heads", heads), width, width)
    mlp = LayerNorm() >> Dense(width, w_std, b_std) >> activation(act) >> Dense(width, w_std, b_std)
    block = Sum((Identity(), attention)) >> Sum((Identity(), mlp))
    embedding = Dense(width, w_std, b_std) >> PositionalEncoding(position_std, decay)
    return embedding >> Repeat(block, count("depth", depth)) >> GlobalAvgPool() >> Dense(outputs)


def rnn(
    *,
    depth: int = 1,
    both_ways: bool = True,
    width: int = 128,
    act: str = "relu",
    w_std: float = 1.0,
    u_std: float = 1.0,
    b_std: float = 0.1,
    outputs: int = 1,
) -> Layer:
    """`depth` recurrent layers, each reading the sequence both ways unless told otherwise, then the mean over times.

    References:
        Alemohammad et al. (2021), "The Recurrent Neural Tangent Kernel", Theorem 1; Schuster & Paliwal (1997), "Bidirectional
        Recurrent Neural Networks".
    """
    ways = [RNN(width, activation(act), w_std, u_std, b_std, reverse=back) for back in (False, True)]
    layer: Layer = Concat(tuple(ways)) if both_ways else ways[0]
    net = layer
    for _ in range(count("depth", depth) - 1):
        net = net >> layer
    return net >> GlobalAvgPool() >> Dense(outputs)
