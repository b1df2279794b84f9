"""Jacobians of a PyTorch model layer by layer: one forward pass, one backward pass an output, all examples together."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ntkit.finite.torch.modules import Rule, rule_of

Part = Tensor | tuple[Tensor, Tensor]  # (n, O, size), or ((n, s, m), (n, O, s, k))


@dataclasses.dataclass
class Call:
    """One call of a module.

    Attributes:
        rule: Its rule.
        taken: What went in.
        given: What came out.
    """

    rule: Rule
    taken: Tensor
    given: Tensor


class Recorded:
    """A forward pass with the calls of all modules that have a rule.

    Args:
        model: The model.
        x: A batch.
        basis: (c, O), cotangents of the outputs.

    Attributes:
        calls: By module.
        deltas: By module, for each call (n, c, …).
    """

    def __init__(self, model: nn.Module, x: Tensor, basis: Tensor):
        self.calls: dict[nn.Module, list[Call]] = {}
        hooks = [m.register_forward_hook(self._note) for m in model.modules() if rule_of(m) and _own(m)]
        try:
            with torch.enable_grad():
                y = model(x)
        finally:
            for hook in hooks:
                hook.remove()
        y = y.reshape(len(x), -1)
        flat = [call for calls in self.calls.values() for call in calls]
        rows = []
        for cotangent in basis if flat else ():
            given = [call.given for call in flat]
            rows.append(
                torch.autograd.grad((y @ cotangent).sum(), given, retain_graph=True, allow_unused=True)
            )
        found = iter([[_or_zero(row[k], call) for row in rows] for k, call in enumerate(flat)])
        self.deltas = {
            module: [torch.stack(next(found), dim=1) for _ in calls] for module, calls in self.calls.items()
        }

    def _note(self, module: nn.Module, taken: tuple, given: Tensor) -> Tensor:
        rule = rule_of(module)
        assert rule
        if not given.requires_grad:
            given = given.detach().requires_grad_()
        self.calls.setdefault(module, []).append(Call(rule, taken[0].detach(), given))
        return given.clone()  # what follows may work in place

    def parts(self) -> Iterator[tuple[nn.Parameter, Part]]:
        """Of every parameter of these modules its Jacobian."""
        for module, calls in self.calls.items():
            deltas = self.deltas[module]
            named: Any = dict(module.named_parameters(recurse=False))
            if "weight" in named and named["weight"].requires_grad:
                parts = [c.rule.weight(c.taken, d) for c, d in zip(calls, deltas, strict=True)]
                yield named["weight"], _together(parts)
            if named.get("bias") is not None and named["bias"].requires_grad:
                parts = [c.rule.bias(d) for c, d in zip(calls, deltas, strict=True)]
                yield named["bias"], sum(parts[1:], parts[0])


def _own(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))


def _or_zero(gradient: Tensor | None, call: Call) -> Tensor:
    return torch.zeros_like(call.given) if gradient is None else gradient


def _together(parts: list) -> Part:
    """Calls of one module: positions beside each other, or a sum."""
    if isinstance(parts[0], tuple):
        return torch.cat([h for h, _ in parts], dim=1), torch.cat([d for _, d in parts], dim=2)
    return sum(parts[1:], parts[0])


def whole(part: Part) -> Tensor:
    """(n, O, size)."""
    if isinstance(part, Tensor):
        return part.flatten(2)
    h, delta = part
    return torch.einsum("ism,iask->iakm", h, delta).flatten(2)
