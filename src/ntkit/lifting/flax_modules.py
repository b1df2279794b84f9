"""Modules of Flax: linen and nnx."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen, nnx

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import AvgPool, Dropout, Identity, LayerNorm
from ntkit.lifting.functions import recognised
from ntkit.lifting.layout import each, name_of, padding_of
from ntkit.lifting.survey import Survey, chain, dimensions_after, unknown
from ntkit.lifting.weights import LECUN_NORMAL, Weights, check_untrained, conv, dense


def lift_flax(survey: Survey, module: Any, path: str = "", dimensions: int | None = None) -> Layer:
    """The layer of a module whose inputs have so many dimensions of positions."""
    if type(module) in (linen.Sequential, nnx.Sequential):
        layers: list[Layer] = []
        for i, child in enumerate(module.layers):
            name = f"{path}.layers[{i}]" if path else f"layers[{i}]"
            layers.append(lift_flax(survey, child, name, dimensions))
            dimensions = dimensions_after(layers[-1], dimensions)
        return chain(layers)
    wide = len(_kernel_size(module)) if type(module) in (linen.Conv, nnx.Conv) else None
    return survey.attempt(path, lambda: _single(survey, module, path, dimensions), wide)


def _single(survey: Survey, module: Any, path: str, dimensions: int | None) -> Layer:
    kinds: dict[type, Callable[[], Layer]] = {}
    for library in (linen, nnx):
        kinds[library.Conv] = partial(_conv, survey, module, path)
        kinds[library.LayerNorm] = partial(_layer_norm, module)
        kinds[library.Dropout] = partial(_dropout, module)
    kinds[linen.Dense] = kinds[nnx.Linear] = partial(_dense, survey, module, path)
    if type(module) in kinds:
        return kinds[type(module)]()
    if isinstance(module, partial) and module.func is linen.avg_pool and not module.args:
        return _avg_pool(**module.keywords)
    if isinstance(module, (linen.Module, nnx.Module)) or not callable(module):
        raise unknown(module)
    return recognised(module, dimensions)


def _dense(survey: Survey, module: Any, path: str) -> Layer:
    return dense(survey, _weights(survey, module, path))


def _conv(survey: Survey, module: Any, path: str) -> Layer:
    size = _kernel_size(module)
    groups, spread = module.feature_group_count, each(module.input_dilation, len(size))
    if groups != 1 or set(spread) != {1} or module.mask is not None:
        raise InputError("a convolution with groups, input dilation or a mask is none of ntkit's layers")
    stride, dilation = each(module.strides, len(size)), each(module.kernel_dilation, len(size))
    padding = _padding(module.padding, size, stride, dilation)
    window = {"kernel_size": size, "stride": stride, "dilation": dilation, "padding": padding}
    return conv(survey, _weights(survey, module, path), **window)


def _kernel_size(module: Any) -> tuple[int, ...]:
    size = module.kernel_size
    return (size,) if isinstance(size, int) else tuple(size)


def _padding(
    padding: Any, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...] | None = None
) -> str | tuple[tuple[int, int], ...]:
    if isinstance(padding, str):
        return name_of(padding, size, stride)
    pads = [(p, p) if isinstance(p, int) else p for p in _sequence(padding, len(size))]
    return padding_of(pads, size, stride, dilation or (1,) * len(size))


def _sequence(padding: Any, length: int) -> Any:
    return (padding,) * length if isinstance(padding, int) else padding


def _weights(survey: Survey, module: Any, path: str) -> Weights:
    """What a module says of its weights; a linen module holds some only if it is bound to variables."""
    if not isinstance(module, linen.Module):
        survey.use([module.kernel], path)
        bias = module.bias[...] if module.use_bias else None
        return Weights(module.out_features, LECUN_NORMAL, module.kernel[...], bias, module.use_bias)
    survey.use([module], path)
    fields = type(module).__dataclass_fields__
    usual = module.kernel_init is fields["kernel_init"].default
    usual &= not module.use_bias or module.bias_init is fields["bias_init"].default
    if survey.init == "default" and not usual:
        raise InputError(
            'its initialiser is not the default; lift module.bind(variables) with init="measured"'
        )
    params = {} if module.scope is None else module.variables.get("params", {})
    return Weights(module.features, LECUN_NORMAL, params.get("kernel"), params.get("bias"), module.use_bias)


def _layer_norm(module: Any) -> Layer:
    check_untrained(module.use_scale or module.use_bias, "use_scale=False, use_bias=False")
    if module.reduction_axes != -1 or module.axis_name is not None:
        raise InputError(
            f"a LayerNorm over the axes {module.reduction_axes}; only −1, the channels, is lifted"
        )
    return LayerNorm()


def _dropout(module: Any) -> Layer:
    if tuple(module.broadcast_dims):
        raise InputError("a Dropout whose masks are shared over axes is none of ntkit's layers")
    return Identity() if module.deterministic or module.rate == 0 else Dropout(float(module.rate))


def _avg_pool(
    window_shape: Any, strides: Any = None, padding: Any = "VALID", count_include_pad: bool = True
) -> Layer:
    size = tuple(window_shape)
    stride = each(strides, len(size))
    name = _padding(padding, size, stride)
    if name != "VALID" and not count_include_pad:
        raise InputError(
            "an average that leaves out what was padded (count_include_pad=False) is none of ntkit's"
        )
    return AvgPool(size, stride, name)
