"""Architectures for graphs: with one output a graph, or one a node."""

from ntkit.errors import InputError
from ntkit.layer import Layer, Serial
from ntkit.layers import Aggregate, Dense, GlobalAvgPool, GlobalSumPool, Identity, Repeat, Sum
from ntkit.zoo.pieces import activation, count


def graph_conv(
    width: int,
    *,
    normalisation: str = "symmetric",
    self_loops: float = 1.0,
    w_std: float = 1.0,
    b_std: float = 0.0,
) -> Serial:
    """A graph convolution: sums over neighbours, then one map of each node's features. `Aggregate` and `Dense` in one.

    Args:
        width: Number of outputs, ≥ 1.
        normalisation: "sum", "mean" or "symmetric", as that of `Aggregate`.
        self_loops: Weight of the edge from each node to itself, ≥ 0.
        w_std: Standard deviation of the weights, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> path = nk.Graphs(np.eye(3), [0, 3], [[0, 1], [1, 2]])
        >>> net = nk.zoo.graph_conv(64) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.kernel(net, path).ntk.shape
        (1, 1)

    References:
        Kipf & Welling (2017), "Semi-Supervised Classification with Graph Convolutional Networks", equation (2).
    """
    return Aggregate(normalisation, self_loops) >> Dense(width, w_std, b_std)


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

    With scale="sum" it is the graph isomorphism network (Xu et al. 2019) with ε = 0.

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
    body += [activation(act), Dense(width, 2**0.5)] * count("mlp_layers", mlp_layers)
    head = GlobalSumPool() >> Dense(outputs, 2**0.5, w_lr=0.0)
    net: Layer = head
    for _ in range(count("blocks", blocks)):
        deeper = Serial((*body, *(net.layers if isinstance(net, Serial) else (net,))))
        net = Sum((head, deeper)) if jumping else deeper
    return Dense(width) >> net


def graph_resnet(
    *,
    depth: int = 4,
    width: int = 128,
    act: str = "relu",
    w_std: float = 1.0,
    b_std: float = 0.0,
    outputs: int = 1,
) -> Layer:
    """A residual graph network: `depth` pre-activation graph convolutions beside skips, then the mean over nodes.

    References:
        Li, Müller, Thabet & Ghanem (2019), "DeepGCNs: Can GCNs Go as Deep as CNNs?", equation (4).
    """
    body = activation(act) >> graph_conv(width, w_std=w_std, b_std=b_std)
    blocks = Repeat(Sum((Identity(), body)), count("depth", depth))
    return Dense(width) >> blocks >> activation(act) >> GlobalAvgPool() >> Dense(outputs)


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
    hidden = [*graph_conv(width, w_std=w_std, b_std=b_std).layers, activation(act)]
    return Serial((*hidden * (count("depth", depth) - 1), *graph_conv(outputs).layers))


def appnp(
    *,
    depth: int = 1,
    steps: int = 10,
    teleport: float = 0.1,
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    b_std: float = 0.0,
    outputs: int = 1,
) -> Layer:
    """An MLP of each node of one graph, then `steps` of personalised PageRank (Gasteiger et al. 2019, equation (4))."""
    hidden = [Dense(width, w_std, b_std), activation(act)] * count("depth", depth)
    return Serial((*hidden, Dense(outputs), Aggregate("symmetric", 1.0, steps, teleport)))


def gcnii(
    *,
    depth: int = 4,
    alpha: float = 0.1,
    width: int = 128,
    act: str = "relu",
    w_std: float = 2**0.5,
    outputs: int = 1,
) -> Layer:
    """A deep graph convolutional network for the nodes of one graph, each layer beside a skip from the first one.

    H⁽ˡ⁺¹⁾ = σ((1 − α) P H⁽ˡ⁾ W + α H⁽⁰⁾ V), with P the symmetric normalisation: the variant of GCNII whose skips have weights
    V of their own, without identity mappings (β = 1). As a tree of layers each skip has its own H⁽⁰⁾; V being independent and
    centred, the kernels are those of the network that shares one.

    Args:
        depth: Graph convolutions, ≥ 1.
        alpha: What the first layer counts in each sum, from 0 to 1.
        width: Of the hidden layers.
        act: Name of the activation.
        w_std: Standard deviation of the weights, ≥ 0.
        outputs: Outputs of each node.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> path = nk.Graphs(np.eye(3), [0, 3], [[0, 1], [1, 2]])
        >>> nk.ntk(nk.zoo.gcnii(depth=2), path).shape
        (3, 3)

    References:
        Chen, Wei, Huang, Ding & Li (2020), "Simple and Deep Graph Convolutional Networks", sections 3 and 5.1 (GCNII*).
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must lie between 0 and 1, found {alpha!r}")
    first = Dense(width) >> activation(act)
    net: Layer = first
    for _ in range(count("depth", depth)):
        skip = first >> Dense(width, alpha * w_std)
        net = Sum((net >> graph_conv(width, w_std=(1 - alpha) * w_std), skip)) >> activation(act)
    return net >> Dense(outputs)
