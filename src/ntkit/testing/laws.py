"""The laws that can be checked to the last digits, each a function of a `Subject` that raises `AssertionError`."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntkit.batches import Padded
from ntkit.kernels import diagonal, moments_by_layer
from ntkit.layer import Layer, run
from ntkit.layers import Flatten
from ntkit.pair import KernelPair
from ntkit.spec import from_spec, to_spec
from ntkit.testing.subject import Subject

_ROUNDING = 1e-10  # of the largest entry: float64, a few layers, quadrature included
_QUADRATURE = 1e-7  # of the trace: what a moment by quadrature may take away from positive semi-definiteness
_STEP = 1e-5
_DERIVATIVE = 1e-4  # central differences across a kink, where rows are equal, are right to the step
_FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}  # run but a few times
_COMPILATION = "/jax/core/compile/backend_compile_duration"


def shapes_agree(subject: Subject) -> None:
    """`init` tells the shape that `apply` gives, for the layer by itself, with one row and with several."""
    key = jax.random.key(subject.seed)
    params, shape = subject.layer.init(key, subject.shape)
    for n in (1, 3):
        out = jax.eval_shape(
            lambda p, x: _values(run(subject.layer, p, subject.batch(x), key)),
            params,
            jnp.ones((n, *subject.extents)),
        )
        if out.shape != (n, *subject.extents_of(shape)):
            subject.fail("shapes_agree", f"init says {shape}, apply gives {out.shape} for {n} rows")


def rates_are_shaped_like_parameters(subject: Subject) -> None:
    """`rates` gives a finite factor ≥ 0 for every parameter."""
    law = "rates_are_shaped_like_parameters"
    params, _ = subject.layer.init(jax.random.key(subject.seed), subject.shape)
    rates = subject.layer.rates(params)
    if not bool(jax.tree.structure(rates) == jax.tree.structure(params)):  # type: ignore[operator]
        subject.fail(law, f"rates are {jax.tree.structure(rates)}, parameters {jax.tree.structure(params)}")
    for r, p in zip(jax.tree.leaves(rates), jax.tree.leaves(params), strict=True):
        if np.shape(r) != np.shape(p):
            subject.fail(law, f"a rate is shaped {np.shape(r)}, its parameter {np.shape(p)}")
        if not (np.isfinite(r) & (np.asarray(r) >= 0)).all():
            subject.fail(law, "a rate is negative or not finite")


def spec_round_trips(subject: Subject) -> None:
    """The network is what `to_spec`, JSON text and `from_spec` make of it, exactly."""
    spec = to_spec(subject.net)
    text = json.dumps(spec)
    for source in (spec, text):
        again = from_spec(source)
        if to_spec(again) != spec or not eqx.tree_equal(again, subject.net):
            subject.fail("spec_round_trips", f"{text} becomes {json.dumps(to_spec(again))}")


def cross_is_block_of_joint(subject: Subject) -> None:
    """The kernel of (x1, x2) is the block of the kernel of all rows."""
    n = len(subject.x1)
    block = [k[:n, n:] for k in subject.joint]
    cross = subject.kernel(subject.net, subject.x1, subject.x2)
    subject.demand_near("cross_is_block_of_joint", "of (x1, x2)", cross, block, _ROUNDING)


def kernel_is_symmetric(subject: Subject) -> None:
    """k(x, x') = k(x', x), exactly for one batch and to rounding for two."""
    turned = [_turned(k) for k in subject.joint]
    subject.demand_near("kernel_is_symmetric", "of (x, x), transposed,", turned, subject.joint, 0.0)
    there, back = (
        subject.kernel(subject.net, subject.x1, subject.x2),
        subject.kernel(subject.net, subject.x2, subject.x1),
    )
    subject.demand_near(
        "kernel_is_symmetric", "of (x2, x1), transposed,", map(_turned, back), there, _ROUNDING
    )


def kernel_is_positive(subject: Subject) -> None:
    """No eigenvalue is negative by more than rounding, and no diagonal entry at all."""
    for name, k in zip(("nngp", "ntk"), subject.joint, strict=True):
        matrix = k if k.ndim == 2 else k.transpose(0, 2, 1, 3).reshape(k.shape[0] * k.shape[2], -1)
        lowest, trace = float(np.linalg.eigvalsh(matrix)[0]), float(np.trace(matrix))
        if lowest < -_QUADRATURE * trace or np.diagonal(matrix).min() < 0:
            subject.fail(
                "kernel_is_positive",
                f"the {name} has an eigenvalue of {lowest:.3g} with a trace of {trace:.3g}",
            )


def plan_changes_nothing(subject: Subject) -> None:
    """What `needs` leaves out is not missed: all pairs of positions, the diagonal alone, single examples agree."""
    law, joint = "plan_changes_nothing", subject.joint
    subject.demand_near(
        law,
        "with everything known",
        moments_by_layer(subject.net, subject.batch(subject.x))[-1][1],
        joint,
        _ROUNDING,
    )
    own = [np.einsum("ii...->i...", k) for k in joint]
    subject.demand_near(
        law, "of every row with itself", diagonal(subject.net, subject.batch(subject.x)), own, _ROUNDING
    )
    if joint.nngp.ndim == 4:
        mean = [np.einsum("ijpp->ij", k) / k.shape[-1] for k in joint]
        subject.demand_near(
            law, "behind Flatten", subject.kernel(subject.net >> Flatten(), subject.x), mean, _ROUNDING
        )


def zero_rows_are_finite(subject: Subject) -> None:
    """Rows of zeros, without biases below, have a finite kernel with a finite gradient."""
    first = eqx.tree_at(lambda layer: layer.b_std, subject.net.layers[0], 0.0)
    net = eqx.tree_at(lambda n: n.layers[0], subject.net, first)
    x = subject.x * (np.arange(len(subject.x)) % 3 != 1).reshape(-1, *[1] * (subject.x.ndim - 1))
    pair = subject.kernel(net, x)
    subject.demand_near("zero_rows_are_finite", "with rows of zeros", pair, pair, 0.0)
    _demand_finite(subject, "zero_rows_are_finite", _gradients(subject)(net, x)[1])


def float32_is_near_float64(subject: Subject) -> None:
    """Both precisions agree to 1e-4 of the largest entry, and single precision stays single."""
    law, x = "float32_is_near_float64", subject.x.astype(np.float32)
    single = subject.kernel(subject.net, x)
    if any(k.dtype != np.float32 for k in single):
        subject.fail(law, f"float32 data give {single.nngp.dtype}")
    subject.demand_near(law, "in float32", single, subject.kernel(subject.net, x.astype(np.float64)), 1e-4)


def jit_is_eager(subject: Subject) -> None:
    """The kernel inside of a trace is the one outside."""
    pair, _ = _gradients(subject)(subject.net, subject.x)
    subject.demand_near("jit_is_eager", "under jit", pair, subject.joint, _ROUNDING)


def new_values_compile_nothing(subject: Subject) -> None:
    """Other values of the hyperparameters run in the programs of the first, under `jit` and outside of it."""
    law, program = "new_values_compile_nothing", _gradients(subject)
    program(subject.net, subject.x)
    subject.kernel(subject.net, subject.x)
    compiled: list[str] = []

    def listen(event: str, *_: Any, **__: Any) -> None:
        if event == _COMPILATION:
            compiled.append(event)

    traced = program.traces
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        pair = subject.kernel(subject.changed, subject.x)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    inside, _ = program(subject.changed, subject.x)
    if compiled:
        subject.fail(law, f"nk.kernel compiled {len(compiled)} programs anew")
    if program.traces != traced:
        subject.fail(law, "jax.jit traced the kernel anew")
    subject.demand_near(law, "of the new values", inside, pair, _ROUNDING)


def gradients_are_derivatives(subject: Subject) -> None:
    """Gradients are finite and equal central differences, in inputs and in every hyperparameter, also at equal rows."""
    law = "gradients_are_derivatives"
    _, (of_net, of_x) = _gradients(subject)(subject.net, subject.x)
    _demand_finite(subject, law, (of_net, of_x))
    draw = np.random.default_rng(subject.seed)
    way = draw.normal(size=subject.x.shape)
    ends = [_weighted(subject.kernel(subject.net, subject.x + s * _STEP * way)) for s in (1, -1)]
    _demand_derivative(subject, "the inputs", float(np.sum(np.asarray(of_x) * way)), ends)
    leaves, tree = jax.tree.flatten(subject.net)
    jumps = getattr(subject.layer, "discontinuous", False)
    for i, (path, gradient) in enumerate(jax.tree.leaves_with_path(of_net)):
        if jumps and np.ndim(leaves[i]) == 0 and leaves[i] == 0:
            continue  # the learning rates below a jump: there is no tangent kernel but at 0
        for place in np.ndindex(np.shape(leaves[i])):
            nets = [jax.tree.unflatten(tree, _moved(leaves, i, place, s * _STEP)) for s in (1, -1)]
            ends = [_weighted(subject.kernel(net, subject.x)) for net in nets]
            _demand_derivative(
                subject, f"net{jax.tree_util.keystr(path)}", float(np.asarray(gradient)[place]), ends
            )


def _moved(leaves: list, i: int, place: tuple[int, ...], step: float) -> list:
    leaf = np.array(leaves[i], dtype=np.float64)
    leaf[place] += step
    return [*leaves[:i], float(leaf) if leaf.ndim == 0 else leaf, *leaves[i + 1 :]]


def _demand_derivative(subject: Subject, name: str, gradient: float, ends: list) -> None:
    difference = float(ends[0] - ends[1]) / (2 * _STEP)
    size = max(float(np.max(np.abs(k))) for k in subject.joint)
    allowed = _DERIVATIVE * (size + abs(difference))
    if abs(gradient - difference) > allowed:
        subject.fail(
            "gradients_are_derivatives",
            f"along {name} the gradient is {gradient:.8g}, the central difference {difference:.8g}",
        )


def _demand_finite(subject: Subject, law: str, gradients: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(gradients):
        if not np.isfinite(leaf).all():
            subject.fail(law, f"the gradient in {jax.tree_util.keystr(path)} is not finite")


class _Program:
    """Both kernels of (x, x), and the gradients of a weighted sum of their entries, compiled; counts its traces."""

    def __init__(self, subject: Subject) -> None:
        self.traces = 0

        def run(net: Layer, x: jax.Array) -> tuple[KernelPair, tuple]:
            self.traces += 1

            def total(net: Layer, x: jax.Array) -> tuple[jax.Array, KernelPair]:
                pair = subject.kernel(net, x)
                return _weighted(pair), pair

            gradients, pair = jax.grad(total, argnums=(0, 1), has_aux=True)(net, x)
            return pair, gradients

        self.run = jax.jit(run, compiler_options=_FAST_TO_COMPILE)

    def __call__(self, net: Layer, x: np.ndarray) -> tuple[KernelPair, tuple]:
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, self.run(net, x))


def _gradients(subject: Subject) -> _Program:
    """The program of a subject, one for all laws."""
    if subject.program is None:
        subject.program = _Program(subject)
    return subject.program


def _weighted(pair: KernelPair) -> Any:
    """Σ weights · entries, different at every entry."""
    return sum(
        (np.cos(np.arange(k.size) + shift).reshape(k.shape) * k).sum() / k.size
        for shift, k in zip((0.3, 1.7), pair, strict=True)
    )


def _turned(k: np.ndarray) -> np.ndarray:
    return k.transpose(1, 0, 3, 2) if k.ndim == 4 else k.T


def _values(y: Any) -> Any:
    return y.values if isinstance(y, Padded) else y
