"""The empirical tangent kernel is that of explicit Jacobians, by every method, in every form, of every kind of function."""

import json

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from finite_functions import FUNCTIONS, X1, X2, in_form, jacobian
from ntkit.errors import InputError
from ntkit.finite import empirical
from oracle_cases import ORACLE
from random_networks import network

METHODS = ["structured", "jacobian", "products"]
FORMS = ["full", "trace", "diagonal", "sum_of_logits"]


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    assert found.shape == expected.shape
    assert np.max(np.abs(found - expected)) <= tolerance * np.max(np.abs(expected))


def explicit(f, params, x1, x2=None, rates=None) -> np.ndarray:
    j1, j2 = jacobian(f, params, x1), jacobian(f, params, x1 if x2 is None else x2)
    if rates is not None:
        spread = [
            np.broadcast_to(r, np.shape(p)).ravel()
            for p, r in zip(*map(jax.tree.leaves, (params, rates)), strict=True)
        ]
        j1 = j1 * np.concatenate(spread)
    return np.einsum("iap,jbp->ijab", j1, j2)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.every(5)
def test_every_method(name: str):
    params, f = FUNCTIONS[name]
    expected = explicit(f, params, X1, X2)
    for method in METHODS:
        close(empirical.ntk(f, params, X1, X2, method=method), expected)
    parts = empirical.ntk_by_layer(f, params, X1, X2)
    assert len(parts) == len(jax.tree.leaves(params))
    close(sum(parts.values()), expected)


@pytest.mark.parametrize("name", ["tied", "layer norm", "convolution", "low rank"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.every(4)
def test_every_form(name: str, method: str):
    params, f = FUNCTIONS[name]
    both, one = explicit(f, params, X1, X2), explicit(f, params, X1)
    for form in FORMS:
        close(empirical.ntk(f, params, X1, X2, form=form, method=method), in_form(both, form))
        close(empirical.ntk(f, params, X1, form=form, method=method), in_form(one, form))


@pytest.mark.parametrize("name", ["layer norm", "low rank", "tied", "one output"])
def test_rates(name: str):
    params, f = FUNCTIONS[name]
    generator = np.random.default_rng(1)
    numbers = jax.tree.map(lambda _: float(generator.uniform(0.5, 2)), params)
    arrays = jax.tree.map(lambda p: generator.uniform(0.5, 2, size=np.shape(p)), params)
    first = next(iter(params))
    frozen = {**numbers, first: 0.0} if len(params) > 1 else numbers
    for rates in (numbers, arrays, frozen):
        for method in METHODS:
            found = empirical.ntk(f, params, X1, X2, rates=rates, method=method)
            close(found, explicit(f, params, X1, X2, rates))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.every(4)
def test_blocks_change_nothing(method: str, form: str):
    params, f = FUNCTIONS["layer norm"]
    x1, x2 = np.random.default_rng(2).normal(size=(2, 7, 5))
    _, needed = (
        FUNCTIONS["layer norm"],
        empirical.explain(f, params, x1, x2, form=form).bytes_per_example[method],
    )
    for memory in (2 * needed, 6 * needed, 100 * needed):
        for columns in (None, x2):
            found = empirical.ntk(f, params, x1, columns, form=form, method=method, memory=memory)
            close(found, in_form(explicit(f, params, x1, columns), form))


def test_single_and_half_precision():
    params, f = FUNCTIONS["layer norm"]
    expected = explicit(f, params, X1)
    single = jax.tree.map(lambda p: p.astype(np.float32), params)
    found = empirical.ntk(f, single, X1)
    assert found.dtype == np.float32
    close(found, expected, 1e-5)
    half = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), params)
    assert empirical.ntk(f, half, X1).dtype == np.float32


def test_inputs_may_be_trees():
    params, f = FUNCTIONS["tied"]
    tree = {"a": X1[:, :2], "b": (X1[:, 2:],)}
    found = empirical.ntk(lambda p, x: f(p, jnp.concatenate([x["a"], *x["b"]], 1)), params, tree)
    close(found, explicit(f, params, X1))


