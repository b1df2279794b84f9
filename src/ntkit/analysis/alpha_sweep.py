"""Lazy by scale: one network trained at several scales of its outputs, from rich to lazy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ntkit import finite
from ntkit.analysis.kernel_change import kernel_distance
from ntkit.errors import InputError
from ntkit.solve.arrays import finite_array


class AlphaSweep(NamedTuple):
    """What training did at each scale; all of them fall to 0 as the network becomes lazy.

    Attributes:
        alphas: (a,)
        kernel_distance: (a,) of the tangent kernel at the end from that at the start.
        movement: (a,) ‖θ − θ₀‖/‖θ₀‖.
        linearisation_error: (a,) ‖h − h̄‖/‖h̄‖ on the training points, h̄ being the linearised network, trained alike.
        loss: (a,) in the end.
    """

    alphas: Float64[np.ndarray, " a"]
    kernel_distance: Float64[np.ndarray, " a"]
    movement: Float64[np.ndarray, " a"]
    linearisation_error: Float64[np.ndarray, " a"]
    loss: Float64[np.ndarray, " a"]


def alpha_sweep(
    f: Callable,
    params: Any,
    x: Any,
    y: Any,
    alphas: ArrayLike,
    *,
    steps: int,
    learning_rate: float,
    rates: Any = None,
) -> AlphaSweep:
    r"""Trains h(θ) = α (f(θ) − f(θ₀)) at every α, with steps of learning_rate/α², so that outputs move alike.

    Args:
        f: f(params, x) → (n, *outputs).
        params: θ₀.
        x: (n, …) training points.
        y: (n, *outputs) targets.
        alphas: (a,) above 0. Small ones need small steps: what is learnt is of the size of y, so weights move by y/α.
        steps: of each run.
        learning_rate: at α = 1.
        rates: factors on gradients, as those of `nk.finite.train`.

    Raises:
        InputError: an α is not above 0, or what `nk.finite.train` refuses.
        NumericalError: a run diverged.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(32) >> nk.Erf() >> nk.Dense(1)
        >>> params, _ = net.init(jax.random.key(0), (2,))
        >>> x, y = np.eye(2, dtype="f"), np.array([[1.0], [-1.0]], "f")
        >>> found = nk.analysis.alpha_sweep(net.apply, params, x, y, [1, 10], steps=100, learning_rate=0.5)
        >>> bool(found.kernel_distance[1] < found.kernel_distance[0])
        True

    References:
        Chizat, Oyallon and Bach, "On lazy training in differentiable programming", 2019, section 2 and theorem 2.2.
    """
    scales = finite_array(alphas, "alphas")
    if scales.ndim != 1 or scales.size == 0 or (scales <= 0).any():
        raise InputError(f"alphas has shape {scales.shape}; expected (a,), at least one, each above 0.")
    centred = finite.centre(f, params)
    straight = finite.centre(finite.linearize(f, params), params)
    found = []
    for alpha in scales.tolist():
        how = {"steps": steps, "learning_rate": learning_rate / alpha**2, "rates": rates, "record": [steps]}
        real = finite.train(finite.scale(centred, alpha), params, x, y, **how)
        line = finite.train(finite.scale(straight, alpha), params, x, y, **how)
        kernels = [finite.empirical.ntk(f, p, x, form="trace", rates=rates) for p in (params, real.params)]
        outputs, expected = (run.outputs["train"][-1] for run in (real, line))
        found.append(
            (
                kernel_distance(*(np.asarray(k, float) for k in kernels)),
                float(real.moved[-1]),
                float(np.linalg.norm(outputs - expected) / np.linalg.norm(expected)),
                float(real.loss[-1]),
            )
        )
    return AlphaSweep(scales, *(np.array(column) for column in zip(*found, strict=True)))
