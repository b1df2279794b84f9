"""The layers that are not activations."""

from ntkit.layers.branch import Concat, Identity, Product, Residual, Sum
from ntkit.layers.conv import Conv, StandardConv
from ntkit.layers.dense import Dense, StandardDense
from ntkit.layers.dropout import Dropout
from ntkit.layers.local import ConvLocal
from ntkit.layers.norm import LayerNorm, RMSNorm
from ntkit.layers.pool import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from ntkit.layers.positions import Flatten, ImageResize, Index
from ntkit.layers.repeat import Repeat
from ntkit.layers.transpose import ConvTranspose

__all__ = [
    "AvgPool",
    "Concat",
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Identity",
    "ImageResize",
    "Index",
    "LayerNorm",
    "Product",
    "RMSNorm",
    "Repeat",
    "Residual",
    "StandardConv",
    "StandardDense",
    "Sum",
    "SumPool",
]
