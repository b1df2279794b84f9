"""`Dense`, a fully connected layer, in the NTK and in the standard parametrisation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ntkit.layer import (
    EACH_POSITION,
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
from ntkit.moments import Moments, Need


class Dense(Layer):
    """y = w_std/√fan_in · x W + b_std · b, with all weights N(0, 1), at every position alike.

    K ← w_std² K + b_std² and T ← w_std² T + w_lr·w_std² K + b_lr·b_std², the old K on the right.

    Args:
        width: Number of outputs, ≥ 1; the limit does not depend on it, except below `Concat` and the standard layers.
        w_std: Standard deviation of the weights, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of the weights, ≥ 0; 0 freezes them.
        b_lr: Learning-rate factor of the biases, ≥ 0.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> float(nk.kernel(nk.Dense(1), np.eye(2)).ntk[0, 0])
        0.5

    References:
        Jacot, Gabriel & Hongler (2018), "Neural Tangent Kernel", Theorem 1; Lee et al. (2019), "Wide
        Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent", equation (1).
    """

    on_padding = EACH_POSITION

    width: int = eqx.field(static=True, converter=whole)
    w_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Check widths and ranges."""
        check_weights(self)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        fan_in = channels_of(shape, "Dense")
        w, b = jax.random.split(key)
        params = {"W": jax.random.normal(w, (fan_in, self.width)), "b": jax.random.normal(b, (self.width,))}
        return params, (*shape[:-1], self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return self.w_std / x.shape[-1] ** 0.5 * (x @ params["W"]) + self.b_std * params["b"]

    def propagate(self, m: Moments) -> Moments:
        scale, shift = self.w_std**2, self.b_std**2
        return m.affine(
            scale, shift, weight_rate=self.w_lr * scale, bias_rate=self.b_lr * shift, channels=self.width
        )

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after


class StandardDense(Layer):
    """y = x W + b, with W ~ N(0, w_std²/fan_in) and b ~ N(0, b_std²): widths enter the tangent kernel.

    K ← w_std² K + b_std² and T ← w_std² T + w_lr·fan_in·K + b_lr, the old K on the right. A bias of b_std = 0 starts
    at zero and is trained all the same; b_lr = 0 freezes it.

    Args:
        width: Number of outputs, ≥ 1.
        w_std: Standard deviation of the weights times √fan_in, ≥ 0.
        b_std: Standard deviation of the biases, ≥ 0.
        w_lr: Learning-rate factor of the weights, ≥ 0.
        b_lr: Learning-rate factor of the biases, ≥ 0.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> float(nk.kernel(nk.StandardDense(1), np.eye(2)).ntk[0, 0])
        2.0

    References:
        Sohl-Dickstein et al. (2020), "On the infinite width limit of neural networks with a standard
        parameterization" (the improved standard parameterization).
    """

    on_padding = EACH_POSITION

    width: int = eqx.field(static=True, converter=whole)
    w_std: Hyperparameter = hyperparameter(1.0)
    b_std: Hyperparameter = hyperparameter(0.0)
    w_lr: Hyperparameter = hyperparameter(1.0)
    b_lr: Hyperparameter = hyperparameter(1.0)

    def __check_init__(self):
        """Check widths and ranges."""
        check_weights(self)

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        fan_in = channels_of(shape, "StandardDense")
        w, b = jax.random.split(key)
        params = {
            "W": self.w_std / fan_in**0.5 * jax.random.normal(w, (fan_in, self.width)),
            "b": self.b_std * jax.random.normal(b, (self.width,)),
        }
        return params, (*shape[:-1], self.width)

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return x @ params["W"] + params["b"]

    def propagate(self, m: Moments) -> Moments:
        return m.affine(
            self.w_std**2,
            self.b_std**2,
            weight_rate=self.w_lr * m.facts.channels,
            bias_rate=self.b_lr,
            channels=self.width,
        )

    def rates(self, params: Params) -> Params:
        return weight_rates(self, params)

    def needs(self, after: Need) -> Need:
        return after


def check_weights(layer: Layer) -> None:
    """Check the five hyperparameters that every layer with weights has."""
    check_count(layer, "width")
    for name in ("w_std", "b_std", "w_lr", "b_lr"):
        check_range(layer, name, 0.0)


def weight_rates(layer: Any, params: Params) -> Params:
    """`w_lr` and `b_lr` spread over the shapes of W and b."""
    return {"W": jnp.full_like(params["W"], layer.w_lr), "b": jnp.full_like(params["b"], layer.b_lr)}
