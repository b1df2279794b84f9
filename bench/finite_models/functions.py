"""Two networks as plain functions of parameters and inputs, which both sides of the bench read: nothing but JAX."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, CHANNELS = 1024, 64


def mlp(params, x):
    """Four layers of weights of width 1024, in the NTK parametrisation."""
    for k, (w, b) in enumerate(params):
        x = x @ w / np.sqrt(w.shape[0]) + 0.1 * b
        x = jax.nn.relu(x) if k + 1 < len(params) else x
    return x


def cnn(params, x):
    """Five 3×3 convolutions of 64 channels, the mean over positions, and a readout."""
    *convolutions, (w, b) = params
    for v, c in convolutions:
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, v, (1, 1), "SAME", dimension_numbers=layout)
        x = jax.nn.relu(y / np.sqrt(v[..., 0].size) + 0.1 * c)
    return jnp.mean(x, (1, 2)) @ w / np.sqrt(len(w)) + 0.1 * b


FUNCTIONS = {"mlp": mlp, "cnn": cnn}


def draw(name, outputs, examples):
    """Parameters and inputs, float32."""
    generator = np.random.default_rng(0)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    if name == "mlp":
        shapes = [(WIDTH, WIDTH)] * 3 + [(WIDTH, outputs)]
        inputs = (WIDTH,)
    else:
        shapes = [(3, 3, 3, CHANNELS)] + [(3, 3, CHANNELS, CHANNELS)] * 4 + [(CHANNELS, outputs)]
        inputs = (32, 32, 3)
    return [(normal(*s), normal(s[-1])) for s in shapes], normal(examples, *inputs)
