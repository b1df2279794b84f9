"""Laws of the storage layout: whatever is planned, left out or cut into tiles, the kernel is the same."""

import math

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.engines import reference as engine
from ntkit.errors import InputError
from ntkit.moments import Extent, Need
from reference.position_matrices import EXACT, kernels

TOLERANCE = 1e-10 if EXACT else 1e-6


def images(n: int, grid: tuple[int, ...], channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *grid, channels))


def close(value: np.ndarray, exact: np.ndarray, diag1: np.ndarray, diag2: np.ndarray) -> None:
    """The oracle's measure; positions at the end are taken with the largest diagonal entry of each example."""
    scale = np.sqrt(np.outer(diag1, diag2))
    scale = np.where(scale == 0, 1.0, scale).reshape(scale.shape + (1,) * (value.ndim - 2))
    assert value.shape == exact.shape
    assert np.max(np.abs(value - exact) / scale) <= TOLERANCE


def largest_variances(k: np.ndarray) -> np.ndarray:
    own = np.einsum("ii...->i...", k)
    return own if own.ndim == 1 else np.einsum("ipp->ip", own).max(axis=1)


# Random stacks --------------------------------------------------------------------------------------------------------

PADDINGS = st.sampled_from(["SAME", "VALID", "CIRCULAR"])


def as_argument(draw: st.DrawFn, numbers: list[int]) -> int | tuple[int, ...]:
    """One number a dimension, or one for all where they agree."""
    return numbers[0] if len(set(numbers)) == 1 and draw(st.booleans()) else tuple(numbers)


