"""The layers that are not activations."""

from ntkit.layers.attention import SelfAttention
from ntkit.layers.batch_norm import BatchNorm
from ntkit.layers.branch import Concat, Identity, Product, Residual, Sum
from ntkit.layers.conv import Conv, StandardConv
from ntkit.layers.dense import Dense, StandardDense
from ntkit.layers.dropout import Dropout
from ntkit.layers.graph import Aggregate
from ntkit.layers.max_pool import MaxPool
from ntkit.layers.norm import LayerNorm
from ntkit.layers.pool import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from ntkit.layers.positional_encoding import PositionalEncoding
from ntkit.layers.positions import Flatten, ImageResize, Index
from ntkit.layers.recurrence import RNN, Last
from ntkit.layers.repeat import Repeat

__all__ = [
    "RNN",
    "Aggregate",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Identity",
    "ImageResize",
    "Index",
    "Last",
    "LayerNorm",
    "MaxPool",
    "PositionalEncoding",
    "Product",
    "Repeat",
    "Residual",
    "SelfAttention",
    "StandardConv",
    "StandardDense",
    "Sum",
    "SumPool",
]
