"""Laws of the storage layout: whatever is planned, left out or cut into tiles, the kernel is the same."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.engines import reference as engine
from ntkit.errors import InputError
from ntkit.moments import Extent, Moments, Need
from reference.position_matrices import EXACT, kernels

TOLERANCE = 1e-10 if EXACT else 1e-6
# Explicit matrices know the angle of patches that happen to be equal only to the root of rounding.
OF_EQUAL_PATCHES = 1e-7 if EXACT else 1e-6


def images(n: int, grid: tuple[int, ...], channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *grid, channels))


def close(
    value: np.ndarray, exact: np.ndarray, diag1: np.ndarray, diag2: np.ndarray, tolerance: float = TOLERANCE
) -> None:
    """The oracle's measure; positions at the end are taken with the largest diagonal entry of each example."""
    scale = np.sqrt(np.outer(diag1, diag2))
    scale = np.where(scale == 0, 1.0, scale).reshape(scale.shape + (1,) * (value.ndim - 2))
    assert value.shape == exact.shape
    assert np.max(np.abs(value - exact) / scale) <= tolerance


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


FEW, MANY = {1: 4, 2: 3, 3: 2}, {1: 60, 2: 40, 3: 20}
counts = [pytest.param(d, n, id=f"{d}-D", marks=[pytest.mark.slow] * (d != 2)) for d, n in FEW.items()]
counts += [pytest.param(d, n, id=f"{d}-D-many", marks=pytest.mark.slow) for d, n in MANY.items()]


@pytest.mark.parametrize(("dimensions", "count"), counts)
def test_planned_kernels_are_those_of_explicit_matrices_over_all_positions(
    dimensions: int, count: int
) -> None:
    @hypothesis.settings(
        max_examples=count, phases=[hypothesis.Phase.generate]
    )  # to shrink takes many programs
    @hypothesis.given(stacks(dimensions))
    def law(drawn: tuple[nk.Layer, tuple[int, ...]]) -> None:
        net, grid = drawn
        x = images(5, grid)
        exact = nk.KernelPair(*kernels(net, x))
        tiled = nk.kernel(net, x, memory=4 * engine.bytes_per_pair(net, (*grid, 3), 8))  # tiles of 2 by 2
        cross = nk.kernel(net, x[:2], x[2:4])
        alone = nk.kernels.diagonal(net, x[:2])
        tolerances = (TOLERANCE, OF_EQUAL_PATCHES)
        for all_pairs, part, own, truth, tolerance in zip(
            tiled, cross, alone, exact, tolerances, strict=True
        ):
            diagonal = largest_variances(truth)
            close(all_pairs, truth, diagonal, diagonal, tolerance)
            close(part, truth[:2, 2:4], diagonal[:2], diagonal[2:4], tolerance)
            truth_alone = np.einsum("ii...->i...", truth)[:2]
            assert np.max(np.abs(own - truth_alone).T / diagonal[:2]) <= tolerance
            np.testing.assert_array_equal(all_pairs, swapped(all_pairs))

    law()


def swapped(k: np.ndarray) -> np.ndarray:
    """Rows and columns exchanged, examples and positions alike."""
    return k.transpose(1, 0, 3, 2) if k.ndim == 4 else k.T


# Chosen stacks --------------------------------------------------------------------------------------------------------

RELU = nk.Relu()
NETS = {
    "flatten": (
        nk.Conv(7, 3, w_std=1.4) >> RELU >> nk.Conv(7, 3) >> RELU >> nk.Flatten() >> nk.Dense(1),
        (4, 5),
    ),
    "gap": (
        nk.Conv(7, 3, w_std=1.4) >> RELU >> nk.GlobalAvgPool() >> nk.Dense(7) >> RELU >> nk.Dense(1),
        (4, 5),
    ),
    "overlap": (
        nk.Conv(7, 3, padding="CIRCULAR") >> RELU >> nk.AvgPool(3, 2, "SAME") >> nk.Conv(7, 2) >> RELU,
        (5, 4),
    ),
}
nets = pytest.mark.parametrize(("net", "grid"), NETS.values(), ids=NETS.keys())


@nets
@pytest.mark.every(2)
def test_planned_kernels_are_those_with_everything_kept(net: nk.Layer, grid: tuple[int, ...]) -> None:
    x = images(4, grid)
    for planned, everything in zip(nk.kernel(net, x), nk.moments_by_layer(net, x)[-1][1], strict=True):
        diagonal = largest_variances(everything)
        close(planned, everything, diagonal, diagonal)


@nets
def test_equal_images_have_equal_rows_to_the_last_digit(net: nk.Layer, grid: tuple[int, ...]) -> None:
    x = images(4, grid)
    x = np.concatenate([x[:3], x[:1]])
    for k in nk.kernel(net, x):
        np.testing.assert_array_equal(k[0], k[3])
        np.testing.assert_array_equal(k[0, 0], k[0, 3])


