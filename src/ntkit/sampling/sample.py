"""`sample`, both kernels of finite networks by Monte Carlo, with the standard error of every entry."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ntkit.arrays import DEFAULT_MEMORY, Inputs, check_batch, check_whole, working_dtype
from ntkit.batches import Padded, Ragged, check_same_kind
from ntkit.errors import InputError
from ntkit.layer import Layer, Params, Shape, couples_examples, run
from ntkit.sampling.cost import NETWORKS, values_of
from ntkit.sampling.sampled_kernel import Running, SampledKernel, finished, merged, with_positions

Network: TypeAlias = Layer | tuple[Callable, Callable]

_AT_ONCE = 8  # networks; more gain nothing on a CPU, whose cores these fill


def sample(
    net: Network,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    key: PRNGKeyArray,
    count: int = NETWORKS,
    units: int | None = None,
    dtype: Any = None,
    memory: int = DEFAULT_MEMORY,
) -> SampledKernel:
    """NNGP and NTK of finite networks, averaged over random weights.

    Over networks with weights θ, drawn independently, and over the O units of their outputs,

        nngp[i, j] = mean of f_o(x_i) f_o(x_j),
        ntk[i, j] = mean of Σ_k rate_k · ∂f_o(x_i)/∂θ_k · ∂f_o(x_j)/∂θ_k,

    with `net.rates(θ)` for a network of layers and rates of 1 for a pair of functions. A standard error is the standard
    deviation over networks by √count. Only running means and sums of squares are kept, whatever the count. Network
    number i is the same for any data, count and memory, so blocks of one matrix that share a key fit together.

    Where layers let examples act on one another (`BatchNorm`), all rows, `x1` with `x2` behind it, are one batch, and the
    gradients are those of the whole batch: the kernel is that of this batch and of no other.

    Args:
        net: A network; or a pair (init, apply) with init(key, shape of one example) → (params, output shape) and
            apply(params, x) → (n, *positions, O). Rows of x must not act on one another in a pair of functions: each
            is computed by itself (so that `Dropout` draws a mask for every row and network).
        x1: (n1, d) or (n1, *positions, channels); or a batch of `Graphs` or `Sequences`, for a network of layers.
        x2: (n2, …) alike; None for `x1` with itself.
        key: A JAX random key.
        count: How many networks, ≥ 2.
        units: Of how many output units to take the tangent kernel, at a cost of one backward pass each; None for all.
        dtype: float32 or float64; None for that of `x1`.
        memory: Bytes that gradients may take: fewer networks at once, then fewer rows at once.

    Returns:
        Means, standard errors and count; (n1, n2), or (n1, n2, P1, P2) where the network ends with P positions.

    Raises:
        InputError: The data, the network or an option is not usable.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(64, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)
        >>> found = nk.sample(net, np.eye(3), key=jax.random.key(0), count=200)
        >>> bool((abs(found.ntk - nk.ntk(net, np.eye(3))) < 5 * found.ntk_error).all())
        True

    References:
        Novak et al. (2019), "Bayesian Deep Convolutional Networks with Many Channels are Gaussian Processes",
        section 4 (Monte Carlo estimates of the kernel).
    """
    return sampled(net, x1, x2, key=key, count=count, units=units, dtype=dtype, memory=memory, tangent=True)


def sampled(
    net: Network,
    x1: Inputs,
    x2: Inputs | None,
    *,
    key: PRNGKeyArray,
    count: int,
    units: int | None,
    dtype: Any,
    memory: int,
    tangent: bool,
) -> SampledKernel:
    """`sample`, or without `tangent` the NNGP alone, with zeros for the NTK."""
    net = _as_layer(net)
    count = check_whole("sample: count", count, 2)
    units = None if units is None else check_whole("sample: units", units, 1)
    rows, dtype = _batches(x1, x2, dtype)
    with jax.enable_x64(dtype == np.float64):
        batches = tuple(jax.tree.map(jnp.asarray, r) for r in rows)
        trained, outputs = _trained(net, key, batches)
        if not tangent:
            trained = _Trained((False,) * len(trained.leaves), 0, 0)
        units = outputs.shape[-1] if units is None else min(units, outputs.shape[-1])
        at_once, block = _sizes(trained, math.prod(outputs.shape[:-1]), sum(map(len, rows)), count, memory)
        running: Running | None = None
        keys = jax.random.split(key, -(-count // at_once) * at_once)
        for start in range(0, count, at_once):
            weights = jnp.asarray(np.arange(start, start + at_once) < count, dtype)
            part = _draw(net, keys[start : start + at_once], weights, batches, trained, units, block)
            part = Running(*(np.asarray(a, np.float64) for a in part))
            running = part if running is None else merged(running, part)
    assert running is not None
    return with_positions(finished(running), (len(rows[0]), len(rows[-1])), len(outputs.shape) > 1)


def _batches(x1: Any, x2: Any, dtype: Any) -> tuple[list, np.dtype]:
    """The batches, of `dtype`, of which there are one or two; those of different sizes padded."""
    if isinstance(x1, Ragged) or isinstance(x2, Ragged):
        if x2 is not None:
            check_same_kind(x1, x2)
        ragged = [x1] if x2 is None else [x1, x2]
        dtype = working_dtype(x1.values, dtype)
        room = max(int(x.sizes.max()) for x in ragged)
        return [x.padded(room, dtype) for x in ragged], dtype
    x1 = check_batch(x1, "x1")
    dtype = working_dtype(x1, dtype)
    rows = [x1] if x2 is None else [x1, check_batch(x2, "x2")]
    if rows[-1].shape[1:] != x1.shape[1:]:
        raise InputError(
            f"x2 must hold examples shaped like x1's, {x1.shape[1:]}; found {rows[-1].shape[1:]}"
        )
    return [r.astype(dtype) for r in rows], dtype


def _shape(batch: Array | Padded) -> tuple[int, ...]:
    """The shape of one example."""
    return (batch.values if isinstance(batch, Padded) else batch).shape[1:]


# One network ------------------------------------------------------------------------------------------------------------


class _Plain(eqx.Module):
    """A pair of functions in the clothes of a layer."""

    start: Callable = eqx.field(static=True)
    run: Callable = eqx.field(static=True)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        return self.start(key, shape)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return self.run(params, x)

    def rates(self, params: Params) -> Params:
        return jax.tree.map(lambda p: jnp.ones_like(p) if eqx.is_inexact_array(p) else 0.0, params)


class _Trained(NamedTuple):
    """Which parameters have a rate other than 0, leaf by leaf; the bytes of an example's gradients, and of what passes back."""

    leaves: tuple[bool, ...]
    size: int
    passing: int


