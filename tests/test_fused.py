"""The fused engine has the kernels of the reference engine, on every network that it takes."""

import json
import re

import hypothesis
import hypothesis.strategies as st
import jax
import mpmath
import numpy as np
import pytest

import ntkit as nk
from ntkit.engines.fused import approximations, tile
from ntkit.engines.fused.compile import BeyondEngine
from ntkit.engines.fused.tile import Engine
from ntkit.errors import InputError, NoClosedFormError
from ntkit.tape import record
from oracle_cases import CASES, load, relative_error

CHANNELS = 2
WEIGHTS = {"w_std": 1.3, "b_std": 0.3, "w_lr": 0.7, "b_lr": 1.2}
LINES = [nk.Relu(), nk.LeakyRelu(0.2), nk.ABRelu(-0.5, 1.2), nk.Abs()]


def close(found: nk.KernelPair, expected: nk.KernelPair, tolerance: float) -> None:
    """Within `tolerance` of the diagonal, which the kernels of one batch with itself show."""
    for name, a, b in zip(found._fields, found, expected, strict=True):
        own = np.sqrt(np.diagonal(b))
        off = np.max(np.abs(a - b) / np.maximum(np.outer(own, own), 1e-300))
        assert off <= tolerance, (name, off)


def examples(n: int, shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    """Examples at random, one of them twice, one negated, one zero."""
    x = np.random.default_rng(3).normal(size=(n, *shape))
    if n > 3:
        x[1], x[2], x[3] = x[0], -x[0], 0.0
    return x.astype(dtype)


# Random networks ------------------------------------------------------------------------------------------------------


@st.composite
def networks(draw) -> tuple[nk.Layer, tuple[int, ...]]:
    """A network of what the engine takes, and the shape of its inputs."""
    dimensions = draw(st.integers(1, 2))
    grid = tuple(draw(st.lists(st.integers(1, 7), min_size=dimensions, max_size=dimensions)))
    around = draw(st.booleans())
    layers: list[nk.Layer] = []
    for _ in range(draw(st.integers(1, 3))):
        layers += draw(stages(around))
        if draw(st.booleans()):
            layers.append(
                draw(st.sampled_from([nk.AvgPool(2), nk.SumPool(2, 1), nk.AvgPool((2,) * dimensions, 1)]))
            )
    layers.append(draw(st.sampled_from([nk.GlobalAvgPool(), nk.GlobalSumPool(), nk.Flatten()])))
    layers += draw(
        st.sampled_from([[], [nk.Dense(3), nk.Relu(), nk.Dense(1)], [nk.StandardDense(2, b_std=0.1)]])
    )
    return nk.Serial((*layers, nk.Dense(1, **WEIGHTS))), (*grid, CHANNELS)


@st.composite
def stages(draw, around: bool) -> list[nk.Layer]:
    padding = "CIRCULAR" if around else draw(st.sampled_from(["SAME", "VALID"]))
    size, stride = draw(st.sampled_from([1, 2, 3, 5])), draw(st.sampled_from([1, 1, 2]))
    conv = draw(st.sampled_from([nk.Conv, nk.StandardConv]))
    layers = [
        conv(CHANNELS, size, stride, padding, draw(st.sampled_from([1, 1, 2])), **WEIGHTS),
        draw(st.sampled_from(LINES)),
    ]
    same = "CIRCULAR" if around else "SAME"
    body = nk.Relu() >> nk.Conv(CHANNELS, 3, padding=same, **WEIGHTS)
    twice = nk.Sum((nk.Conv(CHANNELS, 1, 2, same), nk.Relu() >> nk.Conv(CHANNELS, 3, 2, same)))
    more = [nk.Dropout(0.3), nk.Dense(CHANNELS, **WEIGHTS), nk.Identity()]
    if draw(st.booleans()):
        layers += [
            nk.Dense(CHANNELS, **WEIGHTS),
            draw(st.sampled_from([nk.Residual(body), twice, nk.Repeat(body, 2)])),
        ]
    return [*layers, draw(st.sampled_from(more))]


def check(drawn: tuple[nk.Layer, tuple[int, ...]], rows: int, dtype: type, tolerance: float) -> None:
    net, shape = drawn
    x = examples(rows, shape, dtype)
    try:
        expected = nk.kernel(net, x.astype(np.float64), engine="reference")
    except (InputError, NoClosedFormError):
        hypothesis.reject()
    if beyond(net, shape):
        hypothesis.reject()
    found = nk.kernel(net, x, engine="fused")
    close(found, expected, tolerance)
    assert all(k.dtype == dtype for k in found)
    for k in found:
        np.testing.assert_array_equal(k, k.T)
    cross = nk.kernel(net, x[:2], x[rows // 2 :], engine="fused")
    if not any(isinstance(layer, nk.Dropout) for layer in net.layers):
        for a, b in zip(cross, found, strict=True):
            np.testing.assert_allclose(a, b[:2, rows // 2 :], rtol=tolerance, atol=tolerance * np.max(b))


def beyond(net: nk.Layer, shape: tuple[int, ...]) -> str:
    """Why the engine does not take a network, or nothing."""
    try:
        Engine(net, shape)
    except InputError as error:
        return str(error)
    return ""


def law(count: int, dtype: type, tolerance: float):
    @hypothesis.settings(
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(networks(), st.sampled_from([1, 2, 5, 18]))
    def run(drawn: tuple[nk.Layer, tuple[int, ...]], rows: int) -> None:
        check(drawn, rows, dtype, tolerance)

    run()


def test_random_networks():
    law(3, np.float64, 1e-9)


# Angles of rows that a pool makes nearly equal are known to the root of rounding.
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-7), (np.float32, 3e-3)])
def test_many_random_networks(dtype: type, tolerance: float):
    law(80, dtype, tolerance)


def test_a_stage_around_the_edge_below_one_that_is_not():
    conv = nk.Conv(2, 3, padding="CIRCULAR", **WEIGHTS)
    net = (
        nk.Conv(2, 1, **WEIGHTS)
        >> nk.Abs()
        >> nk.SumPool(2, 1)
        >> conv
        >> nk.Relu()
        >> nk.Flatten()
        >> nk.Dense(1)
    )
    x = examples(5, (6, 3, 2))
    close(nk.kernel(net, x, engine="fused"), nk.kernel(net, x, engine="reference"), 1e-9)


def test_single_precision_of_a_deep_network():
    net = nk.Serial(
        (*(nk.Conv(4, 3, w_std=2**0.5) >> nk.Relu()).layers * 20, nk.GlobalAvgPool(), nk.Dense(1))
    )
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    found, expected = (
        nk.kernel(net, x, engine="fused"),
        nk.kernel(net, x.astype(np.float64), engine="reference"),
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6)


ACTIVATIONS = [
    nk.Erf(1.2, 0.7, 0.3),
    nk.Gelu(),
    nk.Sin(1.1, 0.8, 0.4),
    nk.Cos(1.1, 0.8, 0.4),
    nk.Rbf(0.6),
    nk.Softplus(),
    nk.Polynomial((0.1, 0.5, 0.2)),
    nk.Exp(b=0.5),
    nk.Gaussian(b=-0.3),
]


def lines_alone(case: dict) -> bool:
    """Whether all activations are half-lines: the others are compiled for long, and `test_activations` has them."""
    names = set(re.findall(r'"layer": "(\w+)"', json.dumps(case["spec"])))
    return not names & {
        type(f).__name__ for f in [*ACTIVATIONS, nk.Tanh(), nk.Sigmoid(), nk.Silu(), nk.Elu()]
    }


COVERED = [
    pytest.param(case, id=case["name"], marks=[] if lines_alone(case) else [pytest.mark.slow])
    for case in CASES
    if case["family"] in {"fc", "cnn", "branch", "dropout"}
]


@pytest.mark.parametrize("case", COVERED)
@pytest.mark.every(3)
def test_cases_of_the_oracle(case: dict):
    arrays, net = load(case), nk.from_spec(case["spec"])
    try:
        found = nk.kernel(net, arrays["x1"], arrays["x2"], engine="fused")
    except BeyondEngine as beyond_it:
        pytest.skip(str(beyond_it))
    for name in ("nngp", "ntk"):
        rows, columns = arrays[f"{name}_diag1"], arrays[f"{name}_diag2"]
        assert relative_error(getattr(found, name), arrays[name], rows, columns) <= 1e-8


# Blocks ---------------------------------------------------------------------------------------------------------------

NET = (
    nk.Conv(3, 3, **WEIGHTS) >> nk.Relu() >> nk.AvgPool(2) >> nk.Conv(3, 3) >> nk.Relu() >> nk.GlobalAvgPool()
)


@pytest.mark.parametrize("n", [1, tile.LANES, tile.LANES + 1])
def test_numbers_of_lanes(n: int):
    x = examples(n, (4, 5, 2))
    close(nk.kernel(NET, x, engine="fused"), nk.kernel(NET, x, engine="reference"), 1e-12)


def test_tiles_change_nothing():
    x = examples(20, (4, 5, 2))
    whole = nk.kernel(NET, x, engine="fused")
    memory = 12 * Engine(NET, x.shape[1:]).bytes_per_example()
    for a, b in zip(nk.kernel(NET, x, engine="fused", memory=memory), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_a_pool_to_one_pixel_with_layers_behind_it():
    net = (
        nk.Conv(3, 3, **WEIGHTS)
        >> nk.Relu()
        >> nk.AvgPool((4, 5))
        >> nk.Conv(3, 1, **WEIGHTS)
        >> nk.Relu()
        >> nk.Flatten()
        >> nk.Dense(1)
    )
    x = examples(5, (4, 5, 2))
    close(nk.kernel(net, x, engine="fused"), nk.kernel(net, x, engine="reference"), 1e-12)


def test_one_kernel_alone():
    x = examples(5, (4, 5, 2))
    pair = nk.kernel(NET, x, engine="fused")
    np.testing.assert_allclose(nk.nngp(NET, x, engine="fused"), pair.nngp, rtol=1e-12)
    np.testing.assert_array_equal(nk.ntk(NET, x, engine="fused"), pair.ntk)


# Activations ----------------------------------------------------------------------------------------------------------


def check_activation(activation: nk.Layer, dtype: type, tolerance: float) -> None:
    x = near_duplicates((4, 3, 2))
    stage = nk.Conv(2, 3, w_std=0.8, b_std=0.2) >> activation
    net = stage >> nk.AvgPool(2, 1) >> stage >> nk.GlobalAvgPool() >> nk.Dense(1)
    expected = nk.kernel(net, x, engine="reference")
    close(nk.kernel(net, x.astype(dtype), engine="fused"), expected, tolerance)


def near_duplicates(shape: tuple[int, ...]) -> np.ndarray:
    """Examples of which one nearly is another."""
    x = examples(6, shape)
    x[4] = x[0] * (1 + 1e-5 * x[5])
    return x


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda f: type(f).__name__)
@pytest.mark.every(3)
def test_activations(activation: nk.Layer):
    check_activation(activation, np.float64, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda f: type(f).__name__)
def test_activations_in_single_precision(activation: nk.Layer):
    check_activation(activation, np.float32, 2e-6)


def test_a_series_that_does_not_end():
    x = 100 * examples(3, (4,))
    with pytest.raises(
        InputError, match=r"no instruction for Tanh at variance .* its series leave an error of"
    ):
        nk.kernel(nk.Dense(2) >> nk.Tanh() >> nk.Dense(1), x, engine="fused")


# What it does not take ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "shape", "what"),
    [
        (nk.Dense(2) >> nk.LayerNorm() >> nk.Dense(1), (3,), "a normalisation such as LayerNorm"),
        (nk.Dense(2) >> nk.Sign() >> nk.Dense(1), (3,), "Sign"),
        (nk.Dense(2) >> nk.ExpNormalized() >> nk.Dense(1), (3,), "ExpNormalized"),
        (nk.Conv(2, 3) >> nk.Index(0) >> nk.Dense(1), (3, 2), "chosen positions, as by Index"),
        (nk.Dense(2) >> nk.Product((nk.Dense(2), nk.Dense(2))), (3,), "a product of branches"),
        (nk.Dense(2) >> nk.Concat((nk.Dense(2), nk.Dense(2))), (3,), "branches side by side"),
        (nk.Conv(2, 3) >> nk.Relu(), (3, 2), "a network that ends with positions"),
        (nk.Conv(2, 2) >> nk.GlobalAvgPool(), (2, 2, 2, 1), "grids of three dimensions"),
        (
            nk.Conv(2, 3) >> nk.Sum((nk.GlobalAvgPool(), nk.Dense(2) >> nk.GlobalAvgPool())),
            (3, 2),
            "a pool inside of a branch",
        ),
        (
            nk.SumPool(3, 2, "SAME") >> nk.Conv(2, 3) >> nk.Relu() >> nk.Flatten(),
            (4, 2),
            "a pool whose windows differ in weight",
        ),
        (
            nk.Conv(2, 3) >> nk.Conv(2, 3, padding="CIRCULAR") >> nk.Flatten(),
            (3, 2),
            "convolutions around the edge and others",
        ),
        (
            nk.Conv(2, 3, 2, "CIRCULAR") >> nk.Flatten(),
            (3, 2),
            "a stride around an edge that it does not divide",
        ),
        (
            nk.StandardDense(2, w_std=0.0, b_std=1.0) >> nk.Relu() >> nk.Dense(1),
            (3,),
            "trained weights of standard deviation 0",
        ),
    ],
)
def test_networks_beyond_it_are_named(net: nk.Layer, shape: tuple[int, ...], what: str):
    with pytest.raises(InputError, match=f"has no instruction for {what}.*use engine='reference'"):
        nk.kernel(net, np.ones((2, *shape)), engine="fused")


def test_facts_are_checked_as_in_the_reference_engine():
    with pytest.raises(NoClosedFormError, match="Relu: its input is not Gaussian"):
        nk.kernel(nk.Dense(2) >> nk.Relu() >> nk.Relu(), np.ones((2, 3)), engine="fused")


def test_branches_that_do_not_fit():
    net = nk.Conv(2, 3) >> nk.Sum((nk.Conv(2, 1, 2), nk.Conv(2, 3))) >> nk.Flatten()
    with pytest.raises(InputError, match="the branches end with positions"):
        record(net, (4, 2))


# Polynomials ----------------------------------------------------------------------------------------------------------


def horner(coefficients: tuple, x: float) -> mpmath.mpf:
    """A polynomial of a number, lowest power first."""
    total = mpmath.mpf(0)
    for c in reversed(coefficients):
        total = total * mpmath.mpf(float(x)) + mpmath.mpf(float(c))
    return total


@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-7), ("float64", 1e-12)])
def test_polynomials_of_angles(dtype: str, error: float):
    angles, _ = approximations.coefficients(dtype)
    with mpmath.workdps(40):
        for m in [1e-9, 1e-5, 0.01, 0.3, 0.77, 1.0]:
            angle = mpmath.acos(1 - mpmath.mpf(m))
            exact = angle / mpmath.sin(angle) / 2
            assert abs(horner(angles, m) / exact - 1) <= error


@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-7), ("float64", 3e-15)])
def test_polynomials_of_exponentials(dtype: str, error: float):
    _, exponentials = approximations.coefficients(dtype)
    with mpmath.workdps(40):
        for x in np.linspace(-0.346, 0.346, 9):
            assert abs(horner(exponentials, x) / mpmath.exp(mpmath.mpf(x)) - 1) <= error


def test_nothing_is_traced_by_it():
    slope = jax.grad(lambda x: nk.ntk(nk.Dense(2) >> nk.Relu() >> nk.Dense(1), x, engine="fused").sum())(
        np.ones((2, 3), np.float32)
    )
    assert np.isfinite(slope).all()
