"""Architectures by name: each a few lines of public layers."""

from collections.abc import Callable

from ntkit.errors import InputError
from ntkit.layer import Layer, Serial
from ntkit.layers import (
    Aggregate,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Identity,
    Repeat,
    Sum,
)
from ntkit.spec import from_spec, nearest


def activation(name: str) -> Layer:
    """The activation of a (case-insensitive) layer name, with its default hyperparameters.

    Raises:
        InputError: There is none of that name.
    """
    from ntkit.activations import Activation
    from ntkit.spec import layer_classes

    known = {n.lower(): n for n, cls in layer_classes().items() if issubclass(cls, Activation)}
    if name.lower() not in known:
        raise InputError(f"unknown activation {name!r}{nearest(name.lower(), known)}")
    return from_spec({"layer": known[name.lower()]})


def mlp(
    *,
    depth: int = 3,
    width: int = 512,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.1,
    outputs: int = 1,
) -> Layer:
    """A fully connected network with `depth` hidden layers."""
    hidden = Dense(width, w_std, b_std) >> activation(act)
    deeper = () if _count("depth", depth) == 1 else (Repeat(hidden, depth - 1),)
    return Serial((*hidden.layers, *deeper, Dense(outputs)))


def cnn(
    *,
    depth: int = 3,
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.1,
    outputs: int = 1,
) -> Layer:
    """`depth` 3×3 convolutions, then a dense readout of all positions (Flatten)."""
    return _convolutions(depth, width, act, w_std, b_std) >> Flatten() >> Dense(outputs)


def cnn_gap(
    *,
    depth: int = 3,
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.1,
    outputs: int = 1,
) -> Layer:
    """`depth` 3×3 convolutions, then the mean over positions (global average pooling)."""
    return _convolutions(depth, width, act, w_std, b_std) >> GlobalAvgPool() >> Dense(outputs)


def cnn_lap(
    *,
    depth: int = 3,
    radius: int = 2,
    padding: str = "CIRCULAR",
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.1,
    outputs: int = 1,
) -> Layer:
    """`depth` 3×3 convolutions, then the mean over a box around every position (LAP), and a dense readout.

    Between `cnn` (radius 0) and `cnn_gap` (a box as large as the image, round the edge): see Li et al. (2019), "Enhanced
    Convolutional Neural Tangent Kernels". `padding` is that of the pool, and "SAME" puts zeros outside.
    """
    if isinstance(radius, bool) or not isinstance(radius, int) or radius < 0:
        raise InputError(f"radius must be a whole number of at least 0, found {radius!r}")
    pool = AvgPool(2 * radius + 1, stride=1, padding=padding)
    return _convolutions(depth, width, act, w_std, b_std) >> pool >> Flatten() >> Dense(outputs)


def myrtle5(
    *, width: int = 128, act: str = "relu", w_std: float = 2**0.5, b_std: float = 0.0, outputs: int = 1
) -> Layer:
    """The Myrtle network with 5 weight layers (Shankar et al. 2020, "Neural kernels without tangents")."""
    return _myrtle((2, 1, 1), width, act, w_std, b_std, outputs)


def myrtle7(
    *, width: int = 128, act: str = "relu", w_std: float = 2**0.5, b_std: float = 0.0, outputs: int = 1
) -> Layer:
    """The Myrtle network with 7 weight layers (Shankar et al. 2020, "Neural kernels without tangents")."""
    return _myrtle((2, 2, 2), width, act, w_std, b_std, outputs)


def myrtle10(
    *, width: int = 128, act: str = "relu", w_std: float = 2**0.5, b_std: float = 0.0, outputs: int = 1
) -> Layer:
    """The Myrtle network with 10 weight layers (Shankar et al. 2020, "Neural kernels without tangents")."""
    return _myrtle((3, 3, 3), width, act, w_std, b_std, outputs)


def resnet(
    *,
    blocks: int = 2,
    width: int = 128,
    act: str = "relu",
    w_std: float = 1.0,
    b_std: float = 0.0,
    outputs: int = 1,
) -> Layer:
    """A wide residual network: three groups of `blocks` pre-activation blocks (Zagoruyko & Komodakis 2016, table 1)."""
    net: Layer = Conv(width, 3, w_std=w_std, b_std=b_std)
    for stride in (1, 2, 2):
        for block in range(_count("blocks", blocks)):
            net = net >> _residual(width, act, w_std, b_std, stride if block == 0 else 1, project=block == 0)
    return net >> GlobalAvgPool() >> Dense(outputs)


