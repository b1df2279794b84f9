"""Order and chaos of stacks of any block, residual and convolutional ones too, and how trainable they are with depth."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from ntkit.errors import InputError
from ntkit.kernels import moments_by_layer, ntk
from ntkit.layer import Layer, Serial, stages
from ntkit.layers import Dense, Flatten
from ntkit.solve.arrays import finite_array

ANGLE = 1e-3  # between two inputs that count as near
NEAR = 1e-3  # the largest 1 − correlation of a near pair
ROUNDING = 1e-12  # differences of correlations below have lost their digits
EDGE = 1e-2  # how far from 1 a slope may be that was measured at a finite depth


class StackPhase(NamedTuple):
    """What a block does to two inputs, again and again.

    Attributes:
        variance: (depth,) of a unit after each block, the mean over positions.
        slope: (depth,) by which each block multiplies 1 − correlation of two near inputs: χ₁ of that block. NaN once they
            are no longer near, or that difference has fallen to rounding.
        correlation: (depth,) of two far inputs, perpendicular ones.
        growth: by which the last block multiplied the variance; above 1 for residual blocks, that have no fixed point.
    """

    variance: Float64[np.ndarray, " depth"]
    slope: Float64[np.ndarray, " depth"]
    correlation: Float64[np.ndarray, " depth"]
    growth: float

    @property
    def name(self) -> str:
        """One of "ordered", "chaotic", and within 1 % of the edge "critical", by the slope of the last block that is known."""
        last = self.slope[np.isfinite(self.slope)][-1]
        if abs(last - 1) <= EDGE:
            return "critical"
        return "ordered" if last < 1 else "chaotic"


def stack_phase(
    block: Layer, depth: int, shape: tuple[int, ...] = (), *, variance: float = 1.0
) -> StackPhase:
    r"""Follows a near and a far pair of inputs through a stack of one block, for blocks that `phase` has no equations of.

    Inputs are the same at every position. Residual blocks have no fixed point of the variance: theirs grows, and the
    slope tends to 1 as a power of the depth, not exponentially.

    Args:
        block: Repeated; such as nk.Residual(nk.Relu() >> nk.Dense(1)), or nk.Conv(1, 3, padding="CIRCULAR") >> nk.Tanh().
        depth: How many, at least 2.
        shape: (*positions,) of the inputs; () for vectors.
        variance: Of the inputs, above 0.

    Raises:
        InputError: depth or variance is out of range, or the block cannot be repeated, or what `nk.nngp` refuses.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.analysis import stack_phase
        >>> found = stack_phase(nk.Residual(nk.Relu() >> nk.Dense(1)), 20)
        >>> found.name, round(found.growth, 6)
        ('critical', 1.5)

    References:
        Poole et al., "Exponential expressivity in deep neural networks through transient chaos", 2016, eq. 6 (χ₁); Yang and
        Schoenholz, "Mean field residual networks: on the edge of chaos", 2017, section 3.
    """
    if depth < 2 or not variance > 0:
        raise InputError(f"depth is {depth} and variance {variance}; expected at least 2, and above 0.")
    angles = np.array([0.0, ANGLE, np.pi / 2])
    rows = np.sqrt(2 * variance) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = np.broadcast_to(rows.reshape(3, *(1,) * len(shape), 2), (3, *shape, 2))
    every = len(stages(block))
    found = moments_by_layer(_stack(block, depth, x.shape[1:]), np.array(x))[every::every]
    kernels = np.array([_over_positions(pair.nngp) for _, pair in found])
    q = np.diagonal(kernels, axis1=1, axis2=2)
    correlation = kernels / np.sqrt(q[:, :, None] * q[:, None, :])
    apart = np.concatenate([[1 - np.cos(ANGLE)], 1 - correlation[:, 0, 1]])
    known = (np.minimum(apart[:-1], apart[1:]) > ROUNDING) & (apart[:-1] < NEAR)
    slope = np.where(known, apart[1:], np.nan) / np.where(known, apart[:-1], 1.0)
    return StackPhase(q[:, 0], slope, correlation[:, 0, 2], float(q[-1, 0] / q[-2, 0]))


def mode_depths(depth: float, kernel_size: int, extent: int) -> Float64[np.ndarray, " modes"]:
    r"""Depth scales of a convolutional stack's Fourier modes, from that of the dense stack: 1/ξ_k = 1/ξ − log|λ_k|.

    Deviations that vary over positions die out faster than uniform ones, since a convolution averages them; λ_k =
    Σ_t cos(2πkt/extent)/taps. For a grid of two dimensions the λ of both multiply, so 1/ξ of both add but for one 1/ξ.

    Args:
        depth: ξ_q or ξ_c of `phase`, in layers; may be infinite.
        kernel_size: Taps in one dimension, odd.
        extent: Positions round the (circular) grid.

    Returns:
        ξ_k in layers for k = 0 … extent/2; 0 where a mode vanishes at once.

    Raises:
        InputError: kernel_size is not odd, or larger than the extent.

    Example:
        >>> from ntkit.analysis import mode_depths
        >>> mode_depths(float("inf"), 3, 8).round(3).tolist()
        [inf, 4.603, 0.91, 0.505, 0.91]

    References:
        Xiao, Bahri, Sohl-Dickstein, Schoenholz and Pennington, "Dynamical isometry and a mean field theory of CNNs", 2018,
        section 2.2.
    """
    if kernel_size % 2 != 1 or not 0 < kernel_size <= extent:
        raise InputError(f"kernel_size is {kernel_size}; expected an odd number of at most {extent}.")
    taps = np.arange(kernel_size) - kernel_size // 2
    modes = np.arange(extent // 2 + 1)
    averages = np.abs(np.cos(2 * np.pi * np.outer(modes, taps) / extent).mean(axis=1))
    with np.errstate(divide="ignore"):
        rates = 1 / depth - np.log(averages)
        return np.where(averages < 1e-12, 0.0, 1 / np.where(np.abs(rates) < 1e-12, 0.0, rates))


class Trainability(NamedTuple):
    """The NTK of stacks of several depths.

    Attributes:
        depths: (d,)
        condition: (d,) λ_max/λ_min: steps of gradient descent that the slowest mode needs grow with it.
        correlation: (d,) the mean of Θ(x, x')/√(Θ(x, x) Θ(x', x')) over pairs: near 1, all inputs look alike and training
            is slow; near 0, all look unrelated, and training is fast and teaches nothing about other inputs.
        size: (d,) the mean of Θ(x, x).
    """

    depths: Int64[np.ndarray, " d"]
    condition: Float64[np.ndarray, " d"]
    correlation: Float64[np.ndarray, " d"]
    size: Float64[np.ndarray, " d"]


def trainability(
    block: Layer, depths: Sequence[int], x: ArrayLike, *, end: Layer | None = None
) -> Trainability:
    r"""Condition and correlations of the NTK of a block repeated: how deep may the network be?

    In the ordered phase the condition grows exponentially, in the chaotic phase it tends to 1 with nothing learnt about
    other inputs, on the edge it stays bounded.

    Args:
        block: Repeated.
        depths: At least one, each at least 1.
        x: (n, …) at least 2 inputs, different ones; they enter by Dense(w_std=1), which keeps their kernel.
        end: After the last block; None for Dense(1), after Flatten where inputs have positions.

    Raises:
        InputError: There is no depth, or fewer than 2 inputs, or the block cannot be repeated, or what `nk.ntk` refuses.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> from ntkit.analysis import trainability
        >>> ordered = trainability(nk.Dense(1, 1.0, 0.3) >> nk.Tanh(), [2, 10, 20], np.eye(3))
        >>> bool((np.diff(ordered.condition) > 0).all())
        True

    References:
        Xiao, Pennington and Schoenholz, "Disentangling trainability and generalization in deep neural networks", 2020,
        table 1 and section 3.
    """
    rows = finite_array(x, "x")
    if len(depths) == 0 or len(rows) < 2:
        raise InputError(
            f"depths is {list(depths)} and x has {len(rows)} rows; expected a depth, and at least 2 rows."
        )
    if end is None:
        end = Dense(1) if rows.ndim == 2 else Flatten() >> Dense(1)
    found = []
    for depth in depths:
        k = ntk(Serial((*_stack(block, depth, rows.shape[1:]).layers, *stages(end))), rows)
        size = np.diag(k)
        off = ~np.eye(len(k), dtype=bool)
        related = (k / np.sqrt(size[:, None] * size))[off].mean()
        values = np.linalg.eigvalsh(k)
        condition = values[-1] / values[0] if values[0] > np.finfo(float).eps * values[-1] else np.inf
        found.append((condition, related, size.mean()))
    return Trainability(np.array(depths), *(np.array(column) for column in zip(*found, strict=True)))


def _stack(block: Layer, depth: int, shape: tuple[int, ...]) -> Serial:
    """A way in that gives as many channels as the block does, and the block, repeated."""
    layers = jax.tree.leaves(block, is_leaf=lambda layer: hasattr(layer, "width"))
    for width in sorted({1, *(layer.width for layer in layers if hasattr(layer, "width"))}):
        try:
            out = eqx.filter_eval_shape(block.init, jax.random.key(0), (*shape[:-1], width))[1]
        except InputError:
            continue
        if out == (*shape[:-1], width):
            # Not `Repeat`: layers one after another share their programs, whatever the depth.
            return Serial((Dense(width), *stages(block) * depth))
    raise InputError(
        "the block cannot be repeated: it changes the positions or the number of channels of its inputs."
    )


def _over_positions(kernel: np.ndarray) -> np.ndarray:
    """(n, n) means over equal positions of (n, n, P, P)."""
    return kernel if kernel.ndim == 2 else np.diagonal(kernel, axis1=2, axis2=3).mean(axis=-1)
