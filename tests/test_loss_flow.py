"""Flows of losses: the oracle, closed forms, methods against one another, stops, kernels as functions, wrong input."""

import pathlib

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.losses import LOSSES, choose_loss
from ntkit.predict import gradient_flow, loss_flow
from ntkit.predict.chebyshev import Chebyshev

DYNAMICS = dict(np.load(pathlib.Path(__file__).parent / "oracle" / "dynamics.npz"))
K, K_TEST = DYNAMICS["ntk_train_train"], DYNAMICS["ntk_test_train"]
Y, F0, F0_TEST = DYNAMICS["y_train"], DYNAMICS["f_train_0"], DYNAMICS["f_test_0"]
LABELS = DYNAMICS["labels_onehot"]
# The oracle's losses are means over outputs too: two of them.
RUNS = {
    "mse_ode_lr05": ("squared", 0.25, None, [0, 0.1, 1, 10, 100, 300]),
    "momentum09_lr1": ("squared", 0.5, 0.9, [0, 0.1, 1, 3, 10, 30]),
    "momentum0_lr05": ("squared", 0.25, 0.0, [0, 0.1, 1, 3, 10, 30]),
    "momentum09_lr025": ("squared", 0.125, 0.9, [0, 0.1, 1, 3, 10, 30]),
    "cross_entropy_lr1": ("cross_entropy", 0.5, None, [0, 0.1, 1, 10, 100, 300]),
    "cross_entropy_momentum09_lr1": ("cross_entropy", 0.5, 0.9, [0, 0.1, 1, 3, 10, 30]),
}