def test_lists_of_numbers_are_arrays():
    params, f = FUNCTIONS["tied"]
    np.testing.assert_array_equal(empirical.ntk(f, params, X1.tolist()), empirical.ntk(f, params, X1))


@pytest.mark.parametrize("method", METHODS)
def test_inside_of_transformations(method: str):
    params, f = FUNCTIONS["tied"]

    def total(scale, x):
        k = empirical.ntk(f, {"w": scale * params["w"]}, x, X2, form="trace", method=method)
        return jnp.sum(jnp.sin(k))

    with jax.enable_x64(True):
        one, two = (float(total(1 + step, X1)) for step in (1e-5, -1e-5))
        slope = float(jax.jit(jax.grad(total))(1.0, X1))
    assert slope == pytest.approx((one - two) / 2e-5, rel=1e-6)


def test_a_kernel_function(tmp_path):
    params, f = FUNCTIONS["layer norm"]
    k, x = empirical.kernel_fn(f, params), np.random.default_rng(3).normal(size=(40, 5))
    assert isinstance(k, nk.KernelFn)
    whole = k(x)
    close(whole.ntk, empirical.ntk(f, params, x, form="trace"))
    close(whole.nngp, empirical.nngp(f, params, x))
    for one, all_ in zip(k.diag(x), whole, strict=True):
        close(one, np.diagonal(all_))
    tiled = nk.gram.compute(k, x, tile=16, out=tmp_path / "k")
    close(tiled.ntk, whole.ntk)
    others = [
        empirical.kernel_fn(f, {**params, "b": params["b"] + 1}),
        empirical.kernel_fn(FUNCTIONS["tied"][1], params),
        empirical.kernel_fn(f, params, form="sum_of_logits"),
        empirical.kernel_fn(f, params, rates={"w": 1.0, "s": 2.0, "b": 1.0}),
    ]
    assert len({k.fingerprint, *(o.fingerprint for o in others)}) == 5
    assert empirical.kernel_fn(f, dict(params)).fingerprint == k.fingerprint


def test_tokens():
    tokens = np.random.default_rng(0).integers(0, 7, size=(4, 3))
    table = {"e": np.random.default_rng(1).normal(size=(7, 2))}

    def f(p, x):
        return jnp.tanh(p["e"][x]).reshape(len(x), -1)

    close(empirical.ntk(f, table, tokens), explicit(f, table, tokens))


