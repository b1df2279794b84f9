"""Branches: layers that take the same input, and how their outputs are joined."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import EACH_POSITION, READS_PADDING, Layer, Params, Shape, as_layers, children, run
from ntkit.layers.shapes import channels_of
from ntkit.moments import Moments, Need
from ntkit.moments.grid import sum_of_list


class Identity(Layer):
    """y = x.

    Example:
        >>> import ntkit as nk
        >>> block = nk.Sum((nk.Identity(), nk.Relu() >> nk.Dense(64)))
    """

    on_padding = EACH_POSITION

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return (), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return x

    def propagate(self, m: Moments) -> Moments:
        return m

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after


class Residual(Layer):
    """x + body(x): K + K_body, T + T_body, where the body ends with weights of its own.

    Args:
        body: A layer whose outputs have the shape of its inputs.

    Raises:
        InputError: The body is not a layer, or changes the shape (seen by `init` and by the kernel).
        NoClosedFormError: The body depends on the weights below the sum, or both terms have a nonzero mean.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Residual(nk.Relu() >> nk.Dense(64)) >> nk.Dense(1)
        >>> nk.kernel(net, np.eye(3)).ntk.shape
        (3, 3)

    References:
        Huang et al. (2020), "Why Do Deep Residual Networks Generalize Better than Deep Feedforward Networks?"
        (the tangent kernel of residual networks).
    """

    on_padding = READS_PADDING

    body: Layer

    def __check_init__(self):
        """Check that the body is a layer."""
        one_layer(self, "body")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        params, out = self.body.init(key, shape)
        if out != shape:
            raise InputError(
                f"Residual: the body turns shape {shape} into {out}; its outputs must have its inputs' shape"
            )
        return params, shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _joined(sum_of_list, [x, run(self.body, params, x, key)])

    def propagate(self, m: Moments) -> Moments:
        return m.keep(m.wanted).add([self.body.propagate(m).keep(m.wanted)], "Residual")

    def rates(self, params: Params) -> Params:
        return self.body.rates(params)

    def needs(self, after: Need) -> Need:
        return after.union(self.body.needs(after))


class Sum(Layer):
    """The sum of branches: sums of K and of T.

    Args:
        branches: Layers with equal output shapes, that depend on different weights, at most one with a nonzero mean.

    Raises:
        InputError: There is no branch, or their shapes differ (seen by `init` and by the kernel).
        NoClosedFormError: Branches depend on the same weights, or more than one has a nonzero mean.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Sum((nk.Dense(64), nk.Dense(64) >> nk.Erf() >> nk.Dense(64))) >> nk.Relu() >> nk.Dense(1)
        >>> nk.kernel(net, np.eye(3)).ntk.shape
        (3, 3)
    """

    on_padding = READS_PADDING

    branches: tuple[Layer, ...] = eqx.field(converter=as_layers)

    def __check_init__(self):
        """Check the branches."""
        children(self, "branches")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        params, shapes = _init_branches(self.branches, key, shape)
        return params, _equal_shapes(shapes, "Sum")

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _joined(sum_of_list, _apply_branches(self.branches, params, x, key))

    def propagate(self, m: Moments) -> Moments:
        first, *others = _propagate_branches(self.branches, m)
        return first.add(others, "Sum")

    def rates(self, params: Params) -> Params:
        return tuple(b.rates(p) for b, p in zip(self.branches, params, strict=True))

    def needs(self, after: Need) -> Need:
        return _needs_of(self.branches, after)


class Product(Layer):
    """The elementwise product of branches: K = Π K_b, T = Σ_b T_b Π_{c≠b} K_c.

    Args:
        branches: Layers with equal output shapes, that depend on different weights.

    Raises:
        InputError: There is no branch, or their shapes differ (seen by `init` and by the kernel).
        NoClosedFormError: Branches depend on the same weights.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Product((nk.Dense(64), nk.Dense(64) >> nk.Relu())) >> nk.Dense(1)
        >>> nk.kernel(net, np.eye(3)).ntk.shape
        (3, 3)
    """

    on_padding = READS_PADDING

    branches: tuple[Layer, ...] = eqx.field(converter=as_layers)

    def __check_init__(self):
        """Check the branches."""
        children(self, "branches")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        params, shapes = _init_branches(self.branches, key, shape)
        return params, _equal_shapes(shapes, "Product")

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _joined(
            lambda ys: functools.reduce(jnp.multiply, ys), _apply_branches(self.branches, params, x, key)
        )

    def propagate(self, m: Moments) -> Moments:
        first, *others = _propagate_branches(self.branches, m)
        return first.multiply(others, "Product")

    def rates(self, params: Params) -> Params:
        return tuple(b.rates(p) for b, p in zip(self.branches, params, strict=True))

    def needs(self, after: Need) -> Need:
        return _needs_of(self.branches, after)


class Concat(Layer):
    """Branches side by side in the channels: averages of K and T, weighted by the branches' numbers of channels.

    Args:
        branches: Layers with equal output positions; their widths set the weights.

    Raises:
        InputError: There is no branch, or their positions differ (seen by `init` and by the kernel).

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Concat((nk.Dense(192) >> nk.Relu(), nk.Dense(64) >> nk.Erf())) >> nk.Dense(1)
        >>> nk.kernel(net, np.eye(3)).ntk.shape
        (3, 3)
    """

    on_padding = READS_PADDING

    branches: tuple[Layer, ...] = eqx.field(converter=as_layers)

    def __check_init__(self):
        """Check the branches."""
        children(self, "branches")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        params, shapes = _init_branches(self.branches, key, shape)
        positions = _equal_shapes([s[:-1] for s in shapes], "Concat")
        return params, (*positions, sum(channels_of(s, "Concat") for s in shapes))

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return _joined(
            lambda ys: jnp.concatenate(ys, axis=-1), _apply_branches(self.branches, params, x, key)
        )

    def propagate(self, m: Moments) -> Moments:
        first, *others = _propagate_branches(self.branches, m)
        return first.concatenate(others, "Concat")

    def rates(self, params: Params) -> Params:
        return tuple(b.rates(p) for b, p in zip(self.branches, params, strict=True))

    def needs(self, after: Need) -> Need:
        return _needs_of(self.branches, after)


def one_layer(layer: Layer, name: str) -> None:
    """Raise `InputError` unless the field `name` is a layer."""
    value = getattr(layer, name)
    if not isinstance(value, Layer):
        raise InputError(
            f"{type(layer).__name__}: {name} must be one layer, found {value!r}; join layers with >>"
        )


def _init_branches(
    branches: tuple[Layer, ...], key: PRNGKeyArray, shape: Shape
) -> tuple[Params, list[Shape]]:
    keys = jax.random.split(key, len(branches))
    pairs = [branch.init(k, shape) for branch, k in zip(branches, keys, strict=True)]
    return tuple(params for params, _ in pairs), [out for _, out in pairs]


def _apply_branches(
    branches: tuple[Layer, ...], params: Params, x: Array, key: PRNGKeyArray | None
) -> list[Array]:
    keys = [None] * len(branches) if key is None else jax.random.split(key, len(branches))
    return [run(b, p, x, k) for b, p, k in zip(branches, params, keys, strict=True)]


def _joined(f: Callable[[list[Array]], Array], batches: list) -> Any:
    """One batch from those of branches; positions that an example does not have stay what they are."""
    first = batches[0]
    if not isinstance(first, Padded):
        return f(batches)
    return first.map(lambda _: f([batch.values for batch in batches]))


def _propagate_branches(branches: tuple[Layer, ...], m: Moments) -> list[Moments]:
    return [branch.propagate(m).keep(m.wanted) for branch in branches]


def _needs_of(branches: tuple[Layer, ...], after: Need) -> Need:
    first, *rest = [branch.needs(after) for branch in branches]
    for need in rest:
        first = first.union(need)
    return first


def _equal_shapes(shapes: list[Shape], who: str) -> Shape:
    if len(set(shapes)) > 1:
        raise InputError(f"{who}: the branches end with shapes {shapes}; give them equal ones")
    return shapes[0]