@st.composite
def conv(draw: st.DrawFn, grid: tuple[int, ...]) -> nk.Layer:
    padding = draw(PADDINGS)
    dilation = [draw(st.integers(1, 2)) for _ in grid]
    fits = [(n - 1) // d + 1 if padding == "VALID" else 3 for n, d in zip(grid, dilation, strict=True)]
    size = [draw(st.integers(1, min(3, most))) for most in fits]
    stride = [draw(st.sampled_from([1, 1, 2])) for _ in grid]
    arguments = [as_argument(draw, numbers) for numbers in (size, stride)]
    return nk.Conv(
        7, *arguments, padding, as_argument(draw, dilation), 1.4, draw(st.sampled_from([0.0, 0.3]))
    )


@st.composite
def pool(draw: st.DrawFn, grid: tuple[int, ...]) -> nk.Layer:
    size = [draw(st.integers(1, min(3, n))) for n in grid]
    stride = None if draw(st.booleans()) else tuple(draw(st.integers(1, 2)) for _ in grid)
    cls = draw(st.sampled_from([nk.AvgPool, nk.SumPool]))
    return cls(as_argument(draw, size), stride, draw(PADDINGS))


@st.composite
def index(draw: st.DrawFn, grid: tuple[int, ...]) -> nk.Layer:
    entries = []
    for n in grid[: draw(st.integers(1, len(grid)))]:
        choices = [
            (None, None, 2),
            (None, None, -1),
            (n // 2, None, None),
            (None, -1 if n > 1 else None, None),
        ]
        entries.append(draw(st.sampled_from([draw(st.integers(-n, n - 1)), *choices])))
    return nk.Index(tuple(entries))


@st.composite
def resize(draw: st.DrawFn, grid: tuple[int, ...]) -> nk.Layer:
    size = tuple(draw(st.integers(1, 4)) for _ in grid)
    return nk.ImageResize(size, draw(st.sampled_from(["nearest", "linear", "cubic"])), draw(st.booleans()))


def layer_norm() -> st.SearchStrategy[nk.Layer]:
    return st.sampled_from([nk.LayerNorm("channels"), nk.LayerNorm("channels_and_space")])


@st.composite
def residual(draw: st.DrawFn, grid: tuple[int, ...]) -> nk.Layer:
    size = tuple(min(3, n) for n in grid)
    padding = draw(st.sampled_from(["SAME", "CIRCULAR"]))
    body = draw(nonlinearity()) >> nk.Conv(7, size, 1, padding, 1, 1.2, 0.1)
    return nk.Residual(draw(layer_norm()) >> body if draw(st.booleans()) else body)


def nonlinearity() -> st.SearchStrategy[nk.Layer]:
    return st.sampled_from([nk.Relu(), nk.Erf(1.3, 0.8, 0.2)])


def grid_after(layers: list[nk.Layer], grid: tuple[int, ...]) -> tuple[int, ...]:
    net = nk.Serial(layers)
    return jax.eval_shape(
        lambda key: net.apply(net.init(key, (*grid, 3))[0], np.zeros((1, *grid, 3)), key=key),
        jax.random.key(0),
    ).shape[1:-1]


ENDS = [
    (),
    (nk.Flatten(), nk.Dense(1)),
    (nk.GlobalAvgPool(), nk.Dense(1)),
    (nk.GlobalSumPool(), nk.Dense(1, b_std=0.5)),
    (nk.GlobalAvgPool(), nk.Dense(5), nk.Relu(), nk.Dense(1)),
    (nk.Dense(5), nk.Dropout(0.4), nk.GlobalAvgPool(), nk.Dense(1)),
]


@st.composite
def stacks(draw: st.DrawFn, dimensions: int) -> tuple[nk.Layer, tuple[int, ...]]:
    """A network over images of the given number of dimensions, and their extents."""
    first = grid = tuple(draw(st.integers(2, {1: 7, 2: 5, 3: 3}[dimensions])) for _ in range(dimensions))
    layers: list[nk.Layer] = []
    if draw(st.booleans()):
        layers.append(draw(st.one_of(pool(grid), index(grid), resize(grid))))
    for _ in range(draw(st.integers(1, 2))):
        grid = grid_after(layers, first) if layers else first
        if not grid:
            break
        layers.append(draw(conv(grid)))
        grid = grid_after(layers, first)
        kind = draw(st.sampled_from(["plain", "norm", "residual"]))
        layers += [draw(layer_norm())] if kind == "norm" else []
        layers += [draw(residual(grid))] if kind == "residual" else []
        layers.append(draw(nonlinearity()))
        if draw(st.booleans()):
            layers.append(draw(st.one_of(pool(grid), index(grid), resize(grid))))
    if layers and not grid_after(layers, first):
        layers.append(nk.Dense(1))
    else:
        layers += draw(st.sampled_from(ENDS))
    return nk.Serial(layers), first


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_planned_kernels_are_those_of_explicit_matrices_over_all_positions(dimensions: int) -> None:
    @hypothesis.settings(max_examples=8 if dimensions < 3 else 4)
    @hypothesis.given(stacks(dimensions))
    def law(drawn: tuple[nk.Layer, tuple[int, ...]]) -> None:
        net, grid = drawn
        x = images(5, grid)
        exact = nk.KernelPair(*kernels(net, x))
        tiled = nk.kernel(net, x, memory=4 * engine.bytes_per_pair(net, (*grid, 3), 8))  # tiles of 2 by 2
        cross = nk.kernel(net, x[:2], x[2:4])
        alone = nk.kernels.diagonal(net, x[:2])
        for all_pairs, part, own, truth in zip(tiled, cross, alone, exact, strict=True):
            diagonal = largest_variances(truth)
            close(all_pairs, truth, diagonal, diagonal)
            close(part, truth[:2, 2:4], diagonal[:2], diagonal[2:4])
            truth_alone = np.einsum("ii...->i...", truth)[:2]
            assert np.max(np.abs(own - truth_alone).T / diagonal[:2]) <= TOLERANCE
            np.testing.assert_array_equal(all_pairs, swapped(all_pairs))

    law()


def swapped(k: np.ndarray) -> np.ndarray:
    """Rows and columns exchanged, examples and positions alike."""
    return k.transpose(1, 0, 3, 2) if k.ndim == 4 else k.T
