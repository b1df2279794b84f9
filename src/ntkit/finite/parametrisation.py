"""abc-parametrisations of fully connected networks: how weights, their initial size and the learning rate go with the width."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError


@dataclasses.dataclass(frozen=True)
class Parametrisation:
    """Exponents of the width n, for L hidden layers: Wˡ = n^(−aˡ) wˡ, wˡ ~ N(0, n^(−2bˡ)), learning rate η n^(−c).

    Attributes:
        a: (L + 1,), exponents of the multipliers.
        b: (L + 1,), of the initial standard deviations.
        c: Of the learning rate.

    Example:
        >>> from ntkit.finite import Parametrisation
        >>> [Parametrisation.named(name, hidden=2).regime for name in ("standard", "ntk", "mup")]
        ['kernel', 'kernel', 'feature learning']

    References:
        Yang & Hu (2021), "Tensor Programs IV: Feature Learning in Infinite-Width Neural Networks", Definition 1.1 and Table 1.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float

    def __post_init__(self) -> None:
        if len(self.a) != len(self.b) or len(self.a) < 2:
            raise InputError(
                "a and b must hold an exponent for every layer of weights, at least two; found "
                f"{len(self.a)} and {len(self.b)}"
            )

    @classmethod
    def named(cls, name: str, hidden: int) -> "Parametrisation":
        """One of the usual ones, for `hidden` hidden layers.

        Args:
            name: "standard", its learning rate the largest that is stable, c = 1; "ntk"; "mup", the maximal update; or
                "mean_field", of one hidden layer.
            hidden: L, ≥ 1.

        Raises:
            InputError: There is none of this name or depth.
        """
        if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
            raise InputError(f"hidden must be a whole number of at least 1, found {hidden!r}")
        half = (0.5,) * hidden
        zero = (0.0,) * hidden
        known = {
            "standard": cls((0.0, *zero), (0.0, *half), 1.0),
            "ntk": cls((0.0, *half), (0.0, *zero), 0.0),
            "mup": cls((-0.5, *zero[1:], 0.5), (0.5, *half), 0.0),
            "mean_field": cls((0.0, 1.0), (0.0, 0.0), -1.0),
        }
        if name not in known:
            raise InputError(f"name must be one of {', '.join(known)}; found {name!r}")
        if name == "mean_field" and hidden != 1:
            raise InputError(f"the mean-field parametrisation has one hidden layer, found {hidden}; use mup")
        return known[name]

    @property
    def r(self) -> float:
        """The exponent of how features move, n^(−r): r = min(b_out, a_out + c) + a_out + c + min_l (2a_l + [l = 1]) − 1.

        References:
            Yang & Hu (2021), Definition 3.2.
        """
        *inner, out = self.a
        first = min(2 * a + (k == 0) for k, a in enumerate(inner))
        return min(self.b[-1], out + self.c) + out + self.c + first - 1

    @property
    def stable(self) -> bool:
        """Whether nothing grows with the width, neither at the start nor in training.

        References:
            Yang & Hu (2021), Theorem 3.3.
        """
        start = [a + b for a, b in zip(self.a, self.b, strict=True)]
        settled = start[0] == 0 and all(s == 0.5 for s in start[1:-1]) and start[-1] >= 0.5
        return settled and self.r >= 0 and 2 * self.a[-1] + self.c >= 1 and start[-1] + self.r >= 1

    @property
    def nontrivial(self) -> bool:
        """Whether training moves the outputs at all.

        References:
            Yang & Hu (2021), Theorem 3.4.
        """
        return self.a[-1] + self.b[-1] + self.r == 1 or 2 * self.a[-1] + self.c == 1

    @property
    def regime(self) -> str:
        """What an infinitely wide network does in training: "unstable", "trivial", "feature learning" or "kernel".

        References:
            Yang & Hu (2021), Corollary 3.9: a stable and nontrivial parametrisation learns features if r = 0, and follows
            a kernel if r > 0, never both.
        """
        if not self.stable:
            return "unstable"
        if not self.nontrivial:
            return "trivial"
        return "feature learning" if self.r == 0 else "kernel"


