"""Architectures by name: each a few lines of public layers."""

from ntkit.zoo.graphs import appnp, gcn, gcnii, gntk, graph_conv, graph_resnet
from ntkit.zoo.images import cnn, cnn_gap, cnn_lap, myrtle5, myrtle7, myrtle10, resnet
from ntkit.zoo.names import ZOO
from ntkit.zoo.pieces import activation
from ntkit.zoo.sequences import rnn, transformer
from ntkit.zoo.vectors import mlp

__all__ = [
    "ZOO",
    "activation",
    "appnp",
    "cnn",
    "cnn_gap",
    "cnn_lap",
    "gcn",
    "gcnii",
    "gntk",
    "graph_conv",
    "graph_resnet",
    "mlp",
    "myrtle5",
    "myrtle7",
    "myrtle10",
    "resnet",
    "rnn",
    "transformer",
]
