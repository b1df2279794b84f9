"""`Survey`, one pass over a module: the options, and everything found on the way that cannot be lifted."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from ntkit.errors import InputError
from ntkit.layer import Layer, Serial, stages
from ntkit.layers import AvgPool, Conv, Flatten, GlobalAvgPool, Identity, Residual, StandardConv, Sum

# Why modules of these names are refused, whichever library they are of; the first that fits.
REASONS = {
    "BatchNorm": "examples of a batch act on one another, and the statistics of one batch have no closed form; "
    "use LayerNorm without gain and bias, or Monte Carlo (nk.sample)",
    "MaxPool": "the maximum over positions has no closed form; use average pooling, or Monte Carlo (nk.sample)",
    "Embed": "it takes numbers of tokens, and a kernel takes vectors; give the network embedded or one-hot inputs",
    "Attention": "attention is none of ntkit's layers",
    "PReLU": "its slope is trained, which adds to the tangent kernel; use LeakyReLU",
}


@dataclasses.dataclass
class Survey:
    """What was asked, and what was found.

    Attributes:
        parametrisation: "standard" or "ntk".
        init: "default" or "measured".
        findings: (path, reason) of what cannot be lifted.
        users: The path of the first module that uses a weight, by the weight's id, with the weight: an id is its own only
            as long as it lives.
    """

    parametrisation: str
    init: str
    findings: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    users: dict[int, tuple[Any, str]] = dataclasses.field(default_factory=dict)

    def attempt(self, path: str, build: Callable[[], Layer], dimensions: int | None = None) -> Layer:
        """The layer built, or a finding and a stand-in with as many dimensions of positions."""
        try:
            return build()
        except InputError as error:
            self.findings.append((path, str(error)))
            return Identity() if dimensions is None else Conv(1, (1,) * dimensions)

    def use(self, weights: Iterable[Any], path: str) -> None:
        """Raise `InputError` where a weight has been used before, elsewhere."""
        for weight in weights:
            _, first = self.users.setdefault(id(weight), (weight, path))
            if first != path:
                raise InputError(f"tied weights: it shares one with {first}, and layers have their own each")

    def report(self, what: str) -> None:
        """Raise `InputError` with all findings, if there are any."""
        if self.findings:
            lines = [f"  {path or 'the module'}: {reason}" for path, reason in dict.fromkeys(self.findings)]
            raise InputError(f"lift: {what} cannot be lifted:\n" + "\n".join(lines))


def unknown(module: Any) -> InputError:
    """Why a module of this type is not lifted."""
    name = type(module).__name__
    reason = next((reason for part, reason in REASONS.items() if part in name), None)
    return InputError(f"{name}: " + (reason or "no layer of ntkit is known to be the limit of this module"))


def chain(layers: list[Layer]) -> Layer:
    """Layers one after another, without those that do nothing."""
    flat = [stage for layer in layers for stage in stages(layer) if not isinstance(stage, Identity)]
    return Serial(tuple(flat)) if len(flat) > 1 else flat[0] if flat else Identity()


def dimensions_after(layer: Layer, before: int | None) -> int | None:
    """How many dimensions of positions a lifted layer's outputs have; None where that is not known."""
    match layer:
        case Serial(layers=layers):
            for each in layers:
                before = dimensions_after(each, before)
        case Sum(branches=branches):
            before = dimensions_after(branches[0], before)
        case Residual(body=body):
            before = dimensions_after(body, before)
        case Conv(kernel_size=tuple(extents)) | StandardConv(kernel_size=tuple(extents)):
            before = len(extents)
        case AvgPool(window=tuple(extents)):
            before = len(extents)
        case Flatten() | GlobalAvgPool():
            before = 0
    return before