def test_products_of_outputs():
    params, f = FUNCTIONS["layer norm"]
    y1, y2 = f(params, X1), f(params, X2)
    full = np.einsum("ia,jb->ijab", y1, y2)
    for form in FORMS:
        close(empirical.nngp(f, params, X1, X2, form=form), in_form(full, form), 1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_oracle(name: str):
    case = json.loads((ORACLE / "empirical.json").read_text())["networks"][name]
    net, arrays = nk.from_spec(case["spec"]), np.load(ORACLE / "empirical.npz")
    params, k = [], 0
    for layer in net.layers:
        has = isinstance(layer, (nk.Dense, nk.Conv))
        params.append({"W": arrays[f"{name}_W{k}"], "b": arrays[f"{name}_b{k}"]} if has else ())
        k += has
    x1, x2 = arrays[f"{name}_x1"], arrays[f"{name}_x2"]
    for method in METHODS:
        for form, key in (("full", "ntk_full"), ("trace", "ntk_trace_mean"), ("diagonal", "ntk_diagonal")):
            if method != "structured" and form != "full":
                continue
            found = empirical.ntk(net.apply, tuple(params), x1, x2, form=form, method=method)
            close(found, arrays[f"{name}_{key}"], 1e-12)
            found = empirical.ntk(net.apply, tuple(params), x1, form=form, method=method)
            close(found, arrays[f"{name}_{key}_self"], 1e-12)
    operator = empirical.NTKOperator(net.apply, tuple(params), x1)
    given, wanted = arrays[f"{name}_ntk_vector_in"], arrays[f"{name}_ntk_vector_out"]
    close(operator(given.ravel()), wanted.ravel(), 1e-12)


@st.composite
def networks(draw) -> tuple[nk.Layer, tuple[int, ...]]:
    shape = draw(st.sampled_from([(3,), (4, 2), (3, 4, 2)]))
    try:
        net = network(lambda choices: draw(st.sampled_from(list(choices))), shape, draw(st.integers(1, 3)))
    except InputError:
        hypothesis.assume(False)
    hypothesis.assume("Dropout" not in json.dumps(nk.to_spec(net)))
    return net, shape


def check_network(drawn: tuple[nk.Layer, tuple[int, ...]]) -> None:
    net, shape = drawn
    with jax.enable_x64(True):
        params, _ = net.init(jax.random.key(0), shape)
    x = np.random.default_rng(0).normal(size=(3, *shape))
    rates = net.rates(params)
    expected = explicit(net.apply, params, x, rates=rates)
    for method in METHODS:
        close(empirical.ntk(net.apply, params, x, method=method, rates=rates), expected)


EVERYTHING = [
    hypothesis.HealthCheck.too_slow,
    hypothesis.HealthCheck.filter_too_much,
    hypothesis.HealthCheck.data_too_large,
]


@hypothesis.settings(max_examples=3, suppress_health_check=EVERYTHING)
@hypothesis.given(networks())
def test_random_networks(drawn):
    check_network(drawn)


@pytest.mark.slow
@hypothesis.settings(max_examples=60, suppress_health_check=EVERYTHING)
@hypothesis.given(networks())
def test_many_random_networks(drawn):
    check_network(drawn)


def test_what_is_chosen():
    def wide(p, x):
        return jnp.tanh(x @ p["w"]) @ p["v"]

    params = {"w": np.zeros((50, 400), np.float32), "v": np.zeros((400, 5), np.float32)}
    found = empirical.explain(wide, params, np.zeros((20, 50), np.float32))
    assert found.method == "structured"
    assert "2 of 2 parameters" in str(found)
    assert found.seconds["structured"] < min(found.seconds["jacobian"], found.seconds["products"])
    least = found.bytes_per_example
    assert (
        empirical.explain(
            wide, params, np.zeros((20, 50), np.float32), memory=2 * min(least.values()) - 1
        ).method
        == "products"
    )


def test_optimiser_kernels():
    params, f = FUNCTIONS["layer norm"]
    j1, j2 = jacobian(f, params, X1), jacobian(f, params, X2)
    signed = np.einsum("iap,jbp->ijab", j1, np.sign(j2))
    for form in FORMS[:3]:
        close(empirical.sign_descent_kernel(f, params, X1, X2, form=form), in_form(signed, form))
    close(empirical.sign_descent_kernel(f, params, X1), np.einsum("iap,jbp->ijab", j1, np.sign(j1)))
    with pytest.raises(InputError, match="is not symmetric"):
        nk.predict.kernel_regression(
            in_form(np.einsum("iap,jbp->ijab", j1, np.sign(j1)), "trace"), np.ones((4, 1))
        )
    second = jax.tree.map(lambda p: np.square(p) + 0.1, params)
    rates = empirical.adam_rates(second, 5)
    by_hand = jax.tree.map(lambda v: 1 / (np.sqrt(v / (1 - 0.999**5)) + 1e-8), second)
    close(empirical.ntk(f, params, X1, rates=rates), explicit(f, params, X1, rates=by_hand))


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_random_features(kind: str):
    params, f = FUNCTIONS["layer norm"]
    rates = {"w": 0.5, "s": 2.0, "b": 0.0}
    full = explicit(f, params, X1, rates=rates)
    dimension = 3000
    phi = empirical.project(f, params, X1, dimension, key=jax.random.key(0), kind=kind, rates=rates, batch=3)
    own = np.sqrt(np.einsum("iiaa->ia", full))
    off = np.abs(np.einsum("iak,jbk->ijab", phi, phi) - full) / np.einsum("ia,jb->ijab", own, own)
    assert off.max() < 5 * (2 / dimension) ** 0.5
    again = empirical.project(f, params, X1[2:], dimension, key=jax.random.key(0), kind=kind, rates=rates)
    np.testing.assert_allclose(again, phi[2:], rtol=1e-9, atol=1e-12)
