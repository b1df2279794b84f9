"""`Layer`, the abstract class of every layer, and `Serial`, layers one after another."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.moments import Moments, Need
from ntkit.moments.places import check_one_size

Hyperparameter = float | Array | np.ndarray
Shape = tuple[int | None, ...]
Params = Any

# What a finite layer does with examples of different sizes, laid out with padding.
EACH_POSITION = "each position"
"""It works at every position by itself, so padding does it no harm."""
READS_PADDING = "reads padding"
"""Its `apply` takes a `Padded` batch, and gives one or, where positions end, an array."""
ONE_SIZE = "one size"
"""It takes examples of one size alone."""


def _as_given(value: Any) -> Any:
    """Keep a hyperparameter as it is, but make scalars of Python and NumPy floats.

    Integers have no gradient, and a float32 scalar would have its powers taken in float32 whatever the kernel's dtype.
    """
    scalar = isinstance(value, (int, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if scalar else value


def hyperparameter(default: float | None = None) -> Any:
    """Field of a real hyperparameter: a leaf of the pytree, hence differentiable and never a reason to recompile."""
    if default is None:
        return eqx.field(converter=_as_given)
    return eqx.field(default=default, converter=_as_given)


def concrete(value: Any) -> bool:
    """Whether a field holds a value that can be looked at: not a tracer, nor a placeholder of a tree transformation."""
    return isinstance(value, (int, float, np.ndarray, np.generic)) or (
        isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    )


def is_number(value: Any) -> bool:
    """Whether a field holds one real number, or stands for one in a trace; an array of several would broadcast."""
    if isinstance(value, (int, float)):
        return True
    real = (
        isinstance(value, (np.generic, np.ndarray, jax.Array, jax.ShapeDtypeStruct))
        and value.dtype.kind in "fiu"
    )
    return real and np.ndim(value) == 0


def check_range(
    layer: "Layer", name: str, low: float = -math.inf, high: float = math.inf, *, open_high: bool = False
):
    """Raise `InputError` unless the field `name` lies in [low, high]; tracers pass."""
    value = getattr(layer, name)
    if not is_number(value):
        raise InputError(f"{type(layer).__name__}: {name} must be a number, found {value!r}")
    if not concrete(value):
        return
    number = float(value)
    if not (low <= number and (number < high if open_high else number <= high) and math.isfinite(number)):
        bounds = ("(" if low == -math.inf else "[") + f"{low:g}, {high:g}"
        bounds += ")" if open_high or high == math.inf else "]"
        raise InputError(f"{type(layer).__name__}: {name} must lie in {bounds}, found {value}")


def whole(value: Any) -> Any:
    """Converter of static fields that are whole numbers: one of NumPy becomes one of Python."""
    return int(value) if isinstance(value, np.integer) else value


def check_count(layer: "Layer", name: str) -> None:
    """Raise `InputError` unless the static field `name` is a whole number of at least 1."""
    value = getattr(layer, name)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(
            f"{type(layer).__name__}: {name} must be a whole number of at least 1, found {value!r}"
        )


class Layer(eqx.Module):
    """A part of a network: a pytree of hyperparameters with a finite and an infinite reading.

    Weights live outside: `init` makes them and `apply` takes them. Subclasses are final; a new layer implements
    `init`, `apply` and `propagate`, and `rates` and `needs` where the defaults do not fit.

    Attributes:
        couples_examples: Whether the finite outputs of an example depend on the others in its batch (BatchNorm).
    """

    on_padding: ClassVar[str] = ONE_SIZE
    """What the finite layer does with examples of different sizes: EACH_POSITION, READS_PADDING or ONE_SIZE."""
    couples_examples: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        """Draw the weights of a finite network for examples of the given shape.

        Args:
            key: A JAX random key.
            shape: The shape of one example, channels last, without the batch.

        Returns:
            The parameters, a pytree of arrays, and the shape of one output.

        Raises:
            InputError: The layer does not take examples of this shape.
        """

    @abc.abstractmethod
    def apply(self, params: Params, x: Float[Array, "n *shape"], *, key: PRNGKeyArray | None = None) -> Array:
        """Outputs of a finite network on a batch; `key` is for layers that draw at each call (Dropout)."""

    @abc.abstractmethod
    def propagate(self, m: Moments) -> Moments:
        """Second moments of the layer's outputs from those of its inputs, all widths going to infinity.

        Raises:
            NoClosedFormError: Second moments do not determine the outputs' second moments.
        """

    @abc.abstractmethod
    def rates(self, params: Params) -> Params:
        """Learning-rate factors (`w_lr`, `b_lr`), a pytree shaped like `params`."""

    @abc.abstractmethod
    def needs(self, after: Need) -> Need:
        """Which pairs of positions of the inputs must be known for `after` to be known of the outputs."""

    def __rshift__(self, other: "Layer") -> "Serial":
        """`a >> b`: first `a`, then `b`."""
        if not isinstance(other, Layer):
            raise InputError(
                f"{type(self).__name__} >> {other!r}: expected a layer; wrap a function in nk.Elementwise"
            )
        return Serial((*stages(self), *stages(other)))


def run(layer: Layer, params: Params, x: Any, key: PRNGKeyArray | None = None) -> Any:
    """Outputs of a finite layer on a batch, padded or not.

    Raises:
        InputError: The batch is padded, and the layer needs examples of one size.
    """
    padded = isinstance(x, Padded)
    if padded and layer.on_padding == EACH_POSITION:
        return x.map(lambda values: layer.apply(params, values, key=key))
    check_one_size(padded and layer.on_padding == ONE_SIZE, type(layer).__name__)
    return layer.apply(params, x, key=key)


def stages(layer: Layer) -> tuple[Layer, ...]:
    """The layers of a stack; of another layer, itself."""
    return layer.layers if isinstance(layer, Serial) else (layer,)


def couples_examples(net: Any) -> bool:
    """Whether a layer anywhere in a network lets the examples of a batch act on one another."""

    def couples(part: Any) -> bool:
        return getattr(part, "couples_examples", False)

    return any(map(couples, jax.tree.leaves(net, is_leaf=couples)))


def plan(layer: Layer, after: Need) -> list[Need]:
    """What is needed before each of the layer's stages, first to last, and after the last."""
    needs = [after]
    for stage in reversed(stages(layer)):
        needs.append(stage.needs(needs[-1]))
    return needs[::-1]


