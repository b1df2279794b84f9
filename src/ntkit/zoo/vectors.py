"""Architectures for plain vectors."""

from ntkit.layer import Layer, Serial
from ntkit.layers import Dense, Repeat
from ntkit.zoo.pieces import activation, count


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
    deeper = () if count("depth", depth) == 1 else (Repeat(hidden, depth - 1),)
    return Serial((*hidden.layers, *deeper, Dense(outputs)))
