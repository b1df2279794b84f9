"""`kernel`, `nngp` and `ntk`: the exact kernels of an infinitely wide network, or samples of it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ntkit.arrays import DEFAULT_MEMORY, Inputs, check_batch, traced, working_dtype
from ntkit.batches import Graphs, Padded, Ragged, check_same_kind
from ntkit.engines import explain, ragged_tiles, reference, tiles
from ntkit.engines.choice import ENGINES, MONTE_CARLO
from ntkit.errors import InputError, NoClosedFormError, NumericalError
from ntkit.layer import Layer
from ntkit.layers.graph import check_degrees
from ntkit.pair import KernelPair
from ntkit.sampling import NETWORKS, SampledKernel, sampled


def kernel(
    net: Layer,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    engine: str = "auto",
    dtype: Any = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    networks: int = NETWORKS,
) -> KernelPair:
    """NNGP and NTK of an architecture, all widths going to infinity.

    Args:
        net: The architecture.
        x1: (n1, d), or (n1, *positions, channels); rows are examples. Or a batch of `Graphs` or `Sequences`.
        x2: (n2, …) alike; None for `x1` with itself, an exactly symmetric kernel in which equal row numbers are one
            example (which Dropout tells from two equal ones).
        engine: "reference" (JAX, every network), "fused" (compiled for the CPU, the networks that it has instructions for), or
            "auto", the one that `nk.engines.explain` names. "monte_carlo" samples finite networks, as wide as their layers say:
            any network, with standard errors; "auto" never does.
        dtype: float32 or float64; None for that of `x1` (integers count as float64).
        memory: Bytes that the working arrays may take, 2 GiB unless told; more examples are computed in tiles.
        threads: Threads of the fused engine; None for one a core. (Those of the reference engine are JAX's.)
        networks: How many networks engine="monte_carlo" averages, ≥ 2: always the same ones. `nk.sample` takes a key.

    Returns:
        A pair with `.nngp` and `.ntk`, each (n1, n2); (n1, n2, P1, P2) where the network ends with P positions, which are 0
        beyond the end of a sequence; (nodes1, nodes2) where it ends with the nodes of one graph. A sampled one is a
        `SampledKernel`, a pair that has `.nngp_error` and `.ntk_error` beside.

    Raises:
        InputError: The data, their shape, or an option is not usable.
        NoClosedFormError: Second moments do not determine this network's kernel.
        NumericalError: The kernel overflows in this dtype.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(512, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)
        >>> k = nk.kernel(net, np.eye(3))
        >>> k.ntk.shape, float(k.nngp[0, 0].round(6))
        ((3, 3), 0.333333)

    References:
        Jacot, Gabriel & Hongler (2018), "Neural Tangent Kernel", Theorem 1; Lee et al. (2018), "Deep Neural Networks as
        Gaussian Processes", equation (5).
    """
    if engine == MONTE_CARLO:
        return _sampled(net, x1, x2, networks, dtype, memory)
    nngp_, ntk_ = _compute(net, x1, x2, engine, dtype, memory, threads, tangent=True)
    return KernelPair(nngp_, ntk_)


def nngp(
    net: Layer,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    engine: str = "auto",
    dtype: Any = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    networks: int = NETWORKS,
) -> Any:
    """The NNGP alone, at less cost; arguments and errors are those of `kernel`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.nngp(nk.Dense(1), np.eye(2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    if engine == MONTE_CARLO:
        return _sampled(net, x1, x2, networks, dtype, memory, tangent=False).nngp
    return _compute(net, x1, x2, engine, dtype, memory, threads, tangent=False)[0]


def ntk(
    net: Layer,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    engine: str = "auto",
    dtype: Any = None,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    networks: int = NETWORKS,
) -> Any:
    """The NTK alone; arguments and errors are those of `kernel`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.ntk(nk.Dense(1), np.eye(2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    if engine == MONTE_CARLO:
        return _sampled(net, x1, x2, networks, dtype, memory).ntk
    return _compute(net, x1, x2, engine, dtype, memory, threads, tangent=True)[1]


def diagonal(net: Layer, x: Inputs, *, dtype: Any = None, memory: int = DEFAULT_MEMORY) -> KernelPair:
    """NNGP and NTK of every row with itself, (n,) each, without the other pairs; arguments as those of `kernel`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.kernels.diagonal(nk.Dense(1), np.eye(2)).nngp.tolist()
        [0.5, 0.5]
    """
    check_network(net)
    if traced(net, x):
        return KernelPair(*reference.diagonal(net, _rows(x), tangent=True))
    if isinstance(x, Ragged):
        x, _, dtype = _checked_ragged(net, x, None, dtype)
        found = KernelPair(*ragged_tiles.diagonal(net, x, dtype=dtype, memory=memory))
        _check_finite(net, found)
        return found
    x = check_batch(x, "x")
    dtype = working_dtype(x, dtype)
    x = _in_dtype(x, dtype, "x")
    with jax.enable_x64(dtype == np.float64):
        per_row = reference.bytes_per_pair(net, x.shape[1:], dtype.itemsize)
        tile = tiles.tile_side(len(x), per_row, memory, tiles.fastest(memory), power=1)
        parts = [reference.diagonal(net, x[i : i + tile], tangent=True) for i in range(0, len(x), tile)]
        pair = KernelPair(*(np.concatenate([np.asarray(p[k]) for p in parts]) for k in (0, 1)))
    _check_finite(net, pair)
    return pair


def moments_by_layer(
    net: Layer, x1: Inputs, x2: Inputs | None = None, *, dtype: Any = None
) -> list[tuple[str, KernelPair]]:
    """The kernels after every layer of the stack, repetitions one by one; branches count as one layer.

    Args:
        net: The architecture.
        x1: (n1, …), the rows.
        x2: (n2, …), the columns; None for `x1` with itself.
        dtype: float32 or float64; None for that of `x1`.

    Returns:
        For each layer, its place and name, and the pair of kernels: (n1, n2), or (n1, n2, P1, P2) where it has positions.

    Raises:
        InputError: The data are not usable.
        NoClosedFormError: Second moments do not determine this network's kernel.
        NumericalError: A kernel overflows in this dtype.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> [name for name, _ in nk.moments_by_layer(nk.Dense(8) >> nk.Relu() >> nk.Dense(1), np.eye(2))]
        ['0:Dense', '1:Relu', '2:Dense']
    """
    check_network(net)
    symmetric = x2 is None
    if traced(net, x1, x2):
        rows, columns = _rows(x1), _rows(x1 if x2 is None else x2)
        numbers = tiles.numbers_of(range(len(rows)), range(len(columns)), symmetric)
        return [(name, KernelPair(*p)) for name, p in reference.by_layer(net, rows, columns, *numbers)]
    batches: tuple[Any, Any]
    if isinstance(x1, Ragged) or isinstance(x2, Ragged):
        one, two, dtype = _checked_ragged(net, x1, x2, dtype)
        room = max(map(ragged_tiles.room_of, (one, two or one)))
        batches = one.padded(room, dtype), (two or one).padded(room, dtype)
    else:
        *batches, dtype, _ = _checked(x1, x2, dtype)  # type: ignore[assignment]
    with jax.enable_x64(dtype == np.float64):
        numbers = tiles.numbers_of(range(len(batches[0])), range(len(batches[1])), symmetric)
        steps = reference.by_layer(net, *batches, *numbers)
        found = [(name, KernelPair(*map(np.asarray, pair))) for name, pair in steps]
    for _, pair in found:
        _check_finite(net, pair)
    return found


def _compute(
    net: Layer,
    x1: Inputs,
    x2: Inputs | None,
    engine: str,
    dtype: Any,
    memory: int,
    threads: int | None,
    *,
    tangent: bool,
):
    check_network(net)
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, found {engine!r}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(
            f"threads must be a whole number, at least 1, or None for one a core; found {threads!r}"
        )
    if traced(net, x1, x2):
        return _traced(net, x1, x2, tangent=tangent)
    if isinstance(x1, Ragged) or isinstance(x2, Ragged):
        return _of_ragged(net, x1, x2, engine, dtype, memory, threads, tangent=tangent)
    x1, x2, dtype, symmetric = _checked(x1, x2, dtype)
    auto = engine == "auto"
    if auto:
        engine = explain(net, x1.shape[1:], len(x1), None if symmetric else len(x2), dtype=dtype).engine
    how: Any = {"memory": memory, "symmetric": symmetric, "tangent": tangent}
    result = None
    if engine == "fused":
        result = tiles.by_fused(net, x1, x2, threads, or_none=auto, **how)
    if result is None:
        result = tiles.by_reference(net, x1, x2, **how)
    *both, finite = result
    if not finite:
        _check_finite(net, both)
    return both


def _of_ragged(
    net: Layer, x1: Any, x2: Any, engine: str, dtype: Any, memory: int, threads: int | None, *, tangent: bool
):
    one, two, dtype = _checked_ragged(net, x1, x2, dtype)
    how: Any = {"dtype": dtype, "memory": memory, "tangent": tangent}
    fast = engine == "fused" or (engine == "auto" and jax.default_backend() == "cpu")
    result = ragged_tiles.by_fused(net, one, two, threads, or_none=engine == "auto", **how) if fast else None
    if result is None:
        result = ragged_tiles.by_reference(net, one, two, **how)
    *both, finite = result
    if not finite:
        _check_finite(net, both)
    return both


def _checked_ragged(net: Layer, x1: Any, x2: Any, dtype: Any) -> tuple[Ragged, Ragged | None, np.dtype]:
    """Both batches with values of the working dtype, each found to be one that the network takes."""
    if x2 is not None:
        check_same_kind(x1, x2)
    dtype = working_dtype(x1.values, dtype)
    found = []
    for x, name in ((x1, "x1"), (x2, "x2"))[: 1 if x2 is None else 2]:
        if isinstance(x, Graphs):
            check_degrees(net, x, name)
        ragged_tiles.check_sizes(net, x, name)
        found.append(x.with_values(_in_dtype(x.values, dtype, name)))
    return found[0], found[1] if x2 is not None else None, dtype


def _sampled(
    net: Layer, x1: Inputs, x2: Inputs | None, networks: int, dtype: Any, memory: int, *, tangent: bool = True
) -> SampledKernel:
    """The kernels of finite networks, of one key, so that blocks of a matrix belong to the same networks."""
    check_network(net)
    if traced(net, x1, x2):
        raise InputError(
            f'engine="{MONTE_CARLO}" draws and averages networks one after another, which JAX does not trace; call it outside '
            "of jit, grad and vmap"
        )
    key = jax.random.key(0)
    found = sampled(
        net, x1, x2, key=key, count=networks, units=None, dtype=dtype, memory=memory, tangent=tangent
    )
    _check_finite(net, found)
    return jax.tree.map(tiles.symmetrised, found) if x2 is None else found


def _checked(x1: Inputs, x2: Inputs | None, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.dtype, bool]:
    """Both batches as finite arrays of the working dtype, and whether they are one."""
    symmetric = x2 is None
    x1 = check_batch(x1, "x1")
    dtype = working_dtype(x1, dtype)
    x1 = _in_dtype(x1, dtype, "x1")
    if x2 is None:
        return x1, x1, dtype, symmetric
    x2 = check_batch(x2, "x2")
    if x2.shape[1:] != x1.shape[1:]:
        raise InputError(f"x2 must hold examples shaped like x1's, {x1.shape[1:]}; found {x2.shape[1:]}")
    return x1, _in_dtype(x2, dtype, "x2"), dtype, symmetric


def _traced(net: Layer, x1: Inputs, x2: Inputs | None, *, tangent: bool):
    """Inside a JAX trace: one tile, under the trace's own settings."""
    batches: list[Any] = [x1] if x2 is None else [x1, x2]
    if all(isinstance(x, Ragged) for x in batches):
        room, dtype = max(map(ragged_tiles.room_of, batches)), jax.numpy.result_type(float)
        batches = [x.padded(room, dtype) for x in batches]
    batches = [_rows(x) for x in batches]
    rows, columns = batches[0], batches[-1]
    numbers = tiles.numbers_of(range(len(rows)), range(len(columns)), x2 is None)
    both = reference.pairs(net, rows, columns, *numbers, tangent=tangent)
    return tuple(None if k is None else tiles.symmetrised(k) for k in both) if x2 is None else both


def _rows(x: Any) -> Any:
    if isinstance(x, Padded):
        return x
    x = jax.numpy.asarray(x)
    x = x if jax.numpy.issubdtype(x.dtype, jax.numpy.floating) else x.astype(float)
    if x.ndim < 2:
        raise InputError(f"a batch must be shaped (n, d) or (n, *positions, channels), found {x.shape}")
    return x


def _in_dtype(x: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Convert a batch, refusing one with a row whose squared norm overflows, or vanishes though the row does not."""
    info = np.finfo(dtype)
    largest = np.max(np.abs(x), axis=tuple(range(1, x.ndim)), initial=0).astype(np.float64)
    # Below, the mean of squares has digits left; above, sums of squares and products have room.
    low = 1e3 * (float(info.tiny) * math.prod(x.shape[1:])) ** 0.5
    high = float(info.max) ** 0.5 / (4 * math.prod(x.shape[1:]))
    for wrong, what in ((largest > high, "overflows"), ((largest > 0) & (largest < low), "underflows")):
        if wrong.any():
            row = int(np.argmax(wrong))
            remedy = "" if dtype == np.float64 else ", or use dtype=float64"
            raise InputError(
                f"{name}: row {row} holds {largest[row]:.3g}, whose square {what} {np.dtype(dtype).name}; "
                f"scale the data{remedy}"
            )
    return x.astype(dtype, copy=False)


def check_network(net: Any) -> None:
    """Raise `InputError` unless `net` is a layer."""
    if not isinstance(net, Layer):
        raise InputError(
            f"expected a network such as nk.Dense(512) >> nk.Relu() >> nk.Dense(1), found {type(net).__name__}"
        )
    for path, leaf in jax.tree.leaves_with_path(net):
        if np.ndim(leaf) > 0:
            raise InputError(
                f"net{jax.tree_util.keystr(path)} is shaped {np.shape(leaf)}: a hyperparameter is one number; use jax.vmap "
                "for the kernels of several networks"
            )


def _check_finite(net: Layer, pair: Sequence) -> None:
    for name, k in zip(("nngp", "ntk"), pair, strict=True):
        if k is None or np.isfinite(k).all():
            continue
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(k))[0])
        jump = _discontinuity(net)
        if name == "ntk" and jump:
            raise NoClosedFormError(
                f"{jump} jumps, so the tangent kernel of trained weights below it diverges with the width (smooth "
                f"approximations of {jump} give ever larger ones; automatic differentiation would give zero for those "
                "weights). Remedy: freeze all weights below it (w_lr=0, b_lr=0), ask for nk.nngp, or use Erf with a large b"
            )
        raise NumericalError(
            f"the {name} is not finite at {place}: it overflows {k.dtype.name}; "
            + ("" if k.dtype == np.float64 else "use dtype=float64, ")
            + "use a smaller w_std, or scale the data"
        )


def _discontinuity(net: Layer) -> str | None:
    """The name of an activation that jumps, if the network has one."""
    found = jax.tree.leaves(net, is_leaf=lambda x: getattr(x, "discontinuous", False))
    return next((type(layer).__name__ for layer in found if getattr(layer, "discontinuous", False)), None)
