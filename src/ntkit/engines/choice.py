"""Which engine runs a network, why, and about how long it takes."""

import os
from typing import Any

import jax
import numpy as np

from ntkit.batches import Ragged
from ntkit.engines import ragged_choice, reference
from ntkit.engines.explanation import Explanation
from ntkit.engines.fused import code
from ntkit.engines.fused.compile import compile_network
from ntkit.engines.fused.program import Program
from ntkit.errors import InputError, NoClosedFormError
from ntkit.layer import Layer
from ntkit.sampling import cost_of
from ntkit.tape import NotOnTape

MONTE_CARLO = "monte_carlo"
ENGINES = ("auto", "reference", "fused", MONTE_CARLO)

# Nanoseconds of one core for a pair of pixels and a layer, on a processor of 2023; estimates are within a factor of three.
_REFERENCE_NS = 8.0
_FUSED_NS = {
    code.LINEAR: 0.4,
    code.HALF_LINES: 0.9,
    code.RELU: 0.8,
    code.ERF: 2.5,
    code.GELU: 3.0,
    code.WAVE: 3.0,
    code.RBF: 2.0,
    code.SERIES: 12.0,
}
_ENTRY_NS = 30.0  # to take the product of two examples and to write both kernels
# Below, what the reference engine takes is less than what loading the compiled code of the other one may take.
WORTH_SECONDS = 2.0
_PER_SECOND = 2e10  # multiplications of gradients and of passes through finite networks


def explain(
    net: Layer,
    shape: tuple[int | None, ...] | Ragged,
    n1: int | None = None,
    n2: int | None = None,
    *,
    engine: str = "auto",
    dtype: Any = np.float32,
) -> Explanation:
    """Which engine `engine="auto"` takes for a kernel of examples of this shape, and about how long it takes.

    Asked for "monte_carlo", it says which layer makes that necessary, if one does.

    Args:
        net: The network.
        shape: (*positions, channels) of one example; (None, C) for graphs of any size. Or a batch of `Graphs` or `Sequences`,
            to explain its kernel with itself.
        n1: The number of rows; None for 1000, or for those of the batch.
        n2: The number of columns; None for the rows with themselves.
        engine: "auto" or "monte_carlo".
        dtype: float32 or float64.

    Raises:
        InputError: The network does not take such examples, or `engine` is something else.
        NoClosedFormError: Second moments do not determine the network's kernel.

    Example:
        >>> import ntkit as nk
        >>> net = nk.Conv(64, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.engines.explain(net, (32, 32, 3)).engine
        'fused'
    """
    if engine not in ("auto", MONTE_CARLO):
        raise InputError(f'explain: engine must be "auto" or "{MONTE_CARLO}", found {engine!r}')
    if isinstance(shape, Ragged) or (len(shape) == 2 and shape[0] is None):
        if engine == MONTE_CARLO:
            raise InputError(
                f'explain: engine="{MONTE_CARLO}" is explained for examples of one size; give the shape of one'
            )
        return ragged_choice.explain(net, shape, n1, n2, dtype)
    n1 = 1000 if n1 is None else n1
    extents = tuple(s for s in shape if isinstance(s, int) and s > 0)
    if extents != shape or not shape:
        raise InputError(f"shape must be (*positions, channels) of one example, found {shape!r}")
    if engine == MONTE_CARLO:
        return _of_samples(net, extents, n1, n2, dtype)
    itemsize = np.dtype(dtype).itemsize
    entries = n1 * n2 if n2 is not None else n1 * (n1 + 1) // 2
    cores = os.cpu_count() or 1
    plain = entries * reference.pixel_pairs(net, extents) * _REFERENCE_NS * 1e-9 / cores
    bytes_per_pair = reference.bytes_per_pair(net, extents, itemsize)
    if jax.default_backend() != "cpu":
        return Explanation("reference", "JAX has a device for it", plain, bytes_per_pair)
    if plain < WORTH_SECONDS:
        return Explanation("reference", "a kernel so small is done at once", plain, bytes_per_pair)
    try:
        program = compile_network(net, extents)
    except NotOnTape as beyond:
        return Explanation(
            "reference", f"the fused engine has no instruction for {beyond}", plain, bytes_per_pair
        )
    seconds = entries * (_seconds(program) + _ENTRY_NS * 1e-9) * (itemsize / 4) / cores
    return Explanation("fused", "every layer has an instruction", seconds, _bytes(program, itemsize))


def _of_samples(net: Layer, shape: tuple[int, ...], n1: int, n2: int | None, dtype: Any) -> Explanation:
    """Of finite networks, as many as are drawn unless told otherwise."""
    rows, columns = (min(n, 2) for n in (n1, n1 if n2 is None else n2))
    x1, x2 = (jax.ShapeDtypeStruct((n, *shape), np.float32) for n in (rows, columns))
    numbers = np.arange(rows), np.arange(columns)
    why = "it was asked for; other engines have the closed form"
    try:
        jax.eval_shape(lambda a, b: reference.pairs(net, a, b, *numbers, tangent=True), x1, x2)
    except NoClosedFormError as error:
        # Such messages begin with the layer's name.
        why = f"{str(error).partition(':')[0]} has no closed form"
    cost = cost_of(net, shape, n1, 0 if n2 is None else n2, np.dtype(dtype).itemsize)
    return Explanation(MONTE_CARLO, why, cost.multiplications / _PER_SECOND, cost.bytes_per_example * 2)


def _seconds(program: Program) -> float:
    """Of one core, for a pair of examples in single precision."""
    total = 0.0
    for stage in program.stages:
        for row in stage.code:
            d = np.abs(stage.displacements * row[code.STEP_OUT : code.STEP_OUT + 2])
            height, width = row[code.GRID_OUT : code.GRID_OUT + 2]
            pairs = height * width * len(d) if stage.wrap else ((height - d[:, 0]) * (width - d[:, 1])).sum()
            total += float(pairs) * _FUSED_NS[int(row[code.FUNCTION])] * 1e-9
    return total


def _bytes(program: Program, itemsize: int) -> int:
    """Images of a displacement, gaps and tangent kernels, and what lies between two stages."""
    images = [
        2 * s.registers * (s.grid_in[0] + 2 * s.frame) * (s.grid_in[1] + 2 * s.frame) for s in program.stages
    ]
    between = [2 * (s.grid_in[0] * s.grid_in[1]) ** 2 for s in program.stages[1:]]
    return itemsize * (max(images) + max(between, default=0))
