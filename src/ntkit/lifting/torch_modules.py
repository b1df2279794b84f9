"""Modules of PyTorch that have no modules inside."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import AvgPool, Dropout, Flatten, GlobalAvgPool, Identity, LayerNorm
from ntkit.lifting.functions import recognised
from ntkit.lifting.layout import each, name_of, padding_of
from ntkit.lifting.survey import Survey, unknown
from ntkit.lifting.weights import Weights, check_untrained, conv, dense, uniform

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.SiLU, nn.Softplus, nn.CELU)


def lift_torch_module(survey: Survey, module: Any, dimensions: int | None) -> Layer:
    """The layer of a module whose inputs have so many dimensions of positions.

    Raises:
        InputError: There is none.
    """
    if module._forward_hooks or module._forward_pre_hooks:
        raise InputError(f"{type(module).__name__} has hooks, which may change what it computes; remove them")
    if type(module) in ACTIVATIONS:
        return recognised(as_numpy(module), dimensions, channels_last=False)
    kinds: dict[type, Callable[[], Layer]] = {
        nn.Linear: partial(_linear, survey, module, dimensions),
        nn.LayerNorm: partial(_layer_norm, module, dimensions),
        nn.Dropout: partial(_dropout, module),
        nn.Flatten: partial(_flatten, module),
        nn.Identity: Identity,
    }
    for d in (1, 2, 3):
        kinds[getattr(nn, f"Conv{d}d")] = partial(_conv, survey, module, dimensions)
        kinds[getattr(nn, f"AvgPool{d}d")] = partial(_avg_pool, module, d)
        kinds[getattr(nn, f"AdaptiveAvgPool{d}d")] = partial(_adaptive, module)
    if type(module) not in kinds:
        raise unknown(module)
    return kinds[type(module)]()


def dimensions_of(module: Any) -> int | None:
    """How many dimensions of positions a module's type speaks of."""
    name = type(module).__name__
    return int(name[-2]) if name[-2:] in ("1d", "2d", "3d") else None


def as_numpy(fn: Callable) -> Callable:
    """A function of tensors as one of arrays."""
    import torch

    def on_arrays(x: Any) -> Any:
        with torch.no_grad():
            return fn(torch.from_numpy(x)).numpy()

    return on_arrays


def _weights(width: int, module: Any) -> Weights:
    kernel, bias = module.weight, module.bias
    arrays = [None if p is None else p.detach().cpu().double().numpy() for p in (kernel, bias)]
    rates = [float(p is not None and p.requires_grad) for p in (kernel, bias)]
    default = uniform(kernel.numel() // width)
    return Weights(width, default, arrays[0], arrays[1], bias is not None, rates[0], rates[1])


def _linear(survey: Survey, module: Any, dimensions: int | None) -> Layer:
    if dimensions:
        raise InputError(
            f"a Linear on {dimensions} dimensions of positions acts on the last of them, not on the channels; put "
            "Flatten or a global average before it"
        )
    return dense(survey, _weights(module.out_features, module))


def _conv(survey: Survey, module: Any, dimensions: int | None) -> Layer:
    if dimensions == 0:
        raise InputError("a convolution after all positions have been averaged; write Flatten and Linear")
    if module.groups != 1:
        raise InputError(f"a convolution of {module.groups} groups is none of ntkit's layers")
    window = {"kernel_size": module.kernel_size, "stride": module.stride, "dilation": module.dilation}
    padding: str | tuple[tuple[int, int], ...]
    if module.padding == "same" and module.padding_mode == "zeros":
        padding = name_of("SAME", module.kernel_size, module.stride)
    elif module.padding == "same":
        raise InputError(f"padding same by {module.padding_mode} is none of ntkit's; give numbers")
    else:
        numbers = (0,) * len(module.kernel_size) if module.padding == "valid" else module.padding
        padding = padding_of([(p, p) for p in numbers], **window, mode=module.padding_mode)
    return conv(survey, _weights(module.out_channels, module), **window, padding=padding)


def _avg_pool(module: Any, dimensions: int) -> Layer:
    size, stride = each(module.kernel_size, dimensions), each(module.stride, dimensions)
    pads = [(p, p) for p in each(module.padding, dimensions)]
    padding = padding_of(pads, size, stride, (1,) * dimensions)
    divided = padding != "VALID" and not module.count_include_pad
    if module.ceil_mode or divided or getattr(module, "divisor_override", None) is not None:
        raise InputError(
            "a pool with ceil_mode, a divisor of its own, or an average without what was padded is none of ntkit's"
        )
    return AvgPool(size, stride, padding)


def _adaptive(module: Any) -> Layer:
    size = module.output_size
    if set(size if isinstance(size, tuple) else (size,)) != {1}:
        raise InputError(f"adaptive pooling to {size} depends on the image; only 1 is lifted")
    return GlobalAvgPool()


def _flatten(module: Any) -> Layer:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise InputError(
            f"Flatten({module.start_dim}, {module.end_dim}) is not Flatten(1, −1), all but the batch"
        )
    return Flatten()


def _layer_norm(module: Any, dimensions: int | None) -> Layer:
    frozen = [
        p is None or (not p.requires_grad and bool((p == value).all()))
        for p, value in ((module.weight, 1), (module.bias, 0))
    ]
    remedy = "elementwise_affine=False, or requires_grad_(False) while they are 1 and 0"
    check_untrained(not all(frozen), remedy)
    size = len(module.normalized_shape)
    if size != 1 + (dimensions or 0):
        raise InputError(
            f"a LayerNorm over the last {size} axes, with {dimensions or 'no known'} dimensions of positions; over "
            "the channels, or over the channels and all positions, is what ntkit has"
        )
    return LayerNorm("channels" if size == 1 else "channels_and_space")


def _dropout(module: Any) -> Layer:
    return Dropout(float(module.p)) if module.training and module.p > 0 else Identity()
