"""Modules of Equinox."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import AvgPool, Dropout, GlobalAvgPool, Identity, LayerNorm
from ntkit.lifting.functions import recognised
from ntkit.lifting.layout import name_of, padding_of
from ntkit.lifting.survey import Survey, chain, dimensions_after, unknown
from ntkit.lifting.weights import Weights, check_untrained, conv, dense, uniform


def lift_equinox(survey: Survey, module: Any, path: str = "", dimensions: int | None = None) -> Layer:
    """The layer of a module whose inputs have so many dimensions of positions."""
    if type(module) is eqx.nn.Sequential:
        layers: list[Layer] = []
        for i, child in enumerate(module.layers):
            layers.append(lift_equinox(survey, child, _joined(path, f"layers[{i}]"), dimensions))
            dimensions = dimensions_after(layers[-1], dimensions)
        return chain(layers)
    if type(module) is eqx.nn.MLP:
        return _mlp(survey, module, path)
    wide = getattr(module, "num_spatial_dims", None)
    return survey.attempt(path, lambda: _single(survey, module, path, dimensions), wide)


def _single(survey: Survey, module: Any, path: str, dimensions: int | None) -> Layer:
    kinds: dict[type, Callable[[], Layer]] = {
        eqx.nn.Linear: partial(_linear, survey, module, path),
        eqx.nn.LayerNorm: partial(_layer_norm, module),
        eqx.nn.Dropout: partial(_dropout, module),
        eqx.nn.Identity: Identity,
    }
    for d in "123":
        kinds[getattr(eqx.nn, f"Conv{d}d")] = partial(_conv, survey, module, path)
        kinds[getattr(eqx.nn, f"AvgPool{d}d")] = partial(_avg_pool, module)
        kinds[getattr(eqx.nn, f"AdaptiveAvgPool{d}d")] = partial(_adaptive, module)
    kinds[eqx.nn.Conv] = kinds[eqx.nn.Conv1d]
    if type(module) in kinds:
        return kinds[type(module)]()
    fn = module.fn if type(module) is eqx.nn.Lambda else module
    if not callable(fn) or any(map(eqx.is_array, jax.tree.leaves(fn))):
        raise unknown(fn)
    if isinstance(fn, eqx.Module) and type(module) is not eqx.nn.Lambda:
        raise unknown(fn)
    return recognised(fn, dimensions, batched=False, channels_last=False)


def _mlp(survey: Survey, mlp: Any, path: str) -> Layer:
    linears = list(mlp.layers)
    if mlp.scan and mlp.depth > 0:
        hidden = [jax.tree.map(lambda a, i=i: a[i], linears[1]) for i in range(mlp.depth - 1)]
        linears = [linears[0], *hidden, linears[-1]]
    layers: list[Layer] = []
    for i, linear in enumerate(linears):
        last = i == len(linears) - 1
        name = "final_activation" if last else "activation"
        fn = getattr(mlp, name)
        layers.append(lift_equinox(survey, linear, _joined(path, f"layers[{i}]"), 0))
        layers.append(lift_equinox(survey, eqx.nn.Lambda(fn), _joined(path, name), 0))
    return chain(layers)


def _linear(survey: Survey, module: Any, path: str) -> Layer:
    if "scalar" in (module.in_features, module.out_features):
        raise InputError('a Linear of "scalar" takes or gives numbers, and kernels are of vectors; write 1')
    survey.use([module.weight], path)
    default = uniform(module.in_features)
    return dense(survey, Weights(module.out_features, default, module.weight, module.bias, module.use_bias))


def _conv(survey: Survey, module: Any, path: str) -> Layer:
    if module.groups != 1:
        raise InputError(f"a convolution of {module.groups} groups is none of ntkit's layers")
    survey.use([module.weight], path)
    fan_in = module.weight.size // module.out_channels
    weights = Weights(module.out_channels, uniform(fan_in), module.weight, module.bias, module.use_bias)
    window = {"kernel_size": module.kernel_size, "stride": module.stride, "dilation": module.dilation}
    if not isinstance(module.padding, str):
        padding = padding_of(module.padding, **window, mode=module.padding_mode)
    elif module.padding_mode == "ZEROS":
        padding = name_of(module.padding, module.kernel_size, module.stride)
    else:
        raise InputError(
            f"padding {module.padding} by {module.padding_mode} is none of ntkit's; give numbers"
        )
    return conv(survey, weights, **window, padding=padding)


def _avg_pool(module: Any) -> Layer:
    if module.use_ceil:
        raise InputError("a pool with use_ceil=True pads by the image's extent; use use_ceil=False")
    size = module.kernel_size
    padding = padding_of(module.padding, size, module.stride, (1,) * len(size))
    return AvgPool(size, module.stride, padding)


def _adaptive(module: Any) -> Layer:
    if set(module.target_shape) != {1}:
        raise InputError(
            f"adaptive pooling to {tuple(module.target_shape)} depends on the image; only 1 is lifted"
        )
    return GlobalAvgPool()


def _layer_norm(module: Any) -> Layer:
    check_untrained(module.use_weight or module.use_bias, "use_weight=False, use_bias=False")
    return LayerNorm("channels" if len(module.shape) == 1 else "channels_and_space")


def _dropout(module: Any) -> Layer:
    return Identity() if module.inference or module.p == 0 else Dropout(float(module.p))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
