"""`observe` for PyTorch: two copies of a model, from before and after its training, become a `TrainingRun`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from ntkit.errors import InputError
from ntkit.finite.run import TrainingRun, check_targets, flat
from ntkit.finite.torch.kernels import ntk


def observe(
    before: nn.Module,
    after: nn.Module,
    x: Tensor,
    y: Any,
    *,
    x_test: Tensor | None = None,
    y_test: Any = None,
) -> TrainingRun:
    """What training did to a PyTorch model, seen on a few examples.

    Args:
        before: A copy of the model from before its training, such as `copy.deepcopy(model)`; in evaluation mode.
        after: The trained model; likewise.
        x: (n, …) a few hundred of the training examples.
        y: (n, *outputs) their targets; classes as one-hot rows.
        x_test: (m, …) other examples, to compare predictions on; None for none.
        y_test: (m, *outputs) their targets.

    Raises:
        InputError: A model is in training mode, the two differ in their parameters, a part has no derivative forward, or a
            shape is wrong.
        NumericalError: A kernel is not finite.

    Example:
        >>> import copy, torch, ntkit.finite.torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
        >>> start = copy.deepcopy(model)
        >>> x = torch.randn(20, 3)
        >>> y = x[:, :1].sign()
        >>> descent = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> for _ in range(20):
        ...     descent.zero_grad()
        ...     ((model(x) - y) ** 2).mean().backward()
        ...     descent.step()
        >>> run = ntkit.finite.torch.observe(start.eval(), model.eval(), x, y)
        >>> run.kernel_after.shape, run.movement > 0
        ((20, 20), True)

    References:
        Chizat, Oyallon and Bach, "On lazy training in differentiable programming", 2019, section 1.1 (κ).
    """
    if (x_test is None) != (y_test is None):
        raise InputError("give x_test and y_test, or neither")
    first_kernel, last_kernel = (flat(ntk(model, x, form="trace").cpu()) for model in (before, after))
    start, end = _trained(before), _trained(after)
    if {k: p.shape for k, p in start.items()} != {k: p.shape for k, p in end.items()}:
        raise InputError("the models before and after training are not of one kind: their parameters differ")

    def outputs(params: dict[str, Tensor]) -> Tensor:
        y = functional_call(before, params, (x,))
        return y.reshape(len(y), -1)

    step = {k: end[k].to(p) - p for k, p in start.items()}
    try:
        first, slope, *_ = jvp(outputs, (start,), (step,))
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"a part of the model has no derivative forward, which the linearised network needs: {error}"
        ) from error
    with torch.no_grad():
        last = after(x)
    before_, after_, linear = (flat(a.detach().cpu()) for a in (first, last, first + slope))
    targets = check_targets(torch.as_tensor(y).cpu(), before_, "y")
    kappa = _kappa(outputs, start, torch.as_tensor(targets).to(first))
    run = TrainingRun(
        before_, after_, linear, targets, first_kernel, last_kernel, _length(step) / _length(start), kappa
    )
    if x_test is None:
        return run
    with torch.no_grad():
        said = after(x_test).cpu()
    kernels = [ntk(model, x_test, x, form="trace").cpu() for model in (before, after)]
    return run.tested(torch.as_tensor(y_test).cpu(), said, kernels)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def _kappa(outputs: Callable, start: dict[str, Tensor], targets: Tensor) -> float:
    """As that of `ntkit.finite.observe`; NaN where PyTorch has no second derivative along a direction."""
    said, pull, *_ = torch.func.vjp(outputs, start)
    missed = said - targets
    v = {k: g.detach() for k, g in pull(missed)[0].items()}
    try:
        first, second, *_ = jvp(lambda p: jvp(outputs, (p,), (v,))[1], (start,), (v,))
    except (RuntimeError, NotImplementedError):
        return float("nan")
    return float(missed.norm() * second.norm() / first.square().sum())


def _length(tensors: dict[str, Tensor]) -> float:
    return sum(float(t.double().square().sum()) for t in tensors.values()) ** 0.5
