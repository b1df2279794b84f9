"""`nk.kernel` and its kin: what they take, what they refuse, and how they agree with one another."""

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError, NumericalError

NET = nk.Dense(8, w_std=1.4, b_std=0.1) >> nk.Relu() >> nk.Dense(1)
X = np.random.default_rng(0).standard_normal((5, 3))


def test_one_kernel_alone_is_that_of_the_pair():
    pair = nk.kernel(NET, X, X[:2])
    np.testing.assert_array_equal(nk.ntk(NET, X, X[:2]), pair.ntk)
    np.testing.assert_allclose(nk.nngp(NET, X, X[:2]), pair.nngp, rtol=1e-14)


def test_dtypes_follow_the_data_or_the_request():
    for given, asked, found in [
        (np.float64, None, np.float64),
        (np.float32, None, np.float32),
        (np.float16, None, np.float32),
        (np.int64, None, np.float64),
        (np.uint8, None, np.float64),
        (np.float64, np.float32, np.float32),
        (np.float32, "float64", np.float64),
    ]:
        kernel = nk.kernel(NET, np.abs(X).astype(given), dtype=asked)
        assert kernel.ntk.dtype == kernel.nngp.dtype == found
        assert type(kernel.ntk) is np.ndarray


def test_a_list_is_an_array():
    np.testing.assert_array_equal(nk.ntk(NET, X.tolist()), nk.ntk(NET, X))


def bad(row: int, column: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("x1", "x2", "options", "message"),
    [
        (X[0], None, {}, r"shaped \(n, d\), or \(n, \*positions, channels\); found \(3,\)"),
        (X[:0], None, {}, "x1 is empty"),
        (bad(2, 1, np.nan), None, {}, "x1 holds nan in row 2, column 1"),
        (X, bad(4, 0, np.inf), {}, "x2 holds inf in row 4, column 0"),
        (X.astype(complex), None, {}, "x1 must hold real numbers"),
        (np.array([["a", "b"]]), None, {}, "x1 must hold real numbers"),
        ([[1.0], [1.0, 2.0]], None, {}, "x1 is not an array"),
        (X, X[:, :2], {}, r"examples shaped like x1's, \(3,\); found \(2,\)"),
        (X * 1e25, None, {"dtype": np.float32}, "overflows float32"),
        (X, None, {"dtype": np.int32}, "dtype must be float32 or float64"),
        (X, None, {"dtype": "nonsense"}, "dtype must be float32 or float64"),
        (X, None, {"engine": "warp"}, "engine must be one of"),
        (X, None, {"memory": 10}, "more than memory"),
    ],
)
def test_unusable_input_is_refused_with_the_reason(x1, x2, options, message):
    with pytest.raises(InputError, match=message):
        nk.kernel(NET, x1, x2, **options)


def test_what_is_no_network_is_refused():
    for call in (nk.kernel, nk.ntk, nk.nngp, nk.moments_by_layer, nk.kernels.diagonal):
        with pytest.raises(InputError, match="expected a network"):
            call(nk.Dense, X)
    with pytest.raises(InputError, match="expected a network"):
        nk.kernel_fn("mlp")


def test_an_overflowing_kernel_is_an_error():
    with pytest.raises(NumericalError, match="not finite at"):
        nk.kernel(nk.Dense(1, w_std=3.0) >> nk.Exp(1.0, 9.0) >> nk.Dense(1), 5 * X)


