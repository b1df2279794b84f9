"""Rows and networks on which the textbook recursions break: no silent NaN, no lost digits."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from ntkit.engines import reference as engine
from ntkit.errors import InputError
from ntkit.moments import Extent, Need
from reference import hard_rows
from reference.hard_rows import relu_network

# Single precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("b_std", [0.0, 0.3])
def test_single_precision_keeps_near_duplicates_apart(b_std: float) -> None:
    found = hard_rows.single_precision(b_std=b_std)
    assert found["ntk_error"] <= 1e-4
    assert found["nngp_error"] <= 1e-5
    assert found["ntk_eigenvalue"] >= -1
    assert found["nngp_eigenvalue"] >= -1


# Depth and scale ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-2)])
def test_a_thousand_layers(dtype: type, tolerance: float) -> None:
    x = np.random.default_rng(0).normal(size=(4, 6))
    x = np.concatenate([x, x[:1], -x[:1], x[:1] + 1e-3])
    nngp, ntk = hard_rows.errors_of_pairs(x, 1000, dtype=dtype)
    assert nngp <= tolerance
    assert ntk <= tolerance


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e20])
@pytest.mark.parametrize("layer", [nk.Relu(), nk.Erf(), nk.Gelu(), nk.Sin()], ids=lambda f: type(f).__name__)
def test_rows_of_any_norm_in_double_precision(scale: float, layer: nk.Layer) -> None:
    x = hard_rows.scaled_rows(scale)
    net = nk.Dense(8) >> layer >> nk.Dense(8) >> layer >> nk.Dense(1)
    kernels = nk.kernel(net, x)
    for k in kernels:
        assert np.isfinite(k).all()
        np.testing.assert_array_equal(k[0], k[3])
    if isinstance(layer, nk.Relu):
        for k, unscaled in zip(kernels, nk.kernel(net, hard_rows.scaled_rows(1.0)), strict=True):
            np.testing.assert_allclose(k[:5, :5] / scale**2, unscaled[:5, :5], rtol=1e-12)


@pytest.mark.parametrize(("scale", "what"), [(1e-20, "underflows"), (1e20, "overflows")])
def test_small_and_large_rows_in_single_precision_are_refused(scale: float, what: str) -> None:
    said = rf"row \d holds .*, whose square {what} float32; scale the data, or use dtype=float64"
    with pytest.raises(InputError, match=said):
        nk.kernel(relu_network(3), hard_rows.scaled_rows(scale).astype(np.float32))


def test_rows_beyond_double_precision_are_refused() -> None:
    with pytest.raises(InputError, match=r"row 0 holds .*, whose square underflows float64; scale the data$"):
        nk.kernel(relu_network(3), np.full((2, 3), 1e-160))


# Degenerate rows ------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "ABRelu": (-0.4, 1.3),
    "Elementwise": (jnp.tanh,),
    "Exp": (1.0, 0.3),
    "Hermite": (3,),
    "Monomial": (3,),
    "Polynomial": ((0.5, -1.0, 0.3),),
    "RectifiedMonomial": (2,),
}
ACTIVATIONS = {
    name: getattr(nk, name)
    for name in nk.activations.__all__
    if inspect.isclass(getattr(nk, name))
    and issubclass(getattr(nk, name), nk.Layer)
    and not inspect.isabstract(getattr(nk, name))
}


def degenerate_rows() -> np.ndarray:
    """A row, itself, itself negated, twice and three times itself, close to itself, zeros, zeros, another row."""
    x, other = np.random.default_rng(1).normal(size=(2, 4))
    return np.stack([x, x, -x, 2 * x, 3 * x, x + 1e-9, 0 * x, 0 * x, other])


# They compile for long.
quick_and_slow = [
    pytest.param(name, marks=[pytest.mark.slow] if name in {"Elementwise", "Elu"} else [])
    for name in sorted(ACTIVATIONS)
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", quick_and_slow)
@pytest.mark.every(5)
def test_zero_duplicate_negated_and_parallel_rows(name: str, dtype: type) -> None:
    f = ACTIVATIONS[name](*ARGUMENTS.get(name, ()))
    rate = 0.0 if getattr(f, "discontinuous", False) else 1.0
    net = nk.Dense(8, w_lr=rate) >> f >> nk.Dense(8, w_lr=rate) >> f >> nk.Dense(1)
    x = degenerate_rows().astype(dtype)
    kernels, alone = nk.kernel(net, x), nk.kernels.diagonal(net, x)
    for k, own in zip(kernels, alone, strict=True):
        assert np.isfinite(k).all()
        np.testing.assert_array_equal(k[0], k[1])  # equal rows
        np.testing.assert_array_equal(k[6], k[7])
        np.testing.assert_array_equal(k[0, 0], k[0, 1])  # and an example with its copy is one with itself
        np.testing.assert_allclose(np.diag(k), own, rtol=8 * np.finfo(dtype).eps)
        # Angles of multiples of a row, and of rows nearly opposite, are known to the square root of rounding, which a
        # jump takes the square root of once more.
        rows = [0, 1, 2, 6, 7, 8] if rate == 0 else [0, 1, 2, 5, 6, 7, 8]
        distinct = k[np.ix_(rows, rows)].astype(np.float64)
        tolerance = {np.float64: 1e-7, np.float32: 1e-5}[dtype]
        assert np.linalg.eigvalsh(distinct)[0] >= -tolerance * np.trace(distinct) / len(distinct)


@pytest.mark.parametrize(("depth", "b_std", "bound"), [(1, 0.0, 1e-14), (20, 0.0, 1e-8), (20, 0.3, 1e-13)])
def test_parallel_rows_lose_no_more_than_half_of_the_digits(depth: int, b_std: float, bound: float) -> None:
    nngp, ntk = hard_rows.errors_of_pairs(hard_rows.parallel_rows(), depth, b_std)
    assert nngp <= 1e-13
    assert ntk <= bound


# Images ---------------------------------------------------------------------------------------------------------------


def test_constant_images_on_a_torus_are_vectors() -> None:
    colours = np.random.default_rng(2).normal(size=(3, 4))
    colours = np.concatenate([colours, colours[:1], -colours[:1], 0 * colours[:1]])
    images = np.broadcast_to(colours[:, None, None], (6, 3, 4, 4))
    pools = [nk.GlobalAvgPool(), nk.Flatten()]
    dense = nk.Dense(8, 1.4, 0.1) >> nk.Relu() >> nk.Dense(8, 1.4, 0.1) >> nk.Relu() >> nk.Dense(1)
    for pool in pools:
        conv = nk.Conv(8, 3, padding="CIRCULAR", w_std=1.4, b_std=0.1)
        net = conv >> nk.Relu() >> conv >> nk.Relu() >> pool >> nk.Dense(1)
        for k, exact in zip(nk.kernel(net, images), nk.kernel(dense, colours), strict=True):
            np.testing.assert_allclose(k, exact, rtol=1e-9)


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
def test_zero_images_and_images_with_a_border_of_zeros(padding: str) -> None:
    x = np.random.default_rng(5).normal(size=(4, 5, 5, 2))
    x[1], x[2, :3], x[3] = 0.0, 0.0, 1.0
    conv = nk.Conv(8, 2, padding=padding)
    net = conv >> nk.Relu() >> conv >> nk.Erf() >> nk.AvgPool(2) >> conv >> nk.Relu() >> nk.GlobalAvgPool()
    for k in nk.kernel(net, x):
        assert np.isfinite(k).all()
        np.testing.assert_array_equal(k[1], 0.0)


# The gap --------------------------------------------------------------------------------------------------------------

CONV = nk.Conv(8, 2, w_std=1.3, b_std=0.2)
GRIDS = {
    "dense": (
        nk.Dense(8) >> nk.Relu() >> nk.Dense(8) >> nk.Erf() >> nk.Dense(8) >> nk.Gelu() >> nk.Dense(8),
        (),
    ),
    "pools": (
        CONV
        >> nk.Relu()
        >> nk.AvgPool(2, 1, "SAME")
        >> CONV
        >> nk.LayerNorm("channels_and_space")
        >> nk.Erf()
        >> nk.SumPool((2, 1))
        >> CONV
        >> nk.Relu()
        >> nk.GlobalAvgPool()
        >> nk.Dense(8)
        >> nk.Relu(),
        (4, 3),
    ),
    "branches": (
        CONV
        >> nk.Residual(nk.Relu() >> CONV)
        >> nk.Concat((CONV, CONV >> nk.Relu()))
        >> CONV
        >> nk.Product((CONV, CONV >> nk.Erf()))
        >> CONV
        >> nk.LayerNorm()
        >> nk.Relu()
        >> nk.Flatten()
        >> nk.Dense(8)
        >> nk.Relu(),
        (4, 3),
    ),
    "resized": (nk.ImageResize((3, 5)) >> CONV >> nk.Relu() >> nk.Index((1,)) >> nk.GlobalSumPool(), (4, 3)),
}


@pytest.mark.parametrize(("net", "grid"), GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.every(4)
def test_duplicates_have_a_gap_of_exactly_zero_after_every_layer(
    net: nk.Layer, grid: tuple[int, ...], dtype: type
) -> None:
    x = np.random.default_rng(6).normal(size=(3, *grid, 3)).astype(dtype)
    x = np.concatenate([x, x[:1]])
    rows = np.arange(4)
    every = Need(Extent.PAIRS, Extent.PAIRS)
    steps: list = []
    with jax.enable_x64(dtype == np.float64):
        m = engine._compiled_start(x, x, rows, -1 - rows, begin=every, wanted=every, tangent=True)
        engine._walk(net, m, "", steps, engine._compiled_step)
    for name, after in steps:
        gap = np.asarray(after.cross.diagonal().gap)
        np.testing.assert_array_equal(gap[rows, rows], 0.0, err_msg=name)
        np.testing.assert_array_equal(gap[0, 3], 0.0, err_msg=name)
        assert np.min(gap[0, 1]) > 0, name
