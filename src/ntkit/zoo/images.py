"""Architectures for images."""

from ntkit.errors import InputError
from ntkit.layer import Layer, Serial
from ntkit.layers import AvgPool, Conv, Dense, Flatten, GlobalAvgPool, Identity, Repeat, Sum
from ntkit.zoo.pieces import activation, count


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
        for block in range(count("blocks", blocks)):
            net = net >> _residual(width, act, w_std, b_std, stride if block == 0 else 1, project=block == 0)
    return net >> GlobalAvgPool() >> Dense(outputs)


def _convolutions(depth: int, width: int, act: str, w_std: float, b_std: float) -> Serial:
    hidden = Conv(width, 3, w_std=w_std, b_std=b_std) >> activation(act)
    deeper = () if count("depth", depth) == 1 else (Repeat(hidden, depth - 1),)
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
