"""How the training of finite networks approaches that of the infinite one as they grow wider."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, Int64

from ntkit import finite
from ntkit.analysis.kernel_change import kernel_distance
from ntkit.analysis.width import Rate, check_study, fitted_rate
from ntkit.kernels import ntk
from ntkit.layer import Layer
from ntkit.predict import gradient_descent


class TrajectoryStudy(NamedTuple):
    """Networks of several widths after training, beside the infinite network from the same initial outputs.

    Attributes:
        widths: (w,)
        distance: (w, seeds) ‖f − f̂‖/‖f̂ − f₀‖ of outputs at the last step, the infinite network's f̂.
        kernel_change: (w, seeds) kernel distance of the tangent kernels at the end and at the start.
        movement: (w, seeds) ‖θ − θ₀‖/‖θ₀‖.
        distance_rate: of the first; −½ for the infinite kernel's own error.
        kernel_change_rate: of the second; −2, since it is quadratic in a change of order 1/width.
        movement_rate: of the third; −½ with one hidden layer, −1 with more: ‖θ − θ₀‖ stays, and ‖θ₀‖ is √(number of weights).
    """

    widths: Int64[np.ndarray, " w"]
    distance: Float64[np.ndarray, "w seeds"]
    kernel_change: Float64[np.ndarray, "w seeds"]
    movement: Float64[np.ndarray, "w seeds"]
    distance_rate: Rate
    kernel_change_rate: Rate
    movement_rate: Rate


def trajectory_study(
    network: Callable[[int], Layer],
    widths: Sequence[int],
    x: Any,
    y: Any,
    *,
    steps: int,
    learning_rate: float,
    seeds: int = 4,
    seed: int = 0,
) -> TrajectoryStudy:
    r"""Trains networks of each width by gradient descent on the squared loss.

    Args:
        network: width → a network.
        widths: at least 2, rising.
        x: (n, …) a few points; float32.
        y: (n, o) targets, o being the outputs of the network.
        steps: of gradient descent.
        learning_rate: of each; below the largest stable one of the infinite network.
        seeds: networks of each width, at least 2.
        seed: of the first.

    Raises:
        InputError: there are too few widths or seeds, widths do not rise, or the learning rate is too large.
        NumericalError: a training diverged.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> from ntkit.analysis import trajectory_study
        >>> def net(width):
        ...     return nk.Dense(width) >> nk.Erf() >> nk.Dense(1)
        >>> x, y = np.eye(3, dtype="f"), np.array([[1.0], [0.0], [-1.0]], "f")
        >>> found = trajectory_study(net, [32, 1024], x, y, steps=50, learning_rate=1.0)
        >>> bool(found.distance[1].mean() < found.distance[0].mean())
        True

    References:
        Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", 2019, theorem 2.1 and
        figure 1.
    """
    check_study(widths, seeds)
    infinite = ntk(network(widths[0]), x, dtype=np.float64)
    found = np.empty((3, len(widths), seeds))
    for i, width in enumerate(widths):
        net = network(width)
        for j in range(seeds):
            found[:, i, j] = _one(net, infinite, x, y, steps, learning_rate, seed + j)
    return TrajectoryStudy(np.array(widths), *found, *(fitted_rate(widths, values) for values in found))


def _one(
    net: Layer, infinite: np.ndarray, x: Any, y: Any, steps: int, learning_rate: float, seed: int
) -> tuple[float, float, float]:
    """Distance, change of the kernel and movement of one network."""
    params, _ = net.init(jax.random.key(seed), np.shape(x)[1:])
    rates = net.rates(params)
    run = finite.train(
        net.apply, params, x, y, steps=steps, learning_rate=learning_rate, rates=rates, record=[0, steps]
    )
    start, end = run.outputs["train"].astype(float)
    expected = gradient_descent(infinite, np.asarray(y, float), learning_rate=learning_rate, f0_train=start)
    predicted = expected.train(np.array([steps]))[0]
    kernels = [finite.empirical.ntk(net.apply, p, x, form="trace", rates=rates) for p in (params, run.params)]
    distance = float(np.linalg.norm(end - predicted) / np.linalg.norm(predicted - start))
    return distance, kernel_distance(*(np.asarray(k, float) for k in kernels)), float(run.moved[-1])