@pytest.mark.parametrize("name", RUNS)
def test_flows_are_those_of_the_oracle(name):
    loss, rate, momentum, times = RUNS[name]
    y = LABELS if loss == "cross_entropy" else Y
    flow = loss_flow(
        K, y, times, loss=loss, learning_rate=rate, momentum=momentum, f0_train=F0, tolerance=1e-8
    )
    np.testing.assert_array_equal(flow.times, times)
    for got, part in ((flow.train, "train"), (flow.test(K_TEST, F0_TEST), "test")):
        expected = DYNAMICS[f"{name}_{part}_tight"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


METHODS = {
    "classical": None,
    "stabilised": Chebyshev(),
    "implicit": diffrax.Kvaerno5(),
}


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("method", METHODS)
def test_the_squared_loss_is_the_closed_form_within_the_tolerance(method, tolerance):
    times = [0.0, 0.5, 20.0, 300.0]
    flow = loss_flow(K, Y, times, loss="squared", f0_train=F0, tolerance=tolerance, solver=METHODS[method])
    curve = gradient_flow(K, Y, f0_train=F0)
    for got, expected in (
        (flow.train, curve.train(times)),
        (flow.test(K_TEST, F0_TEST), curve.test(times, K_TEST, F0_TEST)),
    ):
        assert np.abs((got - expected) / (1 + np.abs(expected))).max() <= tolerance
    np.testing.assert_allclose(flow.loss, curve.train_loss(times), atol=10 * tolerance)


CLASSES = {"logistic": (-1, 1), "hinge": (-1, 1), "binary_cross_entropy": (0, 1)}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.every(3)
def test_every_loss_flows_down_as_another_solver_says(loss):
    """SciPy's LSODA on the outputs, with the gradient by finite differences of the loss."""
    y = Y if loss in ("squared", "huber") else LABELS
    if loss in CLASSES:
        y = np.where(LABELS > 0, *CLASSES[loss][::-1]).astype(float)
    chosen = choose_loss(loss)
    with jax.enable_x64(True):
        value = jax.jit(lambda f: chosen.function(f, y))

        def slope(f):
            steps = 1e-6 * np.eye(f.size).reshape(-1, *f.shape)
            return np.array([float(value(f + s) - value(f - s)) / 2e-6 for s in steps]).reshape(f.shape)

        times = [0.0, 1.0, 30.0]
        found = scipy.integrate.solve_ivp(
            lambda t, f: -(K @ slope(f.reshape(F0.shape))).ravel(), (0, 30), F0.ravel(), "LSODA", times, rtol=1e-7, atol=1e-8
        )  # fmt: skip
    flow = loss_flow(K, y, times, loss=loss, f0_train=F0, tolerance=1e-4)
    np.testing.assert_allclose(flow.train, found.y.T.reshape(3, *F0.shape), atol=1e-3)
    assert np.all(np.diff(flow.loss) < 0)


def test_one_own_loss_gets_the_shapes_of_its_targets():
    def quartic(f, y):
        assert f.shape == y.shape == (10,)
        return jnp.mean((f - y) ** 4)

    flow = loss_flow(K, Y[:, 0], [0.0, 1.0, 50.0], loss=quartic)
    assert flow.train.shape == (3, 10)
    assert flow.test(K_TEST).shape == (3, 6)
    np.testing.assert_allclose(flow.loss, np.mean((flow.train - Y[:, 0]) ** 4, axis=1))
    assert flow.loss[2] < flow.loss[1] < flow.loss[0]


def test_an_own_loss_is_one_number():
    with pytest.raises(InputError, match=r"the loss gives \(10,\); expected one number"):
        loss_flow(K, Y[:, 0], [1.0], loss=lambda f, y: (f - y) ** 2)


def test_training_stops_at_an_accuracy():
    classes = LABELS.argmax(axis=1)
    flow = loss_flow(K, classes, [0.01, 1.0, 1e5], f0_train=-3 * LABELS + F0, stop_at_accuracy=0.8)
    assert flow.stopped == "accuracy"
    assert flow.times[-1] < 1e5
    assert flow.notes == ("numbers of classes 0 to 1 were taken as one-hot rows",)
    before, after = (
        loss_flow(K, classes, [t], f0_train=-3 * LABELS + F0).train[-1].argmax(axis=1)
        for t in (0.99 * flow.times[-1], 1.01 * flow.times[-1])
    )
    assert np.mean(before == classes) < 0.8 <= np.mean(after == classes)
    signs = loss_flow(K, 2.0 * classes - 1, [1e5], loss="logistic", stop_at_accuracy=1.0)
    assert signs.stopped == "accuracy"
    assert np.all(
        np.sign(loss_flow(K, 2.0 * classes - 1, [signs.times[-1] * 1.01], loss="logistic").train[-1])
        == 2 * classes - 1
    )


def test_training_stops_at_a_loss_or_at_once():
    flow = loss_flow(K, LABELS, [0.5, 1e6], stop_at_loss=0.6, stop_at_accuracy=1.0, f0_train=F0)
    assert flow.stopped == "loss"
    np.testing.assert_allclose(flow.loss[-1], 0.6, atol=1e-5)
    assert len(flow.times) == len(flow.train) == 2
    at_once = loss_flow(K, LABELS, [1.0, 2.0], f0_train=10 * LABELS, stop_at_accuracy=1.0)
    assert (at_once.stopped, at_once.steps, at_once.times.tolist()) == ("accuracy", 0, [0.0])
    np.testing.assert_array_equal(at_once.train, 10 * LABELS[None])
    never = loss_flow(K, LABELS, [1.0], stop_at_loss=1e-9)
    assert (never.stopped, never.times.tolist()) == (None, [1.0])


def test_cross_entropy_grows_as_the_logarithm_of_time_and_infinity_is_refused():
    flow = loss_flow(K, LABELS, [1e3, 1e4, 1e5], tolerance=1e-3)
    growth = np.diff(np.linalg.norm(flow.train, axis=(1, 2)))
    np.testing.assert_allclose(growth[1], growth[0], rtol=0.2)
    with pytest.raises(
        InputError, match="out of reach for cross_entropy: it has no least value at finite outputs"
    ):
        loss_flow(K, LABELS, [1.0, np.inf])
    with pytest.raises(InputError, match="out of reach for huber: its flow has no closed form"):
        loss_flow(K, Y, [1.0, np.inf], loss="huber")


def test_kernels_come_as_arrays_of_outputs_or_as_functions():
    times = [0.5, 10.0]
    expected = loss_flow(K, LABELS, times, f0_train=F0, tolerance=1e-6)
    apart = K[..., None] * np.ones(2)
    coupled = K[..., None, None] * np.eye(2)
    for kernel, cross in (
        (apart, K_TEST[..., None] * np.ones(2)),
        (coupled, K_TEST[..., None, None] * np.eye(2)),
        (lambda v: jnp.asarray(K) @ v, K_TEST),
    ):
        flow = loss_flow(kernel, LABELS, times, f0_train=F0, tolerance=1e-6)
        np.testing.assert_allclose(flow.train, expected.train, atol=1e-9)
        np.testing.assert_allclose(flow.test(cross, F0_TEST), expected.test(K_TEST, F0_TEST), atol=1e-8)


def test_the_operator_of_a_finite_network_is_its_kernel():
    net = nk.Dense(16) >> nk.Relu() >> nk.Dense(3)
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (6, 4), jnp.float64)
        params = jax.tree.map(lambda p: p.astype(jnp.float64), net.init(jax.random.key(1), (4,))[0])
        operator = nk.finite.empirical.NTKOperator(net.apply, params, x)
        kernel = nk.finite.empirical.ntk(net.apply, params, x, form="full")
        start = np.asarray(net.apply(params, x))
    labels = [0, 1, 2, 0, 1, 2]
    one, two = (loss_flow(k, labels, [5.0], f0_train=start, tolerance=1e-6) for k in (operator, kernel))
    np.testing.assert_allclose(one.train, two.train, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0.0, -1.0]}, "times has a value of -1"),
        ({"times": [2.0, 1.0]}, r"times has shape \(2,\); expected \(t,\), rising"),
        ({"times": [0.0]}, r"rising, the last of them above 0"),
        ({"times": 1.0}, r"times has shape \(\); expected \(t,\)"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"momentum": 1.0}, "momentum is 1"),
        ({"tolerance": 0.0}, "tolerance is 0"),
        ({"loss": "absolute"}, "loss must be one of squared, huber"),
        ({"stop_at_accuracy": 1.5}, "stop_at_accuracy is 1.5; expected above 0 and at most 1"),
        ({"stop_at_loss": np.nan}, "stop_at_loss is nan"),
        ({"y": Y[:, 0], "loss": "squared", "stop_at_accuracy": 0.9}, "y has 10 different values; use stop_at_loss"),
        ({"y": Y}, "y has a row that sums to .*, or a value below 0; cross_entropy takes probabilities"),
        ({"y": Y, "loss": "hinge"}, r"y has a value of .*; hinge takes -1 and 1"),
        ({"y": 3 * Y, "loss": "binary_cross_entropy"}, "binary_cross_entropy takes 0 and 1"),
        ({"y": np.ones((10, 1, 1))}, r"y has shape \(10, 1, 1\); expected"),
        ({"y": [0.5] * 10}, "labels has shape .* whole numbers from 0 on"),
        ({"k": np.ones((3, 3))}, r"the kernel has shape \(3, 3\); expected \(10, 10\)"),
        ({"k": np.arange(100.0).reshape(10, 10)}, r"the kernel is not symmetric: entry \(0, 9\)"),
        ({"k": np.arange(200.0).reshape(10, 10, 2)}, "the kernel is not symmetric. Pass that of one batch"),
        ({"k": lambda v: v[:2]}, r"the kernel as a function gives \(2, 2\) for \(10, 2\)"),
    ],
)  # fmt: skip
def test_input_is_checked(change, message):
    given = {"k": K, "y": LABELS, "times": [1.0], **change}
    with pytest.raises(InputError, match=message):
        loss_flow(given.pop("k"), given.pop("y"), given.pop("times"), **given)


