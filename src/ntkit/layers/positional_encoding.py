"""`PositionalEncoding`, a random vector added at each position."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import READS_PADDING, Hyperparameter, Layer, Params, Shape, check_range, hyperparameter
from ntkit.layers.shapes import channels_of, positions_of
from ntkit.moments import Moments, Need
from ntkit.moments.places import check_positions


class PositionalEncoding(Layer):
    """y[p] = x[p] + std·E[p], E one Gaussian field for all examples, of covariance R[p, p'] = ρ^|p − p'|.

    K[p, p'] ← K + std²·R[p, p'], T ← T + lr·std²·R[p, p']. With ρ = 0 every position has a vector of its own, as learnt
    encodings begin; a larger ρ makes neighbours alike. In several dimensions |p − p'| is the sum over them.

    Args:
        std: Standard deviation of the encodings, ≥ 0.
        decay: ρ, in [0, 1).
        lr: Learning-rate factor of the encodings, ≥ 0; 0 leaves them as they are drawn.

    Raises:
        InputError: A value is out of range; a finite network is drawn without a number of positions, or meets more of them.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = (
        ...     nk.Dense(64)
        ...     >> nk.PositionalEncoding(0.5)
        ...     >> nk.SelfAttention(64)
        ...     >> nk.GlobalAvgPool()
        ...     >> nk.Dense(1)
        ... )
        >>> nk.kernel(net, np.ones((2, 5, 3))).ntk.shape
        (2, 2)

    References:
        Hron et al. (2020), "Infinite attention: NNGP and NTK for deep attention networks", section 4.1 (positional encodings).
    """

    on_padding = READS_PADDING

    std: Hyperparameter = hyperparameter(1.0)
    decay: Hyperparameter = hyperparameter(0.0)
    lr: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Check ranges."""
        check_range(self, "std", 0.0)
        check_range(self, "decay", 0.0, 1.0, open_high=True)
        check_range(self, "lr", 0.0)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        positions = positions_of(shape, "PositionalEncoding")
        check_positions(positions, "PositionalEncoding")
        return jax.random.normal(key, (*positions, channels_of(shape, "PositionalEncoding"))), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        field = params
        for d in range(params.ndim - 1):
            field = jnp.moveaxis(jnp.tensordot(self._root(params.shape[d], field.dtype), field, (1, d)), 0, d)

        def encoded(values: Array) -> Array:
            positions = values.shape[1:-1]
            if any(n > drawn for n, drawn in zip(positions, field.shape, strict=False)):
                raise InputError(
                    f"PositionalEncoding: encodings were drawn for positions {field.shape[:-1]}, the inputs have {positions}; "
                    "draw the network for the longest of them"
                )
            return values + self.std * field[tuple(slice(n) for n in positions)]

        return x.map(encoded) if isinstance(x, Padded) else encoded(x)

    def propagate(self, m: Moments) -> Moments:
        m.require_positions("PositionalEncoding")
        m.require_order("PositionalEncoding")
        return m.add_field(self._covariance, self.lr, "PositionalEncoding")

    def _covariance(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """std²·R over all positions of a grid."""
        r: Any = jnp.ones((1, 1), dtype)
        for extent in shape:
            root = self._root(extent, dtype)
            r = jnp.kron(r, root @ root.T)
        return self.std**2 * r

    def _root(self, extent: int, dtype: jnp.dtype) -> Array:
        """Lower triangular, with the covariance of an autoregression as its square: a prefix does not see what follows."""
        p = jnp.arange(extent)
        lag = p[:, None] - p[None, :]
        # 0⁰ = 1, and no gradient of 0 to a negative power where lags are masked.
        power = jnp.where(lag > 0, jnp.asarray(self.decay, dtype) ** jnp.maximum(lag, 1), 1.0)
        fresh = jnp.where(p > 0, jnp.sqrt(1 - jnp.asarray(self.decay, dtype) ** 2), 1.0)
        return jnp.where(lag >= 0, power * fresh[None, :], 0.0).astype(dtype)

    def rates(self, params: Params) -> Params:
        return jnp.full_like(params, self.lr)

    def needs(self, after: Need) -> Need:
        return after
