"""`SelfAttention`, in the limit of many heads."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.batches import Padded
from ntkit.errors import InputError
from ntkit.layer import (
    READS_PADDING,
    Hyperparameter,
    Layer,
    Params,
    Shape,
    check_count,
    check_range,
    hyperparameter,
    whole,
)
from ntkit.layers.shapes import channels_of
from ntkit.moments import Extent, Moments, Need
from ntkit.moments.places import check_positions

SCALINGS = ("linear", "sqrt")
MECHANISMS: dict[str, Callable[[Array, Array], Array]] = {
    "softmax": lambda logits, keys: jax.nn.softmax(jnp.where(keys, logits, -jnp.inf), axis=-1),
    "identity": lambda logits, keys: jnp.where(keys, logits, 0.0),
    "relu": lambda logits, keys: jnp.where(keys, jnp.maximum(logits, 0.0), 0.0),
    "abs": lambda logits, keys: jnp.where(keys, jnp.abs(logits), 0.0),
}


class SelfAttention(Layer):
    """Every position reads all others: out = w_out_std/√(H·d_v) · [G_h V_h]_h W_o + b_std·b, over heads h.

    V_h = w_value_std/√C · x W_v, keys k = x W_k/√C, queries alike,
    logits L = w_query_std·w_key_std/s · q kᵀ, G = f(L).

    * scaling "linear": s = d_k, and queries share the keys' weights (otherwise L vanishes).
      G = f(w_query_std·w_key_std·K(x, x)) is not random, so the limit holds for any number of heads. With
      c = (w_out_std·w_value_std)², and the old K on the right, K ← c G K G'ᵀ + b_std² and
      T ← c G T G'ᵀ + 2 w_lr·c G K G'ᵀ + b_lr·b_std²; what queries and keys would add vanishes.
    * scaling "sqrt": s = √d_k, queries have weights of their own, f is the identity, and L stays random. As the number of
      heads grows, with c including (w_query_std·w_key_std)²,
      K[a, b] ← c K[a, b] Σ_ij K[i, j]² + b_std²; T ← the first term with each of its three factors replaced by T in turn, plus
      4 w_lr times it, plus b_lr·b_std².

    The functions "relu" and "abs" have a kink: where logits lie near 0, finite networks differ from the limit by 1/√d_k.

    Args:
        width: Number of outputs, ≥ 1.
        heads: H, ≥ 1.
        key_width: d_k, ≥ 1.
        value_width: d_v, ≥ 1.
        scaling: "linear" or "sqrt".
        mechanism: f: "softmax" over the positions read, or elementwise "identity", "relu", "abs".
        w_key_std: Standard deviation of the keys' weights, ≥ 0.
        w_query_std: Of the queries'.
        w_value_std: Of the values'.
        w_out_std: Of the outputs'.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of all weights, ≥ 0.
        b_lr: Learning-rate factor of the biases, ≥ 0.
        causal: Whether a position reads only those up to itself, in the order of the positions.

    Raises:
        InputError: A value is out of range; scaling "sqrt" with another mechanism than "identity".
        NoClosedFormError: The covariance of the inputs is itself random.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x = nk.Sequences([np.eye(5)[:4], np.eye(5)[2:4]])
        >>> net = nk.Dense(64) >> nk.SelfAttention(64) >> nk.GlobalAvgPool() >> nk.Dense(1)
        >>> nk.kernel(net, x).ntk.shape
        (2, 2)

    References:
        Hron et al. (2020), "Infinite attention: NNGP and NTK for deep attention networks", Theorem 3 (sqrt), equations (7) to
        (9), and section 4 (linear scaling, softmax replaced).
    """

    on_padding = READS_PADDING

    width: int = eqx.field(static=True, converter=whole)
    heads: int = eqx.field(static=True, converter=whole, default=1)
    key_width: int = eqx.field(static=True, converter=whole, default=64)
    value_width: int = eqx.field(static=True, converter=whole, default=64)
    scaling: str = eqx.field(static=True, default="linear")
    mechanism: str = eqx.field(static=True, default="softmax")
    w_key_std: Hyperparameter = hyperparameter(1.0)
    w_query_std: Hyperparameter = hyperparameter(1.0)
    w_value_std: Hyperparameter = hyperparameter(1.0)
    w_out_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)
    causal: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        """Check counts, names and ranges."""
        for name in ("width", "heads", "key_width", "value_width"):
            check_count(self, name)
        for name in ("w_key_std", "w_query_std", "w_value_std", "w_out_std", "b_std", "w_lr", "b_lr"):
            check_range(self, name, 0.0)
        if self.scaling not in SCALINGS or self.mechanism not in MECHANISMS:
            raise InputError(
                f"SelfAttention: scaling must be one of {', '.join(SCALINGS)} and mechanism one of {', '.join(MECHANISMS)}; "
                f"found {self.scaling!r} and {self.mechanism!r}"
            )
        if self.scaling == "sqrt" and (self.mechanism != "identity" or self.causal):
            raise InputError(
                "SelfAttention: with scaling='sqrt' logits stay random in the limit, and a closed form is known for "
                "mechanism='identity' without a causal mask alone; use scaling='linear'"
            )

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels = channels_of(shape, "SelfAttention")
        check_positions(shape[:-1], "SelfAttention")
        keys = jax.random.split(key, 5)
        params = {
            "K": jax.random.normal(keys[0], (self.heads, channels, self.key_width)),
            "V": jax.random.normal(keys[1], (self.heads, channels, self.value_width)),
            "O": jax.random.normal(keys[2], (self.heads * self.value_width, self.width)),
            "b": jax.random.normal(keys[3], (self.width,)),
        }
        if self.scaling == "sqrt":
            params["Q"] = jax.random.normal(keys[4], (self.heads, channels, self.key_width))
        return params, (*shape[:-1], self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            return x.map(lambda _: self._attended(params, x.masked(), x.mask[:, None, :] > 0))
        flat = x.reshape(len(x), -1, x.shape[-1])
        every = jnp.ones((1, 1, flat.shape[1]), bool)
        return self._attended(params, flat, every).reshape(*x.shape[:-1], self.width)

    def _attended(self, params: Params, x: Array, keys: Array) -> Array:
        """(n, P, width) from (n, P, C) and which positions may be read, (n, 1, P)."""

        def heads(name: str) -> Array:
            return jnp.einsum("npc,hcd->nhpd", x, params[name]) / x.shape[-1] ** 0.5

        k, v = heads("K"), self.w_value_std * heads("V")
        q, scale = (k, self.key_width) if self.scaling == "linear" else (heads("Q"), self.key_width**0.5)
        logits = self.w_query_std * self.w_key_std / scale * (q @ jnp.swapaxes(k, -1, -2))
        read = self._weights(logits, keys[:, None]) @ v
        joined = jnp.moveaxis(read, 1, 2).reshape(*x.shape[:-1], -1)
        return self.w_out_std / joined.shape[-1] ** 0.5 * (joined @ params["O"]) + self.b_std * params["b"]

    def _weights(self, logits: Any, keys: Any) -> Array:
        """G from logits (…, P, P) and which positions may be read."""
        if self.causal:
            keys = keys & jnp.tril(jnp.ones(logits.shape[-2:], bool))
        return MECHANISMS[self.mechanism](logits, keys)

    def propagate(self, m: Moments) -> Moments:
        m.require_positions("SelfAttention")
        m.require_concentrated("SelfAttention")
        if self.causal:
            m.require_order("SelfAttention with causal=True")
        scale, shift = (self.w_out_std * self.w_value_std) ** 2, self.b_std**2
        logit = self.w_query_std * self.w_key_std
        if self.scaling == "linear":
            read = m.attend(lambda cov, keys: self._weights(logit * cov, keys))
            rate = 2 * self.w_lr * scale
        else:
            # The outputs' weights come with the affine map below, those of queries, keys and values with the product.
            read = m.attend_at_random(self.w_lr, self.w_lr)
            scale = scale * logit**2
            rate = self.w_lr * scale
        return read.affine(scale, shift, weight_rate=rate, bias_rate=self.b_lr * shift, channels=self.width)

    def rates(self, params: Params) -> Params:
        rates = {"K": self.w_lr, "Q": self.w_lr, "V": self.w_lr, "O": self.w_lr, "b": self.b_lr}
        return {name: jnp.full_like(value, rates[name]) for name, value in params.items()}

    def needs(self, after: Need) -> Need:
        # Each example's weights come from what it has with itself, whatever is asked for behind.
        return Need(after.of_mixing().cross, Extent.PAIRS)
