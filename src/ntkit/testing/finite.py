"""The law against which all others are bookkeeping: finite networks have the kernel that the layer says."""

import math

import jax
import numpy as np

from ntkit.pair import KernelPair
from ntkit.sampling import SampledKernel, sample
from ntkit.testing.subject import Subject
from ntkit.testing.widths import count_weights

_LAW = "finite_networks_agree"
_SIGMAS = 4.0
_MOST = 64  # times `count` networks, then give up
_UNITS = 2  # of whose outputs the tangent kernel is taken: wide layers concentrate it already


def finite_networks_agree(subject: Subject, *, count: int, error: float) -> None:
    """The mean kernel of `count` or more networks lies within 4 standard errors + 2·depth/width of the infinite one.

    Both parts are relative to √(k(x, x) k(x', x')). Twice the depth over the width allows for what finite networks
    truly differ by; a network of half the width tells in the message whether a disagreement goes away with width.
    """
    width = subject.width
    expected, found = _compare(subject, width, count, error)
    worst = max(_entries(expected, found, 2 * count_weights(subject.net) / width), key=lambda entry: entry[0])
    excess, name, place, value, limit, se = worst
    if excess <= 1:
        return
    half_expected, half = _compare(subject, width // 2, count, error)
    off = value - limit
    off_half = getattr(half, name)[place] - getattr(half_expected, name)[place]
    subject.fail(
        _LAW,
        f"the {name} of {found.count} networks of width {width} is {value:.5g} ± {se:.2g} at {place}, the infinite one "
        f"{limit:.5g}: off by {off:.3g}, {excess:.2g} times what is allowed (at width {width // 2} by {off_half:.3g})",
    )


def _compare(subject: Subject, width: int, count: int, error: float) -> tuple[KernelPair, SampledKernel]:
    """The infinite kernel and that of finite networks, as many as the standard error asks for."""
    net = subject.widened_to(width, frozen=True)
    rows = np.array([0, 1, 4, 5])  # of x, none of them equal
    x = subject.x[rows]
    expected = KernelPair(*(k[np.ix_(rows, rows)] for k in subject.kernel(net, subject.x)))
    key = jax.random.key(subject.seed)
    found = sample(net, subject.batch(x.astype(np.float32)), key=key, count=count, units=_UNITS)
    while (worst := _largest_error(expected, found)) > error:
        more = math.ceil(count * max(1.0, 1.1 * found.count / count * ((worst / error) ** 2 - 1)))
        if not found.count + more <= _MOST * count:
            subject.fail(
                _LAW,
                f"the standard error of {found.count} networks of width {width} is {worst:.1%} of the diagonal, more than "
                f"{error:.1%}, and would need {found.count + more} networks: take smaller hyperparameters or a larger count",
            )
        key, now = jax.random.split(key)
        found = found.merge(
            sample(net, subject.batch(x.astype(np.float32)), key=now, count=more, units=_UNITS)
        )
    return expected, found


def _scale(k: np.ndarray) -> np.ndarray:
    """√(k(x, x) k(x', x')) at every entry, positions included."""
    if k.ndim == 2:
        own = np.sqrt(np.diagonal(k))
        return own[:, None] * own[None, :]
    own = np.sqrt(np.einsum("iipp->ip", k))
    return own[:, None, :, None] * own[None, :, None, :]


def _largest_error(expected: KernelPair, found: SampledKernel) -> float:
    worst = 0.0
    for k, se in ((expected.nngp, found.nngp_error), (expected.ntk, found.ntk_error)):
        scale = _scale(k)
        worst = max(worst, float(np.max(np.where(scale > 0, se / np.where(scale > 0, scale, 1.0), 0.0))))
    return worst


def _entries(expected: KernelPair, found: SampledKernel, slack: float):
    """The entry of each kernel that exceeds its allowance the most: (factor, name, place, found, expected, error)."""
    for name in ("nngp", "ntk"):
        k, mean, se = getattr(expected, name), getattr(found, name), getattr(found, f"{name}_error")
        allowed = _SIGMAS * se + slack * _scale(k)
        factor = np.abs(mean - k) / np.where(allowed > 0, allowed, np.finfo(float).tiny)
        place = tuple(int(i) for i in np.unravel_index(np.argmax(factor), factor.shape))
        yield float(factor[place]), name, place, float(mean[place]), float(k[place]), float(se[place])
