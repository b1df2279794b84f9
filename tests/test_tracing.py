"""`nk.kernel` inside of JAX's transformations: jit, vmap, grad, over the data and over the network itself."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError

X1 = np.random.default_rng(0).normal(size=(3, 4))
X2 = np.random.default_rng(1).normal(size=(2, 4))
COMPILATION = "/jax/core/compile/backend_compile_duration"


def network(w_std: float = 1.3, b_std: float = 0.2) -> nk.Layer:
    return (
        nk.Dense(8, w_std, b_std)
        >> nk.Relu()
        >> nk.Dense(8, 0.9, 0.1)
        >> nk.Erf(1.2, 0.7, 0.1)
        >> nk.Dense(1)
    )


def conv_network() -> nk.Layer:
    return nk.Conv(8, 2, w_std=1.3, b_std=0.2) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1, 1.1)


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


# Values and types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x2", [None, X2], ids=["alone", "cross"])
def test_jit_is_eager(double_precision, x2: np.ndarray | None) -> None:
    outside = nk.kernel(network(), X1, x2)
    inside = jax.jit(lambda x1: nk.kernel(network(), x1, x2))(X1)
    for k, traced in zip(outside, inside, strict=True):
        assert type(k) is np.ndarray
        assert isinstance(traced, jax.Array)
        np.testing.assert_allclose(traced, k, rtol=1e-14)
    if x2 is None:
        np.testing.assert_array_equal(inside.ntk, inside.ntk.T)


def test_one_kernel_alone_inside_of_a_trace(double_precision) -> None:
    pair = nk.kernel(network(), X1, X2)
    np.testing.assert_allclose(jax.jit(lambda x: nk.nngp(network(), x, X2))(X1), pair.nngp, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(lambda x: nk.ntk(network(), X1, x))(X2), pair.ntk, rtol=1e-14)


def test_layers_and_diagonal_inside_of_a_trace(double_precision) -> None:
    pair = nk.kernel(network(), X1)
    steps = jax.jit(lambda x: [k for _, k in nk.moments_by_layer(network(), x)])(X1)
    np.testing.assert_allclose(steps[-1].ntk, pair.ntk, rtol=1e-14)
    alone = jax.jit(lambda x: nk.kernels.diagonal(network(), x))(X1)
    np.testing.assert_allclose(alone.ntk, np.diag(pair.ntk), rtol=1e-14)


def test_the_traces_own_setting_decides_on_the_dtype() -> None:
    def dtype_of(x: np.ndarray) -> np.dtype:
        return jax.jit(lambda x: nk.ntk(network(), x))(x).dtype

    assert dtype_of(X1) == np.float32  # as jax.numpy has it without x64
    with jax.enable_x64(True):
        assert dtype_of(X1) == np.float64
        assert dtype_of(X1.astype(np.float32)) == np.float32
        assert dtype_of(np.arange(8).reshape(2, 4)) == np.float64


def test_the_configuration_of_jax_stays_as_it_is() -> None:
    before = dict(jax.config.values)
    assert nk.ntk(network(), X1).dtype == np.float64
    with pytest.raises(InputError):
        nk.kernel(network(), X1[0])
    with pytest.raises(NoClosedFormError):
        nk.kernel(nk.Relu(), X1)
    assert dict(jax.config.values) == before
    assert jnp.ones(()).dtype == np.float32


@pytest.mark.parametrize(
    "convert",
    [int, np.float64, np.float32, np.int64, np.array, jnp.asarray],
    ids=["int", "float64", "float32", "int64", "array", "jax"],
)
def test_hyperparameters_of_any_number_type(convert) -> None:
    plain = nk.Dense(8, 2.0, 1.0) >> nk.Erf(2.0, 1.0) >> nk.Dense(1)
    given = nk.Dense(8, convert(2), convert(1)) >> nk.Erf(convert(2), convert(1)) >> nk.Dense(1)
    for k, expected in zip(nk.kernel(given, X1), nk.kernel(plain, X1), strict=True):
        assert k.dtype == np.float64
        np.testing.assert_array_equal(k, expected)
    single = nk.kernel(given, X1.astype(np.float32))
    assert single.ntk.dtype == single.nngp.dtype == np.float32


@pytest.mark.slow
def test_vmap_over_batches(double_precision) -> None:
    many = np.random.default_rng(2).normal(size=(3, 2, 4))
    mapped = jax.vmap(lambda x: nk.ntk(network(), x, X2))(many)
    np.testing.assert_allclose(mapped, [nk.ntk(network(), x, X2) for x in many], rtol=1e-13)


def test_vmap_over_hyperparameters(double_precision) -> None:
    stds = jnp.array([0.5, 1.0, 2.0])
    mapped = jax.vmap(lambda w: nk.kernel(network(w), X1))(stds)
    for k, w in enumerate(stds):
        alone = nk.kernel(network(float(w)), X1)
        np.testing.assert_allclose(mapped.ntk[k], alone.ntk, rtol=1e-13)
        np.testing.assert_allclose(mapped.nngp[k], alone.nngp, rtol=1e-13)


@pytest.mark.slow
def test_vmap_over_a_stack_of_networks(double_precision) -> None:
    nets = eqx.filter_vmap(network)(jnp.array([0.5, 2.0]), jnp.array([0.1, 0.3]))
    mapped = eqx.filter_vmap(lambda net: nk.ntk(net, X1))(nets)
    np.testing.assert_allclose(mapped[1], nk.ntk(network(2.0, 0.3), X1), rtol=1e-13)


def test_new_values_do_not_recompile() -> None:
    compiled: list[str] = []
    counting = True

    def listen(event: str, duration: float, **_) -> None:
        if counting and event == COMPILATION:
            compiled.append(event)

    nk.kernel(network(1.1, 0.3), X1)
    jitted = jax.jit(lambda net, x: nk.ntk(net, x))
    jitted(network(1.1, 0.3), X1)
    jax.monitoring.register_event_duration_secs_listener(listen)
    for value in (0.7, np.float64(0.8), 1):
        nk.kernel(network(value, value), X1)
        jitted(network(float(value), 0.1), X1)
    counting = False
    assert not compiled


# Derivatives ----------------------------------------------------------------------------------------------------------


def central_difference(f, x: np.ndarray, direction: np.ndarray, step: float = 1e-6) -> float:
    return float((f(x + step * direction) - f(x - step * direction)) / (2 * step))


@pytest.mark.parametrize("x2", [None, X2], ids=["alone", "cross"])
@pytest.mark.parametrize("which", ["nngp", "ntk"])
@pytest.mark.every(2)
def test_gradient_over_the_data(double_precision, which: str, x2: np.ndarray | None) -> None:
    weights = np.random.default_rng(3).normal(size=(3, 3 if x2 is None else 2))

    def f(x) -> jax.Array:
        return (getattr(nk.kernel(network(), x, x2), which) * weights).sum()

    gradient = jax.grad(f)(jnp.asarray(X1))
    direction = np.random.default_rng(4).normal(size=X1.shape)
    expected = central_difference(f, X1, direction)
    assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-6)


SMOOTH_NTK = nk.Dense(8, 1.3, 0.2) >> nk.Erf() >> nk.Dense(8) >> nk.Gelu() >> nk.Dense(1)


@pytest.mark.parametrize(
    ("net", "which"), [(network(), "nngp"), (SMOOTH_NTK, "ntk")], ids=["relu-nngp", "smooth-ntk"]
)
@pytest.mark.every(2)
def test_gradient_over_the_data_where_rows_coincide(double_precision, net: nk.Layer, which: str) -> None:
    """x1 = x2, and x1 with its own copies: where the kernel is differentiable, its gradient is that."""
    x = np.concatenate([X1, X1[:1], -X1[1:2]])

    def f(moved) -> jax.Array:
        return getattr(nk.kernel(net, moved, x), which).sum()

    gradient = jax.grad(f)(jnp.asarray(x))
    direction = np.random.default_rng(5).normal(size=x.shape)
    expected = central_difference(f, x, direction, 1e-5)
    assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_relus_tangent_kernel_is_finite_at_its_kink(double_precision) -> None:
    x = np.concatenate([X1, X1[:1], -X1[:1], 0 * X1[:1]])
    gradient = jax.grad(lambda moved: nk.ntk(network(), moved, x).sum())(jnp.asarray(x))
    assert np.isfinite(gradient).all()


NETS = {
    "dense": (network(), X1),
    "conv": (conv_network(), np.random.default_rng(6).normal(size=(3, 4, 2))),
    "repeat": (
        nk.Dense(8, 1.2) >> nk.Repeat(nk.Relu() >> nk.Dense(8, 1.3, 0.1), 4) >> nk.LayerNorm() >> nk.Dense(1),
        X1,
    ),
    "branches": (
        nk.Dense(8, 1.1, 0.1)
        >> nk.Residual(nk.Gelu() >> nk.Dense(8, 0.8))
        >> nk.Product((nk.Dense(8), nk.Dense(8, 1.2) >> nk.Sin(1.1, 0.9, 0.2)))
        >> nk.Dropout(0.3)
        >> nk.StandardDense(1, 1.1, 0.2),
        X1,
    ),
}


@pytest.mark.parametrize(("net", "x"), NETS.values(), ids=NETS.keys())
@pytest.mark.parametrize("x1_is_x2", [True, False])
@pytest.mark.every(4)
def test_gradient_over_the_network(double_precision, net: nk.Layer, x: np.ndarray, x1_is_x2: bool) -> None:
    """Every hyperparameter has a derivative: no None, no NaN, and that of central differences."""
    x = np.concatenate([x, x[:1]])

    def f(net: nk.Layer) -> jax.Array:
        pair = nk.kernel(net, x) if x1_is_x2 else nk.kernel(net, x, x[::-1])
        return (pair.ntk.sum() + 0.7 * pair.nngp.sum()).astype(float)

    gradient = jax.jit(jax.grad(f))(net)
    leaves, structure = jax.tree.flatten(net)
    derivatives = structure.flatten_up_to(gradient)
    assert not [d for d in derivatives if d is None]
    for k, (value, derivative) in enumerate(zip(leaves, derivatives, strict=True)):
        if value == 0:
            assert np.isfinite(derivative)  # b_std may not become negative
            continue
        step = 1e-5 * max(1.0, abs(value))
        moved = [structure.unflatten([*leaves[:k], value + s, *leaves[k + 1 :]]) for s in (step, -step)]
        expected = float(f(moved[0]) - f(moved[1])) / (2 * step)
        assert float(derivative) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_gradient_over_one_field(double_precision) -> None:
    def f(w_std) -> jax.Array:
        return nk.ntk(network(w_std), X1).sum()

    assert float(jax.grad(f)(1.3)) == pytest.approx(float(f(1.3 + 1e-6) - f(1.3 - 1e-6)) / 2e-6, rel=1e-6)


def test_a_second_derivative(double_precision) -> None:
    def f(w_std) -> jax.Array:
        return nk.ntk(SMOOTH_NTK.layers[0] >> nk.Erf() >> nk.Dense(1, w_std), X1, X2).sum()

    assert np.isfinite(jax.grad(jax.grad(f))(1.3))
    assert float(jax.grad(jax.grad(f))(1.3)) == pytest.approx(2 * float(f(1.0)), rel=1e-10)  # f ~ w_std²


def test_range_checks_pass_tracers_and_meet_values() -> None:
    assert dataclasses.is_dataclass(jax.eval_shape(network, 1.0, 2.0))
    with pytest.raises(InputError, match="w_std must lie in"):
        network(-1.0)