class AbcMlp:
    """A fully connected network of one width under a parametrisation; without biases.

    Args:
        parametrisation: The exponents.
        width: n.
        outputs: How many.
        activation: Of hidden layers.

    Example:
        >>> import jax, numpy as np
        >>> from ntkit.finite import AbcMlp, Parametrisation
        >>> net = AbcMlp(Parametrisation.named("mup", hidden=2), width=32)
        >>> params = net.init(jax.random.key(0), inputs=3)
        >>> net(params, np.ones((4, 3))).shape
        (4, 1)
    """

    def __init__(
        self,
        parametrisation: Parametrisation,
        width: int,
        outputs: int = 1,
        activation: Callable[[Array], Array] = jnp.tanh,
    ):
        for name, value in (("width", width), ("outputs", outputs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, found {value!r}")
        self.parametrisation, self.width, self.outputs, self.activation = (
            parametrisation,
            width,
            outputs,
            activation,
        )

    def init(self, key: PRNGKeyArray, inputs: int) -> list[Array]:
        """Weights wˡ for examples with so many features."""
        b, n = self.parametrisation.b, self.width
        sizes = [inputs, *[n] * (len(b) - 1), self.outputs]
        keys = jax.random.split(key, len(b))
        # The input's size does not grow with the width, and takes its usual root.
        spread = [n**-e for e in b]
        spread[0] /= inputs**0.5
        shapes = itertools.pairwise(sizes)
        return [jax.random.normal(k, s) * d for k, s, d in zip(keys, shapes, spread, strict=True)]

    def layers(self, params: list[Array], x: Array) -> list[Array]:
        """Preactivations of every layer, the outputs last."""
        found, h = [], jnp.asarray(x)
        for k, (w, a) in enumerate(zip(params, self.parametrisation.a, strict=True)):
            h = self.width**-a * (h @ w)
            found.append(h)
            h = self.activation(h) if k + 1 < len(params) else h
        return found

    def __call__(self, params: list[Array], x: Array) -> Array:
        """Outputs, (n, outputs)."""
        return self.layers(params, x)[-1]

    def learning_rate(self, rate: float) -> float:
        """η n^(−c)."""
        return rate * self.width**-self.parametrisation.c


@dataclasses.dataclass(frozen=True)
class CoordinateCheck:
    """How far preactivations move in some steps of descent, width by width.

    Attributes:
        widths: (widths,).
        moved: (widths, seeds, L + 1), the root mean square over examples and coordinates.
        slopes: (L + 1,), fitted exponents of the width: 0 for features that move alike, −r in theory for hidden layers.
        errors: (L + 1,), their standard errors over seeds and widths.
    """

    widths: np.ndarray
    moved: np.ndarray
    slopes: np.ndarray
    errors: np.ndarray


def coordinate_check(
    parametrisation: Parametrisation,
    x: Any,
    y: Any,
    *,
    widths: Sequence[int] = (64, 128, 256, 512, 1024),
    seeds: int = 5,
    steps: int = 3,
    learning_rate: float = 0.1,
    activation: Callable[[Array], Array] = jnp.tanh,
) -> CoordinateCheck:
    """Train networks of several widths for a few steps, and fit how the movement of each layer goes with the width.

    Args:
        parametrisation: The exponents.
        x: (n, d).
        y: (n, outputs), targets of the squared loss.
        widths: At least two.
        seeds: Networks of each.
        steps: Of plain descent.
        learning_rate: η.
        activation: Of hidden layers.

    Raises:
        InputError: An option is not usable.
        NumericalError: The training diverged.

    Example:
        >>> import numpy as np
        >>> from ntkit.finite import Parametrisation, coordinate_check
        >>> x, y = np.eye(4), np.array([[1.0], [-1.0], [1.0], [-1.0]])
        >>> found = coordinate_check(Parametrisation.named("mup", hidden=1), x, y, widths=(64, 256), seeds=2)
        >>> found.moved.shape
        (2, 2, 2)

    References:
        Yang et al. (2022), "Tensor Programs V", appendix D.1 (the check); Yang & Hu (2021), Definition 3.2 (the exponents).
    """
    from ntkit.finite.train import train

    if len(set(widths)) < 2:
        raise InputError(f"widths must hold at least two, found {list(widths)}")
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    moved = np.empty((len(widths), seeds, len(parametrisation.a)))
    for i, width in enumerate(widths):
        net = AbcMlp(parametrisation, width, y.shape[1], activation)
        for seed in range(seeds):
            start = net.init(jax.random.key(seed), x.shape[1])
            rate = net.learning_rate(learning_rate)
            end = train(net, start, x, y, steps=steps, learning_rate=rate, record=[steps]).params
            layers = zip(net.layers(start, x), net.layers(end, x), strict=True)
            moved[i, seed] = [float(jnp.sqrt(jnp.mean((b - a) ** 2))) for a, b in layers]
    slopes, errors = _fits(np.log(np.asarray(widths, float)), np.log(moved))
    return CoordinateCheck(np.asarray(widths), moved, slopes, errors)


def _fits(logs: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares slopes over all widths and seeds, and their standard errors."""
    widths, seeds, _ = values.shape
    t = np.repeat(logs - logs.mean(), seeds)
    flat = values.reshape(widths * seeds, -1)
    slopes = t @ (flat - flat.mean(0)) / (t @ t)
    rest = flat - flat.mean(0) - t[:, None] * slopes
    return slopes, np.sqrt((rest**2).sum(0) / max(1, len(t) - 2) / (t @ t))
