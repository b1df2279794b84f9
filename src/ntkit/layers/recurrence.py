"""Recurrent layers: `RNN`, hidden states along a sequence, and `Last`, the last of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.activations.activation import Activation
from ntkit.activations.erf import Erf
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
from ntkit.moments.recurrence import Cell, reading_order


class RNN(Layer):
    """h[t] = f(w_std/√width · h[t−1] W + u_std/√C · x[t] U + b_std · b), with one set of weights for all times.

    The state before the first time is 0. With G the covariance before f,
    G[t, t'] = w_std² K_h[t−1, t'−1] + u_std² K_x[t, t'] + b_std², K_h = E[f f] under G, and
    T_h = E[f' f']·(w_std² T_h[t−1, t'−1] + u_std² T_x[t, t'] + w_lr (G − b_std²) + b_lr b_std²).

    Args:
        width: Number of hidden units, ≥ 1.
        activation: f, an activation.
        w_std: Standard deviation of the weights between hidden states, ≥ 0.
        u_std: Standard deviation of the weights of the inputs, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of both weights, ≥ 0.
        b_lr: Learning-rate factor of the biases, ≥ 0.
        reverse: Whether the sequence is read from its end; `Concat((RNN(…), RNN(…, reverse=True)))` reads it both ways.

    Raises:
        InputError: A value is out of range, or the inputs are not sequences.
        NoClosedFormError: The covariance of the inputs is itself random.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> x = nk.Sequences([np.ones((5, 3)), np.ones((2, 3))])
        >>> net = nk.RNN(64, nk.Relu(), w_std=2**0.5, u_std=2**0.5) >> nk.Last() >> nk.Dense(1)
        >>> nk.kernel(net, x).ntk.shape
        (2, 2)

    References:
        Alemohammad et al. (2021), "The Recurrent Neural Tangent Kernel", Theorem 1; Yang (2019), "Tensor Programs I".
    """

    on_padding = READS_PADDING

    width: int = eqx.field(static=True, converter=whole)
    activation: Layer = Erf()
    w_std: Hyperparameter = hyperparameter(1.0)
    u_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)
    reverse: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        """Check the activation, the width and ranges."""
        if not isinstance(self.activation, Activation):
            raise InputError(
                f"RNN: activation must be an activation such as nk.Relu(), found {self.activation!r}"
            )
        check_count(self, "width")
        for name in ("w_std", "u_std", "b_std", "w_lr", "b_lr"):
            check_range(self, name, 0.0)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        channels = channels_of(shape, "RNN")
        check_positions(shape[:-1], "RNN", 1)
        w, u, b = jax.random.split(key, 3)
        params = {
            "W": jax.random.normal(w, (self.width, self.width)),
            "U": jax.random.normal(u, (channels, self.width)),
            "b": jax.random.normal(b, (self.width,)),
        }
        return params, (*shape[:-1], self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            turn = reading_order(x.mask, x.values.shape[1], reverse=self.reverse)
            return x.map(lambda values: _read(self._states(params, _read(values, turn)), turn))
        if self.reverse:
            return self._states(params, x[:, ::-1])[:, ::-1]
        return self._states(params, x)

    def _states(self, params: Params, x: Array) -> Array:
        """(n, P, width), hidden states at all times."""
        inputs = self.u_std / x.shape[-1] ** 0.5 * (x @ params["U"]) + self.b_std * params["b"]

        def step(h: Array, now: Array) -> tuple[Array, Array]:
            h = self.activation.fn(self.w_std / self.width**0.5 * (h @ params["W"]) + now)  # type: ignore[attr-defined]
            return h, h

        start = jnp.zeros((len(x), self.width), inputs.dtype)
        return jnp.moveaxis(jax.lax.scan(step, start, jnp.moveaxis(inputs, 1, 0))[1], 0, 1)

    def propagate(self, m: Moments) -> Moments:
        m.require_concentrated("RNN")
        m.require_order("RNN")
        w, u, b = self.w_std**2, self.u_std**2, self.b_std**2
        rates = self.w_lr * w, self.w_lr * u, self.b_lr * b
        return m.recur(Cell(self.activation, w, u, b, *rates, self.width, self.reverse))  # type: ignore[arg-type]

    def rates(self, params: Params) -> Params:
        rates = {"W": self.w_lr, "U": self.w_lr, "b": self.b_lr}
        return {name: jnp.full_like(value, rates[name]) for name, value in params.items()}

    def needs(self, after: Need) -> Need:
        return Need(after.of_mixing().cross, Extent.PAIRS)


def _read(values: Array, order: Array) -> Array:
    """Positions in another order."""
    return jnp.take_along_axis(values, order[..., None], axis=1)


class Last(Layer):
    """The last position of each sequence.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.RNN(64) >> nk.Last() >> nk.Dense(1)
        >>> nk.kernel(net, np.ones((2, 5, 3))).nngp.shape
        (2, 2)
    """

    on_padding = READS_PADDING

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        check_positions(shape[:-1], "Last", 1)
        return (), (channels_of(shape, "Last"),)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        if isinstance(x, Padded):
            last = jnp.sum(x.mask > 0, axis=1)[:, None] - 1
            return _read(x.values, last)[:, 0]
        check_positions(x.shape[1:-1], "Last", 1)
        return x[:, -1]

    def propagate(self, m: Moments) -> Moments:
        m.require_order("Last")
        return m.read_last("Last")

    def rates(self, params: Params) -> Params:
        return ()

    def needs(self, after: Need) -> Need:
        return after.of_mixing()
