"""Networks at random, legal or not, out of all layers: for laws that hold of every network that is not refused."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

import ntkit as nk

WIDTH = 64

Choose = Callable[[Sequence], Any]

ACTIVATIONS = (nk.Relu(), nk.Erf(), nk.Abs(), nk.Sin(1.0, 1.0, 0.5), nk.Erf(1.0, 1.0, 0.4), nk.Tanh())
NORMS = (nk.LayerNorm(), nk.LayerNorm("channels_and_space"), nk.RMSNorm())


def network(choose: Choose, shape: tuple[int, ...], depth: int) -> nk.Layer:
    """A network for examples of this shape that ends with 32 outputs; `choose` takes one of several.

    Raises:
        InputError: The layers chosen do not fit together.
    """
    layers: list[nk.Layer] = [_weights(choose, shape, WIDTH)] if choose((True, True, False)) else []
    for _ in range(depth):
        layers.append(_stage(choose, _shape_after(layers, shape)))
    if len(_shape_after(layers, shape)) > 1:
        layers.append(choose((nk.GlobalAvgPool(), nk.Flatten())))
    return nk.Serial((*layers, nk.Dense(32, 1.1, 0.2)))


def _shape_after(layers: list[nk.Layer], shape: tuple[int, ...]) -> tuple[int, ...]:
    return nk.Serial(layers).init(jax.random.key(0), shape)[1] if layers else shape


def _weights(choose: Choose, shape: tuple[int, ...], width: int) -> nk.Layer:
    choices = [
        nk.Dense(width, 1.3, 0.3, b_lr=0.7),
        nk.StandardDense(width, 1.2, 0.3, w_lr=1 / WIDTH, b_lr=0.5),
    ]
    if len(shape) > 1:
        choices += [
            nk.Conv(width, 3, w_std=1.3, b_std=0.3),
            nk.Conv(width, 2, padding="CIRCULAR", w_std=1.3, w_lr=0.5),
            nk.Conv(width, 3, padding=((2, 0),) * (len(shape) - 1), w_std=1.3, groups=choose((1, 2))),
            nk.ConvLocal(width, 2, w_std=1.3, b_std=0.3),
        ]
    return choose(choices)


def _body(choose: Choose, shape: tuple[int, ...], most: int) -> nk.Layer:
    """Up to `most` layers that keep the shape."""
    layers = [nk.Identity()]
    for _ in range(choose(range(most + 1))):
        kinds = [choose(ACTIVATIONS), _weights(choose, shape, shape[-1]), nk.Dropout(0.4), choose(NORMS)]
        kinds += [nk.AvgPool(2, 1, "SAME")] * (len(shape) > 1 and min(shape[:-1]) > 1)
        layers.append(choose(kinds))
    return nk.Serial(layers)


def _stage(choose: Choose, shape: tuple[int, ...]) -> nk.Layer:
    kinds = [_plain, _plain, _branches]
    return choose(kinds + [_positions] * (len(shape) > 1))(choose, shape)


def _plain(choose: Choose, shape: tuple[int, ...]) -> nk.Layer:
    weights = _weights(choose, shape, WIDTH)
    return choose(
        (choose(ACTIVATIONS), choose(ACTIVATIONS), weights, weights, nk.Dropout(0.4), choose(NORMS))
    )


def _branches(choose: Choose, shape: tuple[int, ...]) -> nk.Layer:
    one, two = _body(choose, shape, 3), _body(choose, shape, 2)
    kinds = (nk.Residual(one), nk.Sum((one, two)), nk.Product((one, two)), nk.Concat((one, two)))
    return choose((*kinds, nk.Repeat(one, choose((1, 2, 3)))))


def _positions(choose: Choose, shape: tuple[int, ...]) -> nk.Layer:
    kinds = [
        nk.Index(0),
        nk.Flatten(),
        nk.GlobalAvgPool(),
        nk.ImageResize((3,) * (len(shape) - 1)),
        nk.AvgPool(3, 2, "CIRCULAR"),
    ]
    kinds += [
        nk.AvgPool(2),
        nk.SumPool(2, 1),
        nk.Conv(WIDTH, 2, 2, "VALID", w_std=1.3),
    ]
    small = max(shape[:-1]) < 4  # pairs of pixels grow 16-fold
    kinds += [nk.ConvTranspose(WIDTH, 2, 2, w_std=1.5)] * small
    return choose(kinds)
