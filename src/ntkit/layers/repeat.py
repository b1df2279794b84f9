"""`Repeat`, one body many times, each time with weights of its own, without unrolling."""

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from ntkit.errors import InputError
from ntkit.layer import READS_PADDING, Layer, Params, Shape, check_count, run, whole
from ntkit.layers.branch import one_layer
from ntkit.moments import Moments, Need


class Repeat(Layer):
    """body >> body >> … , `times` times: the same hyperparameters, fresh weights; a loop, whatever the depth.

    Args:
        body: A layer whose outputs have the shape of its inputs.
        times: How often, ≥ 1.

    Raises:
        InputError: `times` is not a whole number ≥ 1, or the body changes the shape (seen by `init`).

    Example:
        >>> import numpy as np, ntkit as nk
        >>> net = nk.Dense(64) >> nk.Repeat(nk.Relu() >> nk.Dense(64, w_std=2**0.5), 100) >> nk.Dense(1)
        >>> bool(np.isfinite(nk.kernel(net, np.eye(3)).ntk).all())
        True
    """

    on_padding = READS_PADDING

    body: Layer
    times: int = eqx.field(static=True, converter=whole)

    def __check_init__(self):
        """Check the body and the count."""
        one_layer(self, "body")
        check_count(self, "times")

    def init(self, key: PRNGKeyArray, shape: Shape) -> tuple[Params, Shape]:
        _, out = eqx.filter_eval_shape(self.body.init, key, shape)
        if out != shape:
            raise InputError(
                f"Repeat: the body turns shape {shape} into {out}; its outputs must have its inputs' shape"
            )
        return jax.vmap(lambda k: self.body.init(k, shape)[0])(jax.random.split(key, self.times)), shape

    def apply(self, params: Params, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        keys = None if key is None else jax.random.split(key, self.times)

        def step(y: Array, each: tuple) -> tuple[Array, None]:
            p, k = each
            return run(self.body, p, y, k), None

        return jax.lax.scan(step, x, (params, keys), length=self.times)[0]

    def propagate(self, m: Moments) -> Moments:
        need = self.needs(m.wanted)
        end = m.repeat(lambda each: self.body.propagate(each.wanting(need)).keep(need), self.times)
        return end.wanting(m.wanted).keep(m.wanted)

    def rates(self, params: Params) -> Params:
        if not jax.tree.leaves(params):  # nothing to map over
            return self.body.rates(params)
        return jax.vmap(self.body.rates)(params)

    def needs(self, after: Need) -> Need:
        for _ in range(4):  # an Extent can rise twice, in two blocks
            after = after.union(self.body.needs(after))
        return after
