"""`sketch`: random features of both kernels of a network, in time linear in examples and in positions."""

import copy
import functools
import hashlib
import json
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkit.arrays import check_batch, check_whole, working_dtype
from ntkit.errors import InputError
from ntkit.features.draws import Draws
from ntkit.features.passage import Passage
from ntkit.kernels import check_network
from ntkit.layer import Layer
from ntkit.pair import KernelPair
from ntkit.spec import to_spec
from ntkit.tape import Average, Inflate, Instruction, NotOnTape, record

AT_ONCE = 96 * 2**20  # bytes of working arrays: larger blocks of examples are no faster


class Sketch:
    """Random features of a network; see `sketch`. It is a `KernelFn`, of the kernels that the features have."""

    def __init__(self, net: Layer, shape: tuple[int, ...], dimension: int, width: int, seed: int):
        self.net, self.shape, self.dimension, self.width, self.seed = net, shape, dimension, width, seed
        instructions = _instructions(net, shape)
        self._passages = {
            t: _asked(Passage(instructions, dimension, width, tangent=t), shape) for t in (False, True)
        }
        self._draws = {t: asked.drawn(seed) for t, (_, asked) in self._passages.items()}

    def reseeded(self, seed: int) -> "Sketch":
        """Independent features of the same network, by the same compiled program."""
        other = copy.copy(self)
        other.seed = seed
        other._draws = {t: asked.drawn(seed) for t, (_, asked) in self._passages.items()}
        return other

    def nngp(self, x: Any) -> Float[np.ndarray, "n m"]:
        """Features φ of every example, φ(x)·φ(x') ≈ NNGP."""
        return self._features(x, tangent=False)

    def ntk(self, x: Any) -> Float[np.ndarray, "n m"]:
        """Features ψ of every example, ψ(x)·ψ(x') ≈ NTK; at most `dimension` of them."""
        return self._features(x, tangent=True)

    def __call__(self, x1: Any, x2: Any = None) -> KernelPair:
        """Products of the features."""
        rows = self.nngp(x1), self.ntk(x1)
        columns = rows if x2 is None else (self.nngp(x2), self.ntk(x2))
        return KernelPair(*(a @ b.T for a, b in zip(rows, columns, strict=True)))

    def diag(self, x: Any) -> KernelPair:
        """Squared lengths of the features."""
        return KernelPair(*(np.sum(f**2, axis=1) for f in (self.nngp(x), self.ntk(x))))

    @property
    def fingerprint(self) -> str:
        """As that of a network's kernel."""
        what = {"net": to_spec(self.net), "sketch": [self.dimension, self.width, self.seed]}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _features(self, x: Any, *, tangent: bool) -> np.ndarray:
        rows = check_batch(x, "x")
        if rows.shape[1:] != self.shape:
            raise InputError(
                f"x must hold examples shaped {self.shape}, as the sketch does; found {rows.shape[1:]}"
            )
        rows = rows.astype(working_dtype(rows, None), copy=False)
        passage, asked = self._passages[tangent]
        # Blocks of a power of two, the last one filled up: few programs serve batches of all sizes.
        most = max(1, AT_ONCE // (asked.largest * rows.itemsize)).bit_length() - 1
        size = 1 << min(most, (len(rows) - 1).bit_length())
        with jax.enable_x64(rows.dtype == np.float64):
            draws = {name: value.astype(rows.dtype) for name, value in self._draws[tangent].items()}
            out = None
            for start in range(0, len(rows), size):
                block = rows[start : start + size]
                fill = np.repeat(block[-1:], size - len(block), axis=0)
                found = np.asarray(_run(passage, np.concatenate([block, fill]), draws))[: len(block)]
                out = np.empty((len(rows), found.shape[1]), rows.dtype) if out is None else out
                out[start : start + size] = found
        assert out is not None
        return out


def sketch(
    net: Layer, shape: tuple[int, ...], dimension: int, *, width: int | None = None, seed: int = 0
) -> Sketch:
    r"""Features whose inner products approximate both kernels, without any pair of examples being looked at.

    A covariance K becomes features φ, K ≈ φφᵀ, and a tangent kernel T features ψ. Weights and patches are linear in both.
    An activation f takes `width` random neurons, φ ← f(Wφ)/√width, whose covariance is the dual of φφᵀ, and ψ becomes a
    sketch of its tensor product with their slopes f′(Wφ), whose inner products are those that the theory multiplies. What
    grows too wide is folded by random signs. Every φ and ψ is then scaled to the exact variance of its example and position,
    which is known in linear time as far as no pooling has mixed positions; this halves the error.

    Args:
        net: The network, of layers that the fused engine has instructions for; no Dropout.
        shape: (*positions, channels) of one example.
        dimension: Of the features of the NTK, at least 2; the error falls as 1/√dimension.
        width: Random neurons a layer; None for half of `dimension`. Time grows as width² (taps · width² in a convolution),
            so convolutional networks take fewer, such as 256.
        seed: Of all draws; features of one seed belong together.

    Raises:
        InputError: The network does not take such examples, ends with positions, or has a layer without instructions.
        NoClosedFormError: Second moments do not determine the network's kernel.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(1) >> nk.Relu() >> nk.Dense(1)
        >>> features = nk.features.sketch(net, (3,), 4096)
        >>> psi = features.ntk(np.eye(3))
        >>> psi.shape, bool(np.abs(psi @ psi.T - nk.ntk(net, np.eye(3))).max() < 0.05)
        ((3, 4096), True)

    References:
        Zandieh, Han, Avron, Shoham, Kim and Shin, "Scaling neural tangent kernels via sketching and random features", 2021,
        algorithms 1 and 2 (arc-cosine features, tensor sketches; convolutions with average pooling); Cho and Saul, "Kernel
        methods for deep learning", 2009.
    """
    check_network(net)
    width = (
        max(1, check_whole("dimension", dimension, 2) // 2)
        if width is None
        else check_whole("width", width, 1)
    )
    return Sketch(net, tuple(shape), int(dimension), width, int(seed))


def _instructions(net: Layer, shape: tuple[int, ...]) -> list[Instruction]:
    try:
        found = record(net, tuple(shape))
        if any(isinstance(step, Average) for step in found):
            raise NotOnTape("branches side by side, as by Concat")
    except NotOnTape as missing:
        raise InputError(
            f"no sketch is known for {missing}; use nk.features.gradient_features, which takes every network"
        ) from None
    if any(isinstance(step, Inflate) for step in found):
        raise InputError(
            "a sketch has no features of Dropout's noise; leave Dropout out, and add to the ridge instead"
        )
    if found[-1].shape:
        raise InputError(
            f"the network ends with positions {found[-1].shape}; end it with a pooling or with Flatten"
        )
    return found


def _asked(passage: Passage, shape: tuple[int, ...]) -> tuple[Passage, Draws]:
    """The passage, and what it asks for on its way with one example."""
    asked = Draws()
    jax.eval_shape(lambda x: passage(x, asked), jax.ShapeDtypeStruct((1, *shape), np.float32))
    return passage, asked


@functools.partial(jax.jit, static_argnums=0)
def _run(passage: Passage, x: Any, draws: dict) -> Any:
    return passage(x, Draws(draws))
