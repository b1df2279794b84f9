"""`network_features`: the last hidden layer of a random finite network, whose inner products estimate the NNGP."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ntkit.arrays import check_batch, working_dtype
from ntkit.errors import InputError
from ntkit.kernels import check_network
from ntkit.layer import Layer, Serial, stages
from ntkit.layers import Dense

FeatureMap = Callable[[Any], np.ndarray]
ROWS = 1024


def network_features(net: Layer, shape: tuple[int, ...], *, key: PRNGKeyArray) -> FeatureMap:
    r"""φ(x) = (w_std·h(x)/√width, b_std), h being what the last layer of a random network reads: φ(x)·φ(x') ≈ NNGP.

    A linear model of them is the network with its last layer alone trained. As many features as that layer reads, and one
    for its bias; the widths are those of the network.

    Args:
        net: A stack that ends with `Dense`; any layers before it.
        shape: (*positions, channels) of one example.
        key: Of the weights.

    Returns:
        A function of (n, *shape) examples that gives (n, m).

    Raises:
        InputError: The network does not end with Dense, or ends with positions, or does not take such examples.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(4096) >> nk.Relu() >> nk.Dense(1)
        >>> phi = nk.features.network_features(net, (3,), key=jax.random.key(0))(np.eye(3))
        >>> phi.shape, bool(np.abs(phi @ phi.T - nk.nngp(net, np.eye(3))).max() < 0.02)
        ((3, 4096), True)

    References:
        Rahimi and Recht, "Random features for large-scale kernel machines", 2007; Cho and Saul, "Kernel methods for deep
        learning", 2009, section 2.
    """
    check_network(net)
    *body, last = stages(net)
    if not isinstance(last, Dense) or not body:
        raise InputError(
            "network_features: expected a stack that ends with Dense, such as nk.Dense(512) >> nk.Relu() >> nk.Dense(1)"
        )
    below = Serial(tuple(body))
    params, out = below.init(key, tuple(shape))
    if len(out) > 1:
        raise InputError(
            f"network_features: the last layer reads positions {out[:-1]}; pool or flatten them first"
        )

    @jax.jit
    def hidden(params: Any, x: Any) -> Any:
        h = below.apply(params, x)
        h = h * (last.w_std / h.shape[-1] ** 0.5)
        bias = jnp.full((len(h), 1), last.b_std, h.dtype)
        return jnp.concatenate([h, bias], axis=1) if last.b_std else h

    def features(x: Any) -> np.ndarray:
        rows = check_batch(x, "x")
        rows = rows.astype(working_dtype(rows, None), copy=False)
        with jax.enable_x64(rows.dtype == np.float64):
            own = jax.tree.map(lambda p: p.astype(rows.dtype), params)
            return np.concatenate(
                [np.asarray(hidden(own, rows[i : i + ROWS])) for i in range(0, len(rows), ROWS)]
            )

    return features