def test_a_jump_has_no_tangent_kernel_above_trained_weights():
    net = nk.Dense(8) >> nk.Sign() >> nk.Dense(1)
    assert np.isfinite(nk.nngp(net, X)).all()
    for call in (nk.kernel, nk.ntk):
        with pytest.raises(NoClosedFormError, match=r"Sign jumps.*automatic differentiation would give zero"):
            call(net, X)
    frozen = nk.Dense(8, w_lr=0.0, b_lr=0.0) >> nk.Sign() >> nk.Dense(1)
    kernel = nk.kernel(frozen, X)
    np.testing.assert_allclose(kernel.ntk, kernel.nngp, rtol=1e-14)


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (nk.Conv(8, 3), (4,), "Conv: needs inputs with positions"),
        (nk.Conv(8, (3, 3)), (4, 2), "Conv: needs inputs with 2 dimensions of positions"),
        (nk.Conv(8, 5, padding="VALID"), (4, 4, 2), "does not fit into 4"),
        (nk.AvgPool(5), (4, 4, 2), "does not fit into 4"),
        (nk.AvgPool(5, padding="SAME"), (4, 4, 2), "larger than the image"),
        (nk.SumPool(5), (4, 4, 2), "does not fit into 4"),
        (nk.GlobalAvgPool(), (4,), "needs inputs with positions"),
        (nk.GlobalSumPool(), (4,), "needs inputs with positions"),
        (nk.Index((0, 0)), (4, 2), "2 entries for 1 dimensions"),
        (nk.Index(7), (4, 2), "lies outside of the 4 positions"),
        (nk.Index(slice(3, 3)), (4, 2), "reads none of the 4 positions"),
        (nk.Index(0), (4,), "needs inputs with positions"),
        (nk.ImageResize((2, 2)), (4, 2), "needs inputs with 2 dimensions"),
        (
            nk.Sum((nk.Dense(3), nk.Dense(4))),
            (4,),
            r"end with shapes \[\(3,\), \(4,\)\]|have \[3, 4\] channels",
        ),
        (
            nk.Product((nk.Dense(3), nk.Dense(4))),
            (4,),
            r"end with shapes \[\(3,\), \(4,\)\]|have \[3, 4\] channels",
        ),
        (nk.Concat((nk.Conv(3, 3), nk.Conv(3, 3, stride=2))), (4, 2), "end with shapes|end with positions"),
        (nk.Residual(nk.Dense(3)), (4,), "Residual: "),
        (nk.Repeat(nk.Dense(3), 2), (4,), "Repeat: the body turns shape"),
        (
            nk.Conv(4, 3) >> nk.Residual(nk.Relu() >> nk.Conv(4, 3, stride=2)),
            (4, 2),
            "Residual: the body turns",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_both_readings(net, shape, message):
    x = np.ones((2, *shape))
    with pytest.raises(InputError, match=message):
        net.init(jax.random.key(0), shape)
    with pytest.raises(InputError, match=message):
        nk.kernel(net, x)


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (nk.Sum((nk.Dense(3), nk.Dense(4))), (4,), r"have \[3, 4\] channels"),
        (nk.Product((nk.Dense(3), nk.Dense(4))), (4,), r"have \[3, 4\] channels"),
        (nk.Concat((nk.Conv(3, 3), nk.Conv(3, 3, stride=2))), (4, 2), "the branches end with positions"),
        (nk.GlobalAvgPool(), (4,), "needs inputs with positions"),
        (nk.AvgPool(5, padding="SAME"), (4, 4, 2), "larger than the image"),
        (nk.Conv(8, 5, padding="VALID"), (4, 4, 2), "does not fit into 4"),
        (nk.ImageResize((2, 2)), (4, 2), "needs inputs with 2 dimensions"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_inside_of_a_trace(net, shape, message):
    with pytest.raises(InputError, match=message):
        jax.jit(lambda x: nk.nngp(net, x))(np.ones((2, *shape), np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nk.Dense(0), "width must be a whole number of at least 1"),
        (lambda: nk.Dense(True), "width must be a whole number"),
        (lambda: nk.Dense(2, w_std=-1.0), r"w_std must lie in \[0, inf\), found -1"),
        (lambda: nk.Dense(2, b_std=np.nan), "b_std must lie in"),
        (lambda: nk.StandardDense(2, w_lr=-1.0), "w_lr must lie in"),
        (lambda: nk.Dense(2, w_std=None), "w_std must be a number"),
        (lambda: nk.Dense(2, w_std=1j), "w_std must be a number"),
        (lambda: nk.Dense(2, w_std=(1.0, 2.0)), "w_std must be a number"),
        (lambda: nk.Dense(2, w_std=nk.Relu()), "w_std must be a number"),
        (lambda: nk.LeakyRelu(np.array([0.1, 0.9])), "slope must be a number"),
        (lambda: nk.Polynomial((0.0, np.array([1.0, 2.0]))), r"coefficients\[1\] must be a finite number"),
        (lambda: nk.Dense(2) >> np.tanh, "expected a layer; wrap a function in nk.Elementwise"),
        (lambda: nk.Residual(nk.Relu), "body must be one layer"),
        (lambda: nk.Serial(3), "layers must be layers, found 3"),
        (lambda: nk.Dropout(1.0), r"rate must lie in \[0, 1\)"),
        (lambda: nk.Conv(2, 0), "window must be whole numbers"),
        (lambda: nk.Conv(2, (3, 3), stride=(1, 1, 1)), "differ in dimensions"),
        (lambda: nk.Conv(2, (1, 1, 1, 1)), "at most 3 are supported"),
        (lambda: nk.Conv(2, 3, padding="same"), "padding must be one of SAME, VALID, CIRCULAR"),
        (lambda: nk.LayerNorm("rows"), "over must be 'channels' or"),
        (lambda: nk.Index("a"), "entries must be integers or slices"),
        (lambda: nk.ImageResize((0, 2)), "size must be whole numbers"),
        (lambda: nk.ImageResize((2, 2), "quartic"), "method must be one of"),
        (lambda: nk.Serial(()), "layers is empty"),
        (lambda: nk.Sum(()), "branches is empty"),
        (lambda: nk.Serial((nk.Relu,)), r"Relu is a class; write Relu\(…\)"),
        (lambda: nk.Serial((3,)), "layers must be layers, found 3"),
        (lambda: nk.Residual((nk.Relu(),)), "body must be one layer"),
        (lambda: nk.Repeat(nk.Relu(), 0), "times must be a whole number"),
    ],
)
def test_values_out_of_range_are_refused_in_construction(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("shape", [8, "8", (-1,), (4, 0)])
def test_a_shape_is_a_tuple_of_counts(shape):
    with pytest.raises(InputError, match="the shape of one example is a tuple"):
        nk.Dense(2).init(jax.random.key(0), shape)


@pytest.mark.parametrize(
    "make", [nk.Dense, lambda n: nk.Conv(n, 3), nk.Monomial, lambda n: nk.Repeat(nk.Relu(), n)]
)
def test_counts_may_be_numpys(make):
    assert make(np.int64(3)) == make(3)
    assert nk.to_spec(make(np.int64(3))) == nk.to_spec(make(3))


def test_one_layer_is_a_stack_and_a_sum_of_one():
    for layer in (nk.Serial(nk.Dense(2)), nk.Sum(nk.Dense(2))):
        np.testing.assert_array_equal(nk.nngp(layer, X), nk.nngp(nk.Dense(2), X))


def test_a_stack_of_networks_is_for_vmap():
    stack = jax.tree.map(lambda a: np.array([a, 2 * a]), nk.Dense(2))
    with pytest.raises(
        InputError, match=r"net.w_std is shaped \(2,\): a hyperparameter is one number; use jax.vmap"
    ):
        nk.kernel(stack, X)


def test_kernels_by_layer_are_finite_or_refused():
    with pytest.raises(NoClosedFormError, match="Sign jumps"):
        nk.moments_by_layer(nk.Dense(4) >> nk.Sign() >> nk.Dense(1), X)
    with pytest.raises(NumericalError, match="overflows float64; use a smaller w_std, or scale the data"):
        nk.moments_by_layer(nk.Dense(4) >> nk.Exp() >> nk.Dense(1), 100 * X)


def test_parts_of_the_library_are_there_when_asked_for():
    assert nk.predict.kernel_regression is not None
    assert "predict" in dir(nk)
    with pytest.raises(AttributeError, match="has no attribute 'prediction'"):
        _ = nk.prediction


def test_dropout_asks_for_a_key():
    with pytest.raises(InputError, match="needs a random key"):
        nk.Dropout(0.5).apply((), X)


def test_a_layer_needs_channels():
    for layer in (nk.Dense(2), nk.LayerNorm(), nk.Flatten(), nk.Dropout(0.5), nk.StandardDense(2)):
        with pytest.raises(InputError, match="known number of channels"):
            layer.init(jax.random.key(0), ())


def test_four_dimensions_of_positions_are_refused():
    with pytest.raises(InputError, match="at most 3 dimensions"):
        nk.kernel(nk.Conv(2, 1), np.ones((1, 2, 2, 2, 2, 1)))


def test_a_batch_inside_of_a_trace_has_two_axes():
    with pytest.raises(InputError, match="a batch must be shaped"):
        jax.jit(lambda x: nk.ntk(NET, x))(np.ones(3))


def test_moments_by_layer_end_with_the_kernel():
    net = nk.Conv(4, 3) >> nk.Repeat(nk.Relu() >> nk.Conv(4, 3), 2) >> nk.GlobalAvgPool() >> nk.Dense(1)
    x = np.random.default_rng(0).standard_normal((3, 5, 2))
    steps = nk.moments_by_layer(net, x)
    assert [name for name, _ in steps] == [
        "0:Conv", "1.0.0:Relu", "1.0.1:Conv", "1.1.0:Relu", "1.1.1:Conv", "2:GlobalAvgPool", "3:Dense",
    ]  # fmt: skip
    assert steps[0][1].nngp.shape == (3, 3, 5, 5)
    for found, expected in zip(steps[-1][1], nk.kernel(net, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    alone = nk.kernel(nk.Conv(4, 3), x)
    np.testing.assert_allclose(steps[0][1].ntk, alone.ntk, rtol=1e-12)


def test_a_kernel_function_is_the_kernel_with_its_options():
    k = nk.kernel_fn(NET, dtype=np.float32)
    assert isinstance(k, nk.KernelFn)
    assert k(X).ntk.dtype == np.float32
    np.testing.assert_allclose(k.diag(X).ntk, np.diag(k(X).ntk), rtol=1e-6)
    np.testing.assert_allclose(nk.kernel_fn(NET).diag(X).nngp, np.diag(nk.nngp(NET, X)), rtol=1e-14)


def test_fingerprints_tell_kernels_apart():
    other = nk.Dense(8, w_std=1.5, b_std=0.1) >> nk.Relu() >> nk.Dense(1)
    prints = {nk.kernel_fn(n, dtype=d).fingerprint for n in (NET, other) for d in (np.float32, np.float64)}
    assert len(prints) == 4
    assert nk.kernel_fn(NET).fingerprint == nk.kernel_fn(NET).fingerprint