def test_a_stack_without_pools_keeps_the_diagonal_alone() -> None:
    net, _ = NETS["flatten"]
    assert net.needs(Need(Extent.PAIRS, Extent.NONE)) == Need(Extent.DIAGONAL, Extent.DIAGONAL)
    pooled, _ = NETS["gap"]
    assert pooled.needs(Need(Extent.PAIRS, Extent.NONE)) == Need(Extent.PAIRS, Extent.PAIRS)
    linear = nk.Conv(7, 3) >> nk.GlobalAvgPool() >> nk.Dense(1)
    assert linear.needs(Need(Extent.PAIRS, Extent.NONE)) == Need(Extent.PAIRS, Extent.NONE)
    ends_nonlinear = nk.Conv(7, 3) >> RELU >> nk.GlobalAvgPool() >> nk.Dense(1)
    assert ends_nonlinear.needs(Need(Extent.PAIRS, Extent.NONE)) == Need(Extent.PAIRS, Extent.DIAGONAL)


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tiles_change_nothing_but_rounding() -> None:
    net, grid = NETS["gap"]
    x = images(9, grid)
    whole = nk.kernel(net, x)
    memory = 9 * engine.bytes_per_pair(net, (*grid, 3), 8)  # tiles of 3 by 3
    for rows, columns in [(slice(0, 7), None), (slice(0, 7), slice(4, 9)), (slice(8, 9), slice(0, 5))]:
        tiled = nk.kernel(net, x[rows], None if columns is None else x[columns], memory=memory)
        for k, t in zip(whole, tiled, strict=True):
            np.testing.assert_allclose(t, k[rows, rows if columns is None else columns], rtol=1e-13)


def test_tiles_of_kernels_with_positions() -> None:
    net, grid = NETS["overlap"]
    x = images(5, grid)
    tiled = nk.kernel(net, x, memory=4 * engine.bytes_per_pair(net, (*grid, 3), 8))
    for k, t in zip(nk.kernel(net, x), tiled, strict=True):
        assert t.shape == (5, 5, 6, 6)
        np.testing.assert_allclose(t, k, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(t, swapped(t))


def test_dropout_tells_equal_examples_of_two_tiles_from_one() -> None:
    net = nk.Dense(8) >> RELU >> nk.Dropout(0.5) >> nk.Dense(1)
    x = np.ones((5, 3))
    for memory in (2**30, 4 * engine.bytes_per_pair(net, (3,), 8)):
        k = nk.nngp(net, x, memory=memory)
        np.testing.assert_allclose(k, np.where(np.eye(5), 2 * k[0, 1], k[0, 1]), rtol=1e-14)
        np.testing.assert_allclose(nk.nngp(net, x, x, memory=memory), k[0, 1], rtol=1e-14)


def test_a_budget_below_one_pair_is_refused() -> None:
    net, grid = NETS["gap"]
    for compute in (nk.kernel, nk.kernels.diagonal):
        with pytest.raises(
            InputError, match=r"one pair of examples takes about \d+ MiB, more than memory=0 MiB"
        ):
            compute(net, images(2, grid), memory=1000)


BUDGETED = {
    "flatten": (NETS["flatten"][0], (6, 6), 12),
    "gap": (NETS["gap"][0], (6, 6), 1),
    "overlap": (NETS["overlap"][0], (6, 6), 4),
    "residual": (
        nk.Conv(7, 3)
        >> nk.Residual(RELU >> nk.Conv(7, 3))
        >> nk.LayerNorm()
        >> nk.Erf()
        >> nk.GlobalAvgPool(),
        (6, 6),
        8,
    ),
    "dense": (nk.Dense(7) >> RELU >> nk.Dense(7) >> nk.Gelu() >> nk.Dense(1), (), 64),
}


@pytest.mark.parametrize(("net", "grid", "n"), BUDGETED.values(), ids=BUDGETED.keys())
@pytest.mark.every(2)
def test_compiled_programs_stay_within_the_budget(
    net: nk.Layer, grid: tuple[int, ...], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, results and temporaries of every layer's program, as XLA counts them."""
    budget = n**2 * engine.bytes_per_pair(net, (*grid, 3), 8)
    peaks = []
    compiled_step = engine._compiled_step

    def counted(layer: nk.Layer, m: Moments, wanted: Need) -> Moments:
        program = engine._jitted_step.lower(
            layer, m.with_sources(range(len(m.facts.sources))), wanted
        ).compile()
        use = program.memory_analysis()
        peaks.append(use.temp_size_in_bytes + use.argument_size_in_bytes + use.output_size_in_bytes)
        return compiled_step(layer, m, wanted)

    monkeypatch.setattr(engine, "_compiled_step", counted)
    nk.kernel(net, images(n, grid))
    assert len(peaks) == len(net.layers)  # one tile
    assert max(peaks) <= budget
