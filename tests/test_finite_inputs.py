"""What is wrong with a function, its parameters or its inputs is said before anything is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.finite import empirical

X = np.random.default_rng(0).normal(size=(3, 4))
W = {"w": np.ones((4, 2))}


def line(p, x):
    return x @ p["w"]


@pytest.mark.parametrize(
    ("f", "params", "x", "message"),
    [
        (3, W, X, "f must be a function"),
        (nk.Dense(3), W, X, "found Dense; of a network of layers it is net.apply"),
        (line, W, X[0], r"the function fails on 2 examples, shaped \(2,\)"),
        (line, {"w": np.ones((4, 2), int)}, X, r"params\['w'\] is an array of int64"),
        (line, {"w": np.ones((4, 2), complex)}, X, r"params\['w'\] is an array of complex128"),
        (line, {**W, "name": True}, X, r"params\['name'\] is bool True"),
        (line, {}, X, "no parameter is trained"),
        (lambda p, x: (line(p, x), 1), W, X, "the function returns tuple: return the outputs alone"),
        (lambda p, x: {"y": line(p, x)}, W, X, "the function returns dict"),
        (
            lambda p, x: line(p, x).sum(),
            W,
            X,
            r"returns an array of shape \(\): the first axis must be the examples'",
        ),
        (lambda p, x: line(p, x).T, W, X, "the first axis must be the examples'"),
        (lambda p, x: line(p, x) @ line(p, x).T, W, X, "change their shape with the batch"),
        (lambda p, x: line(p, x) > 0, W, X, "returns bool: outputs must be real numbers"),
        (lambda p, x: line(p, x) - line(p, x).mean(0), W, X, "depend on the others in its batch"),
        (
            lambda p, x: line(p, x) if p["w"].sum() > 0 else x,
            W,
            X,
            "decides in Python on a value that JAX traces",
        ),
        (lambda p, x: line(p, x)[: int(x[0, 0])], W, X, "decides in Python on a value that JAX traces"),
        (lambda p, x: jnp.ones((len(x), 2)) * p["w"][0], W, X, "do not depend on its inputs"),
        (lambda p, x: x, W, X, "do not depend on the parameters that are trained"),
        (lambda p, x: line(p, x) / 0, W, X, "outputs of the first examples are not finite"),
        (line, W, X[:0], "x1 must hold arrays with the examples first, and at least one"),
        (line, W, np.array(["a"]), "x1 must hold real numbers"),
        (line, W, np.full((3, 4), np.nan), "x1 holds numbers that are not finite"),
        (line, W, (), "x1 is empty"),
        (lambda p, x: line(p, x[0]), W, (X, X[:2]), "differ in their number of examples"),
    ],
)
def test_refused(f, params, x, message):
    with pytest.raises((InputError, NumericalError), match=message):
        empirical.ntk(f, params, x, method="structured")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "half"}, "form must be one of full, trace, diagonal, sum_of_logits"),
        ({"method": "magic"}, "method must be one of auto, jacobian, products, structured"),
        ({"rates": {"v": 1.0}}, "rates must be a tree like params"),
        ({"rates": {"w": np.ones(3)}}, r"the rate of params\['w'\] must be one number or shaped"),
        ({"rates": {"w": np.inf}}, r"the rate of params\['w'\] is not finite"),
        ({"rates": {"w": 0.0}}, "no parameter is trained"),
        ({"memory": 10}, "one example takes about"),
        ({"x2": X[:, :2]}, "x2 must hold examples like those of x1"),
    ],
)
def test_options(options, message):
    with pytest.raises(InputError, match=message):
        empirical.ntk(line, W, X, **options)


def test_outputs_that_cancel_are_no_sign_of_a_batch():
    """Rounding of what they are the difference of is large beside them."""
    w = {"w": np.full((4, 2), 1e3, np.float32)}
    x = np.array([[1, 2, -3, 1e-4], [2, -1, -1, 1], [3, -2, -1, 0]], np.float32)
    assert empirical.ntk(line, w, x).shape == (3, 3, 2, 2)


def root(p, x):
    return jnp.sqrt(jnp.abs(x @ p["w"]) * p["s"])


def test_a_gradient_that_is_not_finite_is_named():
    params = {"w": np.ones((4, 2)), "s": np.zeros(2)}
    x = X.copy()
    x[0] = 0
    with pytest.raises(
        NumericalError, match=r"the gradient in params\['s'\] is not finite for example 0 of x1"
    ):
        empirical.ntk(root, params, x)


def test_outputs_that_are_not_finite_are_named():
    x = np.abs(X)
    x[2] = -1
    with pytest.raises(NumericalError, match="the outputs of example 2 of x1 are not finite"):
        empirical.ntk(lambda p, x: jnp.sqrt(x @ p["w"]), W, x)
    with pytest.raises(NumericalError, match="the outputs of example 0 of x2 are not finite"):
        empirical.ntk(lambda p, x: jnp.sqrt(x @ p["w"]), W, x[:2], x[2:])


def test_a_kernel_that_overflows():
    with pytest.raises(NumericalError, match="the kernel overflows float32"):
        empirical.ntk(lambda p, x: 1e25 * x @ p["w"], {"w": np.zeros((4, 2), np.float32)}, X)


def test_functions_that_cannot_be_hashed():
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, p, x):
            return line(p, x)

    np.testing.assert_allclose(empirical.ntk(Unhashable(), W, X), empirical.ntk(line, W, X))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: empirical.project(line, W, X, 0, key=jax.random.key(0)), "dimension must be a whole number"),
        (lambda: empirical.project(line, W, X, 3, key=jax.random.key(0), kind="odd"), "kind must be one of"),
        (
            lambda: empirical.project(line, W, X, 3, key=jax.random.key(0), rates={"w": -1.0}),
            "a rate is negative",
        ),
        (
            lambda: empirical.sign_descent_kernel(line, W, X, form="sum_of_logits"),
            "form must be full, trace or diagonal",
        ),
        (lambda: empirical.adam_rates(W, 0), "count must be a whole number of at least 1"),
    ],
)
def test_other_kernels(call, message):
    with pytest.raises(InputError, match=message):
        call()
