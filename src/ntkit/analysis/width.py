"""How finite networks approach the infinite one: distances of their kernels over widths, the rate, the first correction."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.stats
from jaxtyping import Float64, Int64

from ntkit.errors import InputError
from ntkit.finite import empirical
from ntkit.kernels import kernel
from ntkit.layer import Layer, Serial


class Rate(NamedTuple):
    """distance ∝ width^exponent, fitted to logarithms, one fit a seed.

    Attributes:
        exponent: mean over seeds.
        low: lower end of its interval of 95 %.
        high: upper end.
    """

    exponent: float
    low: float
    high: float


class WidthStudy(NamedTuple):
    """Kernels of random networks of several widths beside those of the infinite one.

    Attributes:
        widths: (w,)
        nngp: (w, seeds) ‖K̂ − K‖/‖K‖, K̂ being the kernel of the last layer's inputs.
        ntk: (w, seeds) the same of the empirical tangent kernel.
        nngp_rate: of the first.
        ntk_rate: of the second; −½ where the limit is approached as the theory says.
        ntk_correction: (n, n) C of E Θ̂ = Θ + C/width + …, from the means at the two smallest widths.
        ntk_correction_error: (n, n) its standard error, infinite with one seed.
    """

    widths: Int64[np.ndarray, " w"]
    nngp: Float64[np.ndarray, "w seeds"]
    ntk: Float64[np.ndarray, "w seeds"]
    nngp_rate: Rate
    ntk_rate: Rate
    ntk_correction: Float64[np.ndarray, "n n"]
    ntk_correction_error: Float64[np.ndarray, "n n"]


def width_study(
    network: Callable[[int], Layer], widths: Sequence[int], x: Any, *, seeds: int = 8, seed: int = 0
) -> WidthStudy:
    r"""Draws networks of each width, and measures how far their kernels are from the infinite ones.

    Args:
        network: width → a network that ends with a layer with weights, such as Dense(1).
        widths: at least 2, rising.
        x: (n, …) a few points; float32.
        seeds: networks of each width, at least 2.
        seed: of the first.

    Raises:
        InputError: there are too few widths or seeds, widths do not rise, or the last layer has no weights.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> from ntkit.analysis import width_study
        >>> def net(width):
        ...     return nk.Dense(width, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)
        >>> found = width_study(net, [32, 512], np.eye(3, dtype="f"), seeds=4)
        >>> bool(found.ntk[1].mean() < found.ntk[0].mean())
        True

    References:
        Jacot, Gabriel and Hongler, "Neural tangent kernel", 2018, theorem 1; Huang and Yau, "Dynamics of deep neural
        networks and neural tangent hierarchy", 2020, and Hanin and Nica, "Finite depth and width corrections to the
        neural tangent kernel", 2020, on the order of fluctuations, 1/√width, and of the mean, 1/width.
    """
    check_study(widths, seeds)
    limit = kernel(network(widths[0]), x)
    distances = np.empty((2, len(widths), seeds))
    tangents = np.empty((2, seeds, len(limit.ntk), len(limit.ntk)))
    for i, width in enumerate(widths):
        net = network(width)
        for j in range(seeds):
            nngp, ntk = _kernels(net, x, seed + j)
            distances[:, i, j] = _relative(nngp, limit.nngp), _relative(ntk, limit.ntk)
            if i < 2:
                tangents[i, j] = ntk
    scale = 1 / (1 / widths[0] - 1 / widths[1])
    spread = np.sqrt(np.sum(tangents.var(axis=1, ddof=1), axis=0) / seeds)
    return WidthStudy(
        np.array(widths),
        distances[0],
        distances[1],
        fitted_rate(widths, distances[0]),
        fitted_rate(widths, distances[1]),
        scale * (tangents[0].mean(axis=0) - tangents[1].mean(axis=0)),
        scale * spread,
    )


def check_study(widths: Sequence[int], seeds: int) -> None:
    """Raise `InputError` unless there are at least 2 rising widths and 2 seeds."""
    if len(widths) < 2 or any(b <= a for a, b in itertools.pairwise(widths)):
        raise InputError(f"widths is {list(widths)}; expected at least 2, rising.")
    if seeds < 2:
        raise InputError(f"seeds is {seeds}; expected at least 2, for an interval.")


def fitted_rate(widths: Sequence[int], distances: Float64[np.ndarray, "w seeds"]) -> Rate:
    r"""The exponent of a power law in the width, with Student's interval from one fit a seed.

    Args:
        widths: at least 2.
        distances: (w, seeds) above 0, of at least 2 seeds.

    Raises:
        InputError: the shape is wrong, or a distance is not above 0.

    Example:
        >>> import numpy as np
        >>> from ntkit.analysis import fitted_rate
        >>> round(fitted_rate([10, 100], np.array([[1.0, 2.0], [0.1, 0.2]])).exponent, 12)
        -1.0
    """
    if distances.shape[0] != len(widths) or distances.shape[1] < 2 or not (distances > 0).all():
        raise InputError(
            f"distances has shape {distances.shape}; expected ({len(widths)}, seeds) above 0, of at least 2 seeds."
        )
    t = np.log(widths) - np.mean(np.log(widths))
    fits = t @ np.log(distances) / (t @ t)
    half = scipy.stats.t.ppf(0.975, len(fits) - 1) * fits.std(ddof=1) / len(fits) ** 0.5
    return Rate(float(fits.mean()), float(fits.mean() - half), float(fits.mean() + half))


def _kernels(net: Layer, x: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of one network: that of its last layer's inputs, and the tangent kernel."""
    params, _ = net.init(jax.random.key(seed), np.shape(x)[1:])
    rates = net.rates(params)
    if not isinstance(net, Serial) or not jax.tree.leaves(params[-1]):
        raise InputError("the network ends without weights; expected a last layer such as Dense(1).")
    # Where the last layer alone is trained, the tangent kernel is that of its inputs, w_std² and biases included.
    last = [jax.tree.map(np.zeros_like, r) for r in rates[:-1]]
    last.append(jax.tree.map(np.ones_like, rates[-1]))
    nngp, ntk = (
        np.asarray(empirical.ntk(net.apply, params, x, form="trace", rates=r), float)
        for r in (type(rates)(last), rates)
    )
    return nngp, ntk


def _relative(found: np.ndarray, limit: np.ndarray) -> float:
    return float(np.linalg.norm(found - limit) / np.linalg.norm(limit))
