"""`gradient_features`: random projections of a finite network's gradients, whose inner products estimate the NTK."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ntkit.features.network_features import FeatureMap
from ntkit.finite.empirical import project
from ntkit.kernels import check_network
from ntkit.layer import Layer


def gradient_features(net: Layer, shape: tuple[int, ...], dimension: int, *, key: PRNGKeyArray) -> FeatureMap:
    r"""ψ(x)·ψ(x') ≈ Θ̂(x, x') ≈ NTK, the tangent kernel of one random network in as many random directions.

    For every network, with or without a closed form. One pass through the network a feature: dearer than a sketch. Besides
    the error of the projection, 1/√dimension, there is that of the finite width, 1/√width.

    Args:
        net: A network; its widths count.
        shape: (*positions, channels) of one example.
        dimension: How many features.
        key: Of weights and directions.

    Returns:
        A function of (n, *shape) examples that gives (n, dimension), or (n, outputs·dimension) for more outputs than one.

    Raises:
        InputError: The network does not take such examples, or the dimension is not a whole number of at least 1.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(512) >> nk.Erf() >> nk.Dense(1)
        >>> psi = nk.features.gradient_features(net, (3,), 2000, key=jax.random.key(0))(np.eye(3))
        >>> psi.shape, bool(np.abs(psi @ psi.T - nk.ntk(net, np.eye(3))).max() < 0.1)
        ((3, 2000), True)

    References:
        Zandieh et al., "Scaling neural tangent kernels via sketching and random features", 2021, section 1 (the gradient as
        a feature map); Achlioptas, "Database-friendly random projections", 2003, theorem 1.1.
    """
    check_network(net)
    of_weights, of_directions = jax.random.split(key)
    params, _ = net.init(of_weights, tuple(shape))
    rates = net.rates(params)

    def features(x: Any) -> np.ndarray:
        found = project(net.apply, params, x, dimension, key=of_directions, rates=rates)
        return found.reshape(len(found), -1) / found.shape[1] ** 0.5

    return features
