"""Which engine runs a network on graphs or sequences, and why."""

import math
import os
from typing import Any

import jax
import numpy as np

from ntkit.batches import Graphs, Ragged
from ntkit.engines import reference
from ntkit.engines.explanation import Explanation
from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.tape import NotOnTape, record

# Of one core, on a processor of 2023; estimates are within a factor of three.
_PAIR_NS = 100.0  # for a pair of colours of each field: functions, and sums over neighbours that blocks share
_PLAN_SECONDS = 0.02
_REFERENCE_NS = 8.0  # for a pair of positions and a layer


def explain(
    net: Layer, x: Ragged | tuple[int | None, ...], n1: int | None, n2: int | None, dtype: Any
) -> Explanation:
    """As `ntkit.engines.explain`, of a batch with itself, or of graphs of any size whose nodes have so many channels.

    Raises:
        InputError: Numbers of rows are given beside a batch, or the channels are no number.
    """
    if isinstance(x, Ragged) and (n1 is not None or n2 is not None):
        raise InputError(
            f"explain: a batch of {len(x)} examples has its own number of rows; leave n1 and n2 out"
        )
    channels = x.channels if isinstance(x, Ragged) else x[-1]
    if not isinstance(channels, int) or channels < 1:
        raise InputError(f"shape must be (*positions, channels) of one example, found {x!r}")
    why = _beyond(net, x, channels)
    if why is None:
        return _by_colours(net, x, dtype)
    if not isinstance(x, Ragged):
        return Explanation("reference", why, math.nan, 0)
    shape = (round(float(x.sizes.mean())), channels)
    entries = len(x) * (len(x) + 1) // 2
    seconds = entries * reference.pixel_pairs(net, shape) * _REFERENCE_NS * 1e-9 / (os.cpu_count() or 1)
    return Explanation(
        "reference", why, seconds, reference.bytes_per_pair(net, shape, np.dtype(dtype).itemsize)
    )


def _beyond(net: Layer, x: Any, channels: int) -> str | None:
    """Why the reference engine runs this; None where the engine of colours does."""
    from ntkit.engines.colours.plan import plan_of

    if jax.default_backend() != "cpu":
        return "JAX has a device for it"
    if isinstance(x, Ragged) and not isinstance(x, Graphs):
        return "the fused engine reads graphs, and no sequences of different lengths"
    try:
        tape = record(net, (None, channels))
        if tape[-1].shape and (not isinstance(x, Graphs) or len(x) > 1):
            raise NotOnTape("a network that ends with nodes, of batches of more than one graph")
        plan_of(tape, [x if isinstance(x, Graphs) else Graphs(np.ones((1, channels)), [0, 1], [])])
    except NotOnTape as beyond:
        return f"the fused engine has no instruction for {beyond}"
    return None


def _by_colours(net: Layer, x: Any, dtype: Any) -> Explanation:
    from ntkit.engines.colours.plan import plan_of

    if not isinstance(x, Graphs):
        return Explanation("fused", "graphs by colours, every layer has an instruction", math.nan, 0)
    fields = plan_of(record(net, (None, x.channels)), [x]).fields
    pairs = sum(f.count**2 / 2 for f in fields)
    most = max(f.count for f in fields)
    why = f"graphs by colours, at most {most:,} kinds among the {len(x.values):,} nodes"
    seconds = _PLAN_SECONDS + pairs * _PAIR_NS * 1e-9 / (os.cpu_count() or 1)
    return Explanation("fused", why, seconds, math.ceil(2 * np.dtype(dtype).itemsize * most**2 / len(x) ** 2))
