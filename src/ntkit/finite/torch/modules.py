"""Which modules of PyTorch give their Jacobians by what goes in and by cotangents of what comes out."""

import abc
import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Rule(abc.ABC):
    """How the Jacobians in a module's own parameters follow from one of its calls.

    Args:
        module: The module.
    """

    def __init__(self, module: Any):
        self.module = module

    @abc.abstractmethod
    def weight(self, h: Tensor, delta: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """In `weight`: whole, (n, O, size), or as factors ((n, s, m), (n, O, s, k)), with Σ_s δ[s] ⊗ h[s] in its order.

        Args:
            h: (n, …), what went in.
            delta: (n, O, …), cotangents of what came out.
        """

    @abc.abstractmethod
    def bias(self, delta: Tensor) -> Tensor:
        """In `bias`, (n, O, size)."""


class Linear(Rule):
    """A product with a matrix, at one position or at many."""

    def weight(self, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        n, outputs, k = len(h), delta.shape[1], delta.shape[-1]
        return h.reshape(n, -1, h.shape[-1]), delta.reshape(n, outputs, -1, k)

    def bias(self, delta: Tensor) -> Tensor:
        return delta.reshape(len(delta), delta.shape[1], -1, delta.shape[-1]).sum(2)


class Convolution(Rule):
    """Of one or two dimensions, in one group."""

    def weight(self, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        m = self.module
        sizes: tuple[tuple[int, ...], ...] = (m.kernel_size, m.dilation, m.stride)
        if isinstance(m.padding, str):
            total = [
                d * (k - 1) if m.padding == "same" else 0
                for k, d in zip(m.kernel_size, m.dilation, strict=True)
            ]
            around = [(t // 2, t - t // 2) for t in total]
        else:
            around = [(p, p) for p in m.padding]
        h = F.pad(h, [side for pair in reversed(around) for side in pair])
        if len(m.kernel_size) == 1:
            h, sizes = h[:, :, None], tuple((1, *s) for s in sizes)
        kernel, dilation, stride = sizes
        patches = F.unfold(h, kernel, dilation=dilation, stride=stride).transpose(1, 2)
        return patches, delta.flatten(3).transpose(2, 3)

    def bias(self, delta: Tensor) -> Tensor:
        return delta.flatten(3).sum(3)


class BatchNorm(Rule):
    """In evaluation mode."""

    def weight(self, h: Tensor, delta: Tensor) -> Tensor:
        m = self.module
        shape = (-1, *(1,) * (h.ndim - 2))
        normal = (h - m.running_mean.view(shape)) * (m.running_var + m.eps).rsqrt().view(shape)
        return self.bias(delta * normal[:, None])

    def bias(self, delta: Tensor) -> Tensor:
        return delta.flatten(3).sum(3) if delta.ndim > 3 else delta


class LayerNorm(Rule):
    """Over the last dimensions."""

    def weight(self, h: Tensor, delta: Tensor) -> Tensor:
        normal = F.layer_norm(h, self.module.normalized_shape, eps=self.module.eps)
        return self.bias(delta * normal[:, None])

    def bias(self, delta: Tensor) -> Tensor:
        size = math.prod(self.module.normalized_shape)
        return delta.reshape(len(delta), delta.shape[1], -1, size).sum(2)


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module, if there is one."""
    if isinstance(module, nn.Linear):
        return Linear(module)
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return Convolution(module) if module.groups == 1 and module.padding_mode == "zeros" else None
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return BatchNorm(module) if module.running_mean is not None else None
    return LayerNorm(module) if isinstance(module, nn.LayerNorm) else None