def _as_layer(net: Any) -> Any:
    if isinstance(net, Layer):
        return net
    if isinstance(net, (tuple, list)) and len(net) == 2 and all(map(callable, net)):
        return _Plain(*net)
    raise InputError(
        "sample: expected a network such as nk.Dense(512) >> nk.Relu() >> nk.Dense(1), or a pair of functions "
        f"(init, apply); found {type(net).__name__}"
    )


@functools.partial(jax.jit, static_argnames="shape")
def _moving(net: Any, key: PRNGKeyArray, shape: Shape) -> list[Array]:
    params, _ = net.init(key, shape)
    return [jnp.any(r != 0) for r in jax.tree.leaves(net.rates(params))]


def _trained(net: Any, key: PRNGKeyArray, batches: tuple) -> tuple[_Trained, jax.ShapeDtypeStruct]:
    """What is trained, and the shape of one example's outputs."""
    shape = _shape(batches[0])
    leaves = tuple(map(bool, _moving(net, key, shape)))

    def run(k: PRNGKeyArray) -> tuple[Params, Array]:
        params, _ = net.init(k, shape)
        sides, of_row = _examples(net, batches, k)
        row, mask = jax.tree.map(lambda a: a[0], sides[0])
        return jax.tree.leaves(params), of_row(params, row, mask)

    params, outputs = jax.eval_shape(run, key)
    size = sum(math.prod(p.shape) * p.dtype.itemsize for p, keep in zip(params, leaves, strict=True) if keep)
    passing = 0
    if couples_examples(net):
        if isinstance(batches[0], Padded):
            raise InputError(
                "sample: BatchNorm needs examples of one size, and graphs and sequences differ; leave it out"
            )
        passing = sum(map(len, batches)) * values_of(net, shape) * batches[0].dtype.itemsize
    return _Trained(leaves, size, passing), outputs


def _examples(net: Any, batches: tuple, key: PRNGKeyArray) -> tuple[list, Callable[..., Array]]:
    """Both sides, (rows, keys) each, and the function that makes the outputs (*positions, O) of a row and its key.

    Where examples act on one another a row is its number, and its outputs are read from those of the whole batch.
    """
    sizes = [len(b) for b in batches]
    if couples_examples(net):
        joint, numbers = jnp.concatenate(batches), jnp.arange(sum(sizes))

        def of_number(params: Params, number: Array, _: Array) -> Array:
            return jnp.atleast_1d(net.apply(params, joint, key=key)[number])

        return [(part, part) for part in (numbers[: sizes[0]], numbers[-sizes[-1] :])], of_number
    masks = jax.random.split(key, sum(sizes))

    def of_row(params: Params, row: Any, mask: Array) -> Array:
        batch = jax.tree.map(lambda a: a[None], row)
        y = run(net, params, batch, mask) if isinstance(net, Layer) else net.apply(params, batch, key=mask)
        return jnp.atleast_1d((y.masked() if isinstance(y, Padded) else y)[0])

    return [(batches[0], masks[: sizes[0]]), (batches[-1], masks[-sizes[-1] :])], of_row


