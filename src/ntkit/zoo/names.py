"""`ZOO`, architectures by name: each a function of options that all have defaults."""

from collections.abc import Callable

from ntkit.layer import Layer
from ntkit.zoo.graphs import appnp, gcn, gcnii, gntk, graph_resnet
from ntkit.zoo.images import cnn, cnn_gap, cnn_lap, myrtle5, myrtle7, myrtle10, resnet
from ntkit.zoo.sequences import rnn, transformer
from ntkit.zoo.vectors import mlp

ZOO: dict[str, Callable[..., Layer]] = {
    "mlp": mlp,
    "cnn": cnn,
    "cnn_gap": cnn_gap,
    "cnn_lap": cnn_lap,
    "myrtle5": myrtle5,
    "myrtle7": myrtle7,
    "myrtle10": myrtle10,
    "resnet": resnet,
    "gntk": gntk,
    "graph_resnet": graph_resnet,
    "gcn": gcn,
    "appnp": appnp,
    "gcnii": gcnii,
    "transformer": transformer,
    "rnn": rnn,
}
