"""A function of parameters and inputs as it comes in: checked, flat, and told what of it is trained."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkit.arrays import traced
from ntkit.errors import InputError, NumericalError

Batch = list[Any]  # arrays with the examples first


Shapes = tuple[tuple[tuple[int, ...], Any], ...]  # (shape, dtype) of every array of a list


def shapes_of(arrays: list[Any]) -> Shapes:
    """Those of a list of arrays."""
    return tuple((tuple(a.shape), np.dtype(a.dtype)) for a in arrays)


def structs(shapes: Shapes, batch: int | None = None) -> list[jax.ShapeDtypeStruct]:
    """What stands for arrays of these shapes; with another number of examples where `batch` says so."""
    return [jax.ShapeDtypeStruct(s if batch is None else (batch, *s[1:]), d) for s, d in shapes]


class Weights(NamedTuple):
    """Parameters, leaf by leaf.

    Attributes:
        trained: Those with a rate other than 0.
        frozen: The others.
        rates: Factors on the squared gradients of the trained ones: of one number, or shaped like the parameter.
    """

    trained: list[Array]
    frozen: list[Array]
    rates: list[Array]


@dataclasses.dataclass(frozen=True)
class Call:
    """How a function is called with flat lists; equal for equal functions and structures, so that programs are kept.

    Attributes:
        f: f(params, x) → (n, *outputs).
        params: The tree of parameters.
        inputs: The tree of inputs.
        trained: Which leaves of the parameters are.
    """

    f: Any
    params: Any
    inputs: Any
    trained: tuple[int, ...]

    def answer(self, trained: list[Array], frozen: list[Array], inputs: Batch) -> Any:
        """What the function returns."""
        places = set(self.trained)
        some, rest = iter(trained), iter(frozen)
        count = self.params.num_leaves
        leaves = [next(some) if k in places else next(rest) for k in range(count)]
        return self.f(jax.tree.unflatten(self.params, leaves), jax.tree.unflatten(self.inputs, inputs))

    def outputs(self, trained: list[Array], frozen: list[Array], inputs: Batch) -> Float[Array, "n o"]:
        """The outputs of each example side by side."""
        y = self.answer(trained, frozen, inputs)
        return y.reshape(y.shape[0], -1)


class _ByIdentity:
    """A function that cannot be hashed."""

    def __init__(self, f: Callable):
        self.f = f

    def __call__(self, params: Any, x: Any) -> Any:
        return self.f(params, x)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function, its parameters and one or two batches.

    Attributes:
        call: The function.
        weights: Its parameters.
        x1: The rows.
        x2: The columns; None for the rows.
        outputs: How many outputs an example has.
        names: Of the trained parameters, as in messages.
        dtype: Of the parameters.
    """

    call: Call
    weights: Weights
    x1: Batch
    x2: Batch | None
    outputs: int
    names: tuple[str, ...]
    dtype: np.dtype

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(n1, n2, O)."""
        return examples(self.x1), examples(self.x1 if self.x2 is None else self.x2), self.outputs


def examples(batch: Batch) -> int:
    """How many."""
    return len(batch[0])


def prepare(f: Callable, params: Any, x1: Any, x2: Any = None, rates: Any = None) -> Problem:
    """Check a function and what it is given.

    Raises:
        InputError: Parameters, inputs, rates or outputs are not what a tangent kernel can be taken of; the message says why.
    """
    if not callable(f):
        hint = "; of a network of layers it is net.apply" if hasattr(f, "apply") else ""
        raise InputError(f"f must be a function f(params, x), found {type(f).__name__}{hint}")
    leaves, tree, names = _parameters(params)
    # Half precision is raised to single; numbers of Python follow the arrays.
    double = any(getattr(leaf, "dtype", None) == np.float64 for leaf in leaves)
    dtype = np.dtype(np.float64 if double else np.float32)
    factors = _rates(rates, leaves, tree, names)
    trained = tuple(k for k, r in enumerate(factors) if traced(r) or np.any(np.asarray(r) != 0))
    if not trained:
        raise InputError("no parameter is trained: all rates are 0, or there are no parameters")
    batch1, inputs = _batch(x1, "x1", dtype)
    batch2 = None
    if x2 is not None:
        batch2, other = _batch(x2, "x2", dtype)
        shapes = [[(a.shape[1:], a.dtype) for a in b] for b in (batch1, batch2)]
        if other != inputs or shapes[0] != shapes[1]:
            raise InputError("x2 must hold examples like those of x1: the same tree, shapes and types")
    call = Call(_hashable(f), tree, inputs, trained)
    with jax.enable_x64(dtype == np.float64):
        leaves = [jnp.asarray(leaf, dtype) for leaf in leaves]
        weights = Weights(
            [leaves[k] for k in trained],
            [leaf for k, leaf in enumerate(leaves) if k not in trained],
            [jnp.asarray(factors[k], dtype) for k in trained],
        )
        outputs = _outputs(call, *(shapes_of(a) for a in (weights.trained, weights.frozen, batch1)))
        _check_examples_apart(call, weights, batch1)
    return Problem(call, weights, batch1, batch2, outputs, tuple(names[k] for k in trained), dtype)


def _hashable(f: Callable) -> Any:
    try:
        hash(f)
    except TypeError:
        return _ByIdentity(f)
    return f


def _parameters(params: Any) -> tuple[list[Any], Any, list[str]]:
    found, tree = jax.tree.flatten_with_path(params)
    names = ["params" + jax.tree_util.keystr(path) for path, _ in found]
    for name, (_, leaf) in zip(names, found, strict=True):
        kind = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if not jnp.issubdtype(kind, jnp.floating):
            raise InputError(
                f"{name} is {_what(leaf, kind)}: a tangent kernel takes derivatives in real numbers. Leave it out of params, "
                "and let the function close over it"
            )
    return [leaf for _, leaf in found], tree, names


def _what(leaf: Any, kind: Any) -> str:
    return (
        f"an array of {kind}"
        if np.ndim(leaf) or hasattr(leaf, "dtype")
        else f"{type(leaf).__name__} {leaf!r}"
    )


def _rates(rates: Any, leaves: list[Any], tree: Any, names: list[str]) -> list[Any]:
    if rates is None:
        return [1.0] * len(leaves)
    found, shape = jax.tree.flatten(rates)
    if shape != tree:
        raise InputError(f"rates must be a tree like params, {tree}; found {shape}")
    for name, leaf, rate in zip(names, leaves, found, strict=True):
        if np.size(rate) != 1 and np.shape(rate) != np.shape(leaf):
            raise InputError(
                f"the rate of {name} must be one number or shaped {np.shape(leaf)}, found {np.shape(rate)}"
            )
        if not traced(rate) and not np.isfinite(np.asarray(rate)).all():
            raise InputError(f"the rate of {name} is not finite")
    return found


def _batch(x: Any, name: str, dtype: np.dtype) -> tuple[Batch, Any]:
    # A list is an array to be; trees are tuples and dictionaries.
    leaves, tree = jax.tree.flatten(np.asarray(x) if isinstance(x, list) else x)
    if not leaves:
        raise InputError(f"{name} is empty")
    found = []
    for leaf in leaves:
        array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        if array.ndim < 1 or array.size == 0:
            raise InputError(
                f"{name} must hold arrays with the examples first, and at least one; found shape {array.shape}"
            )
        if array.dtype.kind == "c" or array.dtype.kind in "OUS":
            raise InputError(f"{name} must hold real numbers, found {array.dtype}")
        if jnp.issubdtype(array.dtype, jnp.floating):
            if not isinstance(array, jax.core.Tracer) and not np.isfinite(array).all():
                raise InputError(f"{name} holds numbers that are not finite")
            array = array.astype(dtype) if traced(array) else np.asarray(array, dtype)
        found.append(array)
    if len({len(a) for a in found}) > 1:
        raise InputError(
            f"the arrays of {name} differ in their number of examples: {sorted({len(a) for a in found})}"
        )
    return found, tree


# The outputs ------------------------------------------------------------------------------------------------------------

_CONTROL = (
    "the function decides in Python on a value that JAX traces (an if, a while, an index): write it with jnp.where, "
    "jax.lax.cond or jax.lax.while_loop"
)


@functools.lru_cache(maxsize=256)
def _outputs(call: Call, trained: Shapes, frozen: Shapes, batch: Shapes) -> int:
    """How many outputs an example has, checked."""
    shapes = []
    for n in (2, 3):
        try:
            y = jax.eval_shape(call.answer, structs(trained), structs(frozen), structs(batch, n))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError) as error:
            raise InputError(f"{_CONTROL}. JAX says: {str(error).splitlines()[0]}") from None
        except (TypeError, ValueError) as error:
            shape = ", ".join(str((n, *s[1:])) for s, _ in batch)
            raise InputError(f"the function fails on {n} examples, shaped {shape}: {error}") from error
        if isinstance(y, (tuple, list, dict)) or not hasattr(y, "shape"):
            raise InputError(
                f"the function returns {type(y).__name__}: return the outputs alone, one array with the examples first (state, "
                "such as that of batch normalisation, belongs into params or is closed over, in evaluation mode)"
            )
        if len(y.shape) < 1 or y.shape[0] != n:
            raise InputError(
                f"the function of {n} examples returns an array of shape {y.shape}: the first axis must be the examples'"
            )
        if not jnp.issubdtype(y.dtype, jnp.floating):
            raise InputError(f"the function returns {y.dtype}: outputs must be real numbers")
        shapes.append(y.shape[1:])
    if shapes[0] != shapes[1]:
        raise InputError(
            f"the outputs of an example change their shape with the batch: {shapes[0]} and {shapes[1]}"
        )
    return int(np.prod(shapes[0]))


@functools.partial(jax.jit, static_argnames="call")
def values(call: Call, weights: Weights, batch: Batch) -> Float[Array, "n o"]:
    """Outputs of a batch."""
    return call.outputs(weights.trained, weights.frozen, batch)


# Far above rounding, even of outputs that are small differences, and far below what a batch or a mask changes.
_APART = 1e-3


def _check_examples_apart(call: Call, weights: Weights, batch: Batch) -> None:
    """An example's outputs must be its own: the kernel is taken of one example at a time."""
    if examples(batch) < 2 or traced(weights, batch):
        return
    # By one program, so that rounding is the same: the first example beside the second, and beside itself.
    pair, same = (
        np.asarray(values(call, weights, [a[i] for a in batch])) for i in (np.arange(2), np.zeros(2, int))
    )
    if not (np.isfinite(pair).all() and np.isfinite(same).all()):
        raise NumericalError("the outputs of the first examples are not finite")
    off = max(np.max(np.abs(pair[0] - same[0]), initial=0), np.max(np.abs(same[0] - same[1]), initial=0))
    if off > _APART * max(np.max(np.abs(pair), initial=0), np.max(np.abs(same), initial=0)):
        raise InputError(
            "the outputs of an example depend on the others in its batch, as with batch normalisation or dropout in training "
            "mode: use evaluation mode"
        )