def _sizes(trained: _Trained, positions: int, rows: int, count: int, memory: int) -> tuple[int, int]:
    """How many networks, and how many rows of each, have their gradients in memory together."""
    row = max(1, positions * trained.size + trained.passing)
    block = max(1, min(rows, memory // (2 * row)))
    if memory < row:
        raise InputError(
            f"sample: the gradients of one example take {row / 2**20:.0f} MiB, more than memory={memory / 2**20:.0f} MiB; "
            "give more memory, or narrower layers"
        )
    return max(1, min(count, _AT_ONCE, memory // (2 * rows * row))), block


@functools.partial(jax.jit, static_argnames=("trained", "units", "block"))
def _draw(
    net: Any, keys: Array, weights: Array, batches: tuple, trained: _Trained, units: int, block: int
) -> Running:
    """Both kernels of a few networks; those of weight 0 only fill the batch."""
    values = jax.vmap(lambda k: _of_one(net, k, batches, trained, units, block))(keys)
    spread = weights.reshape(-1, 1, 1, 1)
    total = jnp.sum(weights)
    mean = jnp.sum(spread * values, axis=0) / total
    return Running(total, mean, jnp.sum(spread * (values - mean) ** 2, axis=0))


def _of_one(net: Any, key: PRNGKeyArray, batches: tuple, trained: _Trained, units: int, block: int) -> Array:
    """(2, n1·P, n2·P), NNGP and NTK of one network."""
    weights_key, mask_key = jax.random.split(key)
    params, _ = net.init(weights_key, _shape(batches[0]))
    leaves, tree = jax.tree.flatten(params)
    moving = [leaf for leaf, keep in zip(leaves, trained.leaves, strict=True) if keep]
    rates = [r for r, keep in zip(jax.tree.leaves(net.rates(params)), trained.leaves, strict=True) if keep]

    sides, of_row = _examples(net, batches, mask_key)

    def outputs(some: list[Array], row: Array, k: Array) -> Array:
        """(P, O) of one example, as a function of what is trained."""
        rest = iter(some)
        full = [next(rest) if keep else leaf for leaf, keep in zip(leaves, trained.leaves, strict=True)]
        y = of_row(jax.tree.unflatten(tree, full), row, k)
        return y.reshape(-1, y.shape[-1])

    values = [jax.vmap(lambda r, k: outputs(moving, r, k))(*side) for side in sides[: len(batches)]]
    f1, f2 = values[0], values[-1]
    nngp = jnp.einsum("ipo,jqo->ipjq", f1, f2) / f1.shape[-1]
    nngp = nngp.reshape(nngp.shape[0] * nngp.shape[1], -1)
    if not moving:
        return jnp.stack([nngp, jnp.zeros_like(nngp)])
    ntk = _tangent(outputs, moving, rates, sides, units, block, symmetric=len(batches) == 1)
    return jnp.stack([nngp, ntk])


def _tangent(
    outputs, moving: list, rates: list, sides: list, units: int, block: int, *, symmetric: bool
) -> Array:
    """(n1·P, n2·P), the mean over the first `units` outputs of Σ rate · ∂f ∂f', in blocks of rows."""
    rows, columns = (jax.tree.map(lambda a: _cut(a, block), side) for side in sides)

    def gradients(part: tuple, unit: Array) -> list[Array]:
        """[(rows, P, …)] for each leaf."""
        of_row = jax.jacrev(lambda some, r, k: jnp.take(outputs(some, r, k), unit, axis=-1))
        return jax.vmap(lambda r, k: of_row(moving, r, k))(*part)

    def contract(g1: list[Array], g2: list[Array]) -> Array:
        pairs = [_flat(a * r) @ _flat(b).T for a, b, r in zip(g1, g2, rates, strict=True)]
        return functools.reduce(jnp.add, pairs)

    def of_unit(total: Array, unit: Array) -> tuple[Array, None]:
        if symmetric and len(rows[1]) == 1:
            g = gradients(jax.tree.map(lambda a: a[0], rows), unit)
            return total + contract(g, g)[None, None], None

        def of_rows(part: tuple) -> Array:
            g1 = gradients(part, unit)
            return jax.lax.map(lambda other: contract(g1, gradients(other, unit)), columns)

        return total + jax.lax.map(of_rows, rows), None

    first = jax.tree.map(lambda a: a[0], rows)
    shape = jax.eval_shape(lambda u: gradients(first, u)[0], 0).shape[:2]
    size = math.prod(shape)
    start = jnp.zeros((len(rows[1]), len(columns[1]), size, size), moving[0].dtype)
    total, _ = jax.lax.scan(of_unit, start, jnp.arange(units))
    k = total.transpose(0, 2, 1, 3).reshape(len(rows[1]) * size, len(columns[1]) * size)
    return k[: len(sides[0][1]) * shape[1], : len(sides[1][1]) * shape[1]] / units


def _flat(gradient: Array) -> Array:
    """(rows, P, …) → (rows·P, parameters)."""
    return gradient.reshape(gradient.shape[0] * gradient.shape[1], -1)


def _cut(array: Array, block: int) -> Array:
    """(n, …) → (blocks, block, …), the last row repeated beyond the end."""
    missing = -len(array) % block
    if missing:
        array = jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
    return array.reshape(-1, block, *array.shape[1:])
