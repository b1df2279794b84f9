"""Functions of parameters and inputs in which parameters enter in every way that the empirical kernels tell apart."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_GENERATOR = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return _GENERATOR.normal(size=shape)


def layer_norm(p: Any, x: Any) -> Any:
    h = jnp.sin(x @ p["w"])
    normal = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return normal * p["s"] + p["b"]


def over_weights(p: Any, x: Any) -> Any:
    return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w * 0.7), None), x, p["ws"])[0]


def over_steps(p: Any, x: Any) -> Any:
    def step(h, _):
        return jnp.tanh(0.5 * h @ p["w"] + p["b"]), h.sum(-1)

    h, sums = jax.lax.scan(step, x, None, length=4, reverse=True)
    return h + sums.sum(0)[:, None]


def attention(p: Any, x: Any) -> Any:
    t = x[:, None, :] * jnp.arange(1.0, 4.0)[None, :, None]
    scores = jax.nn.softmax((t @ p["q"]) @ jnp.swapaxes(t @ p["k"], -1, -2))
    return (scores @ (t @ p["v"])).mean(1)


@jax.custom_jvp
def doubled(w: Any, x: Any) -> Any:
    return x @ w


doubled.defjvp(lambda at, by: (at[1] @ at[0], 2 * (at[1] @ by[0]) + by[1] @ at[0]))


def convolution(layout: tuple[str, str, str], **options: Any) -> Callable:
    def f(p: Any, x: Any) -> Any:
        last = layout[0].endswith("C")
        shape, spread = ((1, 5, 1), (1, 4, 1, 2)) if last else ((1, 1, 5), (1, 2, 4, 1))
        images = jnp.tanh(x.reshape(len(x), *shape) * jnp.ones(spread))
        y = jax.lax.conv_general_dilated(images, p["w"], dimension_numbers=layout, **options)
        return y.reshape(len(x), -1)[:, :5]

    return f


NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
V = weights(5, 6)

FUNCTIONS: dict[str, tuple[Any, Callable]] = {
    "tied": ({"w": weights(5, 5)}, lambda p, x: jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"])),
    "tied and turned": ({"w": V}, lambda p, x: jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"].T)),
    "weights on the left": ({"w": weights(6, 5)}, lambda p, x: jnp.tanh(p["w"] @ x.T).T),
    "normalised weights": (
        {"v": V, "g": weights(6)},
        lambda p, x: jnp.tanh(x @ (p["g"] * p["v"] / jnp.linalg.norm(p["v"], axis=0))),
    ),
    "low rank": (
        {"w": V, "a": weights(5, 2), "b": weights(2, 6)},
        lambda p, x: jnp.tanh(x @ (p["w"] + p["a"] @ p["b"])),
    ),
    "layer norm": ({"w": V, "s": weights(6), "b": weights(6)}, layer_norm),
    "scan over weights": ({"ws": weights(3, 5, 5)}, over_weights),
    "scan over steps": ({"w": weights(5, 5), "b": weights(5)}, over_steps),
    "long loop": (
        {"w": weights(5, 5) / 3},
        lambda p, x: jax.lax.fori_loop(0, 100, lambda i, h: jnp.tanh(h @ p["w"]), x),
    ),
    "remat": (
        {"w": V, "v": weights(6, 2)},
        lambda p, x: jax.checkpoint(lambda h: jnp.tanh(h @ p["w"]))(x) @ p["v"],
    ),
    "custom derivative": ({"w": V}, lambda p, x: jnp.tanh(doubled(p["w"], x))),
    "jit": ({"w": V}, jax.jit(lambda p, x: jax.nn.relu(x @ (-3 * p["w"] / 2.0)))),
    "heads": (
        {"w": weights(2, 5, 3), "o": weights(2, 3, 4)},
        lambda p, x: jnp.einsum("nhk,hko->no", jnp.tanh(jnp.einsum("nd,hdk->nhk", x, p["w"])), p["o"]),
    ),
    "batched product": (
        {"w": weights(5, 3, 2)},
        lambda p, x: jnp.einsum("nd,dko->nko", x, jnp.sin(p["w"])).reshape(len(x), -1),
    ),
    "attention": ({"q": weights(5, 4), "k": weights(5, 4), "v": weights(5, 3)}, attention),
    "a parameter that is not used": ({"w": weights(5, 2), "v": weights(3)}, lambda p, x: jnp.sin(x @ p["w"])),
    "one output": ({"w": weights(5)}, lambda p, x: jnp.sin(x @ p["w"])),
    "numbers": ({"a": np.float64(0.3), "b": np.float64(1.2)}, lambda p, x: p["a"] * x + p["b"]),
    "gather": (
        {"e": weights(7, 3)},
        lambda p, x: jnp.tanh(p["e"][jnp.clip((x[:, :2] * 2 + 3).astype(int), 0, 6)]).reshape(len(x), -1),
    ),
    "concatenated": (
        {"w": weights(5, 3), "v": weights(5, 2)},
        lambda p, x: jnp.sin(x @ jnp.concatenate([p["w"], p["v"]], 1)),
    ),
    "divided": (
        {"w": weights(5, 3), "s": 2 + weights(3)},
        lambda p, x: jnp.sin(x @ p["w"]) / p["s"] - p["s"],
    ),
    "twice in a step": ({"w": weights(5)}, lambda p, x: jnp.where(x > 0, p["w"], p["w"]) * x),
    "positions": ({"w": weights(5, 3)}, lambda p, x: jnp.sin(jnp.stack([x, 2 * x], 1) @ p["w"])),
    "convolution": (
        {"w": weights(3, 2, 2, 3)},
        convolution(NHWC, window_strides=(1, 2), padding="SAME"),
    ),
    "channels first": (
        {"w": weights(3, 2, 2, 3)},
        convolution(NCHW, window_strides=(2, 1), padding=[(1, 2), (2, 0)], rhs_dilation=(1, 2)),
    ),
    "transposed convolution": (
        {"w": weights(3, 2, 2, 3)},
        convolution(NHWC, window_strides=(1, 1), padding=[(0, 0), (0, 0)], lhs_dilation=(2, 2)),
    ),
    "cropped convolution": (
        {"w": weights(2, 2, 2, 3)},
        convolution(NHWC, window_strides=(1, 1), padding=[(-1, 1), (0, -1)]),
    ),
    "grouped convolution": (
        {"w": weights(3, 2, 1, 4)},
        convolution(NHWC, window_strides=(1, 1), padding="SAME", feature_group_count=2),
    ),
}
X1, X2 = weights(4, 5), weights(3, 5)


def jacobian(f: Callable, params: Any, x: np.ndarray) -> np.ndarray:
    """(n, O, parameters), by automatic differentiation of the whole batch in double precision."""
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, params)
        outputs = jax.eval_shape(f, params, x).shape[1:]
        found = jax.jacrev(lambda p: f(p, x))(params)
        parts = [np.asarray(j).reshape(len(x), int(np.prod(outputs)), -1) for j in jax.tree.leaves(found)]
    return np.concatenate(parts, axis=-1)


def in_form(full: np.ndarray, form: str) -> np.ndarray:
    """A form of the full kernel, (n1, n2, O, O)."""
    outputs = full.shape[-1]
    if form == "trace":
        return np.einsum("ijaa->ij", full) / outputs
    if form == "diagonal":
        return np.einsum("ijaa->ija", full)
    return full.sum((2, 3)) / outputs if form == "sum_of_logits" else full