def test_trouble_on_the_way_is_said():
    indefinite = np.eye(10)
    indefinite[2, 7] = indefinite[7, 2] = 3
    with pytest.raises(NumericalError, match=r"not positive semi-definite: entry \(2, 7\) is 3"):
        loss_flow(indefinite, LABELS, [1.0])
    with pytest.raises(NumericalError, match="the flow could not be followed to t = 1e\\+06"):
        loss_flow(lambda v: -v, LABELS, [1e6], loss="squared")
    flow = loss_flow(K, LABELS, [1.0])
    with pytest.raises(InputError, match=r"k_test_train has shape \(6, 9\); expected \(m, 10\)"):
        flow.test(K_TEST[:, 1:])
    with pytest.raises(InputError, match="f0_test was given but f0_train was not"):
        flow.test(K_TEST, F0_TEST)


def test_targets_are_turned_into_what_the_loss_takes():
    zeros = loss_flow(K, LABELS[:, 0], [1.0], loss="logistic")
    assert zeros.notes == ("targets of 0 and 1 were taken as −1 and 1",)
    same = loss_flow(K, LABELS[:, 0], [1.0], loss="binary_cross_entropy")
    assert same.notes == ()
    np.testing.assert_allclose(zeros.train, same.train, atol=1e-4)
    soft = loss_flow(K, 0.1 + 0.8 * LABELS[:, 0], [1.0], loss="binary_cross_entropy")
    assert np.all(np.abs(soft.train) < np.abs(same.train))
