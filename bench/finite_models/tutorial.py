"""The two ways of PyTorch's tutorial on tangent kernels: whole Jacobians, and products with vectors, both under `vmap`."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap


def _single(model: nn.Module):
    buffers = dict(model.named_buffers())

    def f(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, (params, buffers), (x[None],))[0]

    return f, {name: p.detach() for name, p in model.named_parameters()}


def by_jacobians(model: nn.Module, x1: Tensor, x2: Tensor) -> Tensor:
    """(n1, n2, O, O), contracted parameter by parameter."""
    f, params = _single(model)
    one, two = (vmap(jacrev(f), (None, 0))(params, x) for x in (x1, x2))
    parts = [torch.einsum("iap,jbp->ijab", one[k].flatten(2), two[k].flatten(2)) for k in params]
    return torch.stack(parts).sum(0)


def by_products(model: nn.Module, x1: Tensor, x2: Tensor) -> Tensor:
    """The same by a backward and a forward pass for every pair of examples and output."""
    f, params = _single(model)

    def of_pair(a: Tensor, b: Tensor) -> Tensor:
        def column(cotangent: Tensor) -> Tensor:
            (step,) = vjp(lambda p: f(p, b), params)[1](cotangent)
            return jvp(lambda p: f(p, a), (params,), (step,))[1]

        outputs = f(params, a).shape[0]
        return vmap(column)(torch.eye(outputs, dtype=a.dtype)).T

    return vmap(lambda a: vmap(lambda b: of_pair(a, b))(x2))(x1)