def gntk(
    *,
    blocks: int = 2,
    mlp_layers: int = 2,
    scale: str = "degree",
    jumping: bool = True,
    width: int = 128,
    act: str = "relu",
    outputs: int = 1,
) -> Layer:
    """The graph network of the GNTK (Du et al. 2019): `blocks` times an aggregation and an MLP, then the sum over all nodes.

    With ReLUs, C/2 times its NTK is the kernel of the paper for nodes with C features, as C times it is the output of the
    paper's program. C, since covariances of features are means over channels here and sums there, and ReLU networks without
    biases are homogeneous: Θ = Σ = F Fᵀ behind the first layer, up to that factor. Behind a block's aggregation each pair of
    ReLU and Dense(w_std = √2) takes Θ to Θ·Σ̇ + Σ with the paper's c_σ = 2, as a layer of its MLP. The readout's weights, of
    variance 2 and not trained, give 2 Σ_{u,v} Θ(u, v), which jumping knowledge adds up over the features and all blocks.

    Args:
        blocks: Aggregations; the paper's "layers" less one, ≥ 1.
        mlp_layers: Layers with a nonlinearity behind each aggregation, ≥ 1.
        scale: "sum", over each node's neighbours and itself; "degree", the mean.
        jumping: Whether the features and the outputs of all blocks are read, not those of the last alone.
        width: Of the hidden layers.
        act: Name of the activation.
        outputs: Outputs of the readout.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> path = nk.Graphs(np.eye(3), [0, 3], [[0, 1], [1, 2]])
        >>> float(nk.ntk(nk.zoo.gntk(blocks=1), path)[0, 0].round(4))
        7.8359

    References:
        Du, Hou, Salakhutdinov, Poczos, Wang & Xu (2019), "Graph Neural Tangent Kernel: Fusing Graph Neural Networks with
        Graph Kernels", section 3.
    """
    if scale not in ("sum", "degree"):
        raise InputError(f"scale must be 'sum' or 'degree', found {scale!r}")
    body: list[Layer] = [Aggregate("mean" if scale == "degree" else "sum", self_loops=1.0)]
    body += [activation(act), Dense(width, 2**0.5)] * _count("mlp_layers", mlp_layers)
    head = GlobalSumPool() >> Dense(outputs, 2**0.5, w_lr=0.0)
    net: Layer = head
    for _ in range(_count("blocks", blocks)):
        deeper = Serial((*body, *(net.layers if isinstance(net, Serial) else (net,))))
        net = Sum((head, deeper)) if jumping else deeper
    return Dense(width) >> net


def gcn(
    *,
    depth: int = 2,
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.0,
    outputs: int = 1,
) -> Layer:
    """A graph convolutional network of `depth` convolutions for the nodes of one graph (Kipf & Welling 2017, equation (8))."""
    convolution = [Aggregate("symmetric", self_loops=1.0), Dense(width, w_std, b_std), activation(act)]
    hidden = convolution * (_count("depth", depth) - 1)
    return Serial((*hidden, Aggregate("symmetric", self_loops=1.0), Dense(outputs)))


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
    "gcn": gcn,
}


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, found {value!r}")
    return value


def _convolutions(depth: int, width: int, act: str, w_std: float, b_std: float) -> Serial:
    hidden = Conv(width, 3, w_std=w_std, b_std=b_std) >> activation(act)
    deeper = () if _count("depth", depth) == 1 else (Repeat(hidden, depth - 1),)
    return Serial((*hidden.layers, *deeper))


def _myrtle(stages: tuple[int, ...], width: int, act: str, w_std: float, b_std: float, outputs: int) -> Layer:
    """Stages of 3×3 convolutions with 2×2 means between them, then the mean over the positions that are left."""
    layers: list[Layer] = []
    for i, convolutions in enumerate(stages):
        layers += [AvgPool(2)] * (i > 0)
        layers += [Conv(width, 3, w_std=w_std, b_std=b_std), activation(act)] * convolutions
    return Serial((*layers, GlobalAvgPool(), Dense(outputs)))


def _residual(width: int, act: str, w_std: float, b_std: float, stride: int, *, project: bool) -> Layer:
    body = activation(act) >> Conv(width, 3, stride=stride, w_std=w_std, b_std=b_std)
    body = body >> activation(act) >> Conv(width, 3, w_std=w_std, b_std=b_std)
    shortcut = Conv(width, 3, stride=stride, w_std=w_std, b_std=b_std) if project else Identity()
    return Sum((body, shortcut))
