"""Many networks of one hidden layer trained from different initial weights, beside the infinite ensemble."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ntkit as nk
from ntkit.predict import ensemble, gradient_descent

STEPS = (0, 10, 300)
CHUNK = 50


class Compared(NamedTuple):
    """Deviations of sample means and covariances from what is predicted, and their standard errors; arrays of one shape."""

    deviation: np.ndarray
    error: np.ndarray
    allowed: float

    @property
    def beyond(self) -> np.ndarray:
        """What is left of deviations after the allowance, in standard errors; where training is over these are 0."""
        return np.maximum(np.abs(self.deviation) - self.allowed, 0) / np.maximum(self.error, 1e-12)


def compare(networks: int, width: int, points: int = 20, test_points: int = 5) -> Compared:
    """Train the networks, and compare all entries of mean and covariance at all points and steps.

    What is allowed besides noise is 2/width of the largest prior variance: the bias of finite width is of that order.
    """
    net = nk.Dense(width, w_std=1.5, b_std=0.3) >> nk.Erf() >> nk.Dense(1, w_std=1.2)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(points + test_points, 4))
    y = np.sin(2 * x[:points, 0])
    k = nk.kernel(net, x)
    rate = 0.5 * nk.predict.largest_learning_rate(k.ntk[:points, :points])
    curve = gradient_descent(k.ntk[:points, :points], y, learning_rate=rate)
    predicted = ensemble(curve, k.nngp[:points, :points]).test(
        [*STEPS], k.ntk[:, :points], k.nngp[:, :points], k.nngp
    )
    outputs = np.concatenate(
        [
            np.asarray(_train(net, jax.random.split(jax.random.key(s), CHUNK), x, y, rate))
            for s in range(networks // CHUNK)
        ]
    ).astype(np.float64)
    mean, covariance = predicted
    centred = outputs - mean
    found = np.einsum("sti,stj->tij", centred, centred) / len(outputs)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    of_mean = np.sqrt(variance / len(outputs))
    of_covariance = np.sqrt((variance[:, :, None] * variance[:, None, :] + covariance**2) / len(outputs))
    upper = np.triu_indices(len(x))
    return Compared(
        np.concatenate([centred.mean(axis=0).ravel(), (found - covariance)[:, *upper].ravel()]),
        np.concatenate([of_mean.ravel(), of_covariance[:, *upper].ravel()]),
        2 / width * float(variance.max()),
    )


def _train(net, keys, x, y, rate):
    inputs, targets = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)[:, None]
    rates = net.rates(net.init(keys[0], (x.shape[1],))[0])

    def loss(params):
        return jnp.sum((net.apply(params, inputs[: len(targets)]) - targets) ** 2) / (2 * len(targets))

    @jax.jit
    @jax.vmap
    def run(key):
        params, _ = net.init(key, (x.shape[1],))

        def step(_, p):
            return jax.tree.map(lambda w, g, r: w - rate * r * g, p, jax.grad(loss)(p), rates)

        found = []
        for begin, end in zip((0, *STEPS[:-1]), STEPS, strict=True):
            params = jax.lax.fori_loop(begin, end, step, params)
            found.append(net.apply(params, inputs)[:, 0])
        return jnp.stack(found)

    return run(keys)