def as_layers(value: Any) -> Any:
    """Several layers as a tuple; what is none of these is left to `children` to refuse."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def children(layer: Layer, name: str) -> None:
    """Raise `InputError` unless the field `name` is a nonempty tuple of layers."""
    value = getattr(layer, name)
    if len(value) == 0:
        raise InputError(f"{type(layer).__name__}: {name} is empty; give at least one layer")
    for child in value:
        if isinstance(child, type) and issubclass(child, Layer):
            raise InputError(
                f"{type(layer).__name__}: {child.__name__} is a class; write {child.__name__}(…)"
            )
        if not isinstance(child, Layer):
            raise InputError(f"{type(layer).__name__}: {name} must be layers, found {child!r}")


class Serial(Layer):
    """Layers one after another; `a >> b` makes one.

    Args:
        layers: The layers, first to last.

    Example:
        >>> import ntkit as nk
        >>> net = nk.Dense(512, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)
        >>> len(net.layers)
        3
    """

    on_padding = READS_PADDING

    layers: tuple[Layer, ...] = eqx.field(converter=as_layers)

    def __check_init__(self):
        """Refuse an empty stack and things that are not layers."""
        children(self, "layers")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        params = []
        for layer, k in zip(self.layers, jax.random.split(key, len(self.layers)), strict=True):
            p, shape = layer.init(k, shape)
            params.append(p)
        return tuple(params), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        keys = [None] * len(self.layers) if key is None else jax.random.split(key, len(self.layers))
        for layer, p, k in zip(self.layers, params, keys, strict=True):
            x = run(layer, p, x, k)
        return x

    def propagate(self, m: Moments) -> Moments:
        needs = plan(self, m.wanted)
        m = m.keep(needs[0])
        for layer, need in zip(self.layers, needs[1:], strict=True):
            m = layer.propagate(m.wanting(need)).keep(need).settled()
        return m

    def rates(self, params: Params) -> Params:
        return tuple(layer.rates(p) for layer, p in zip(self.layers, params, strict=True))

    def needs(self, after: Need) -> Need:
        return plan(self, after)[0]
