"""`ntk` of PyTorch models, in blocks of examples."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ntkit.errors import InputError, NumericalError
from ntkit.finite.empirical.contract import Form, jacobian_is_cheaper
from ntkit.finite.torch.structured import Part, Recorded, whole

METHODS = ("structured", "jacobian", "products")
MEMORY = 2**32  # bytes


def ntk(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    form: str = "full",
    method: str = "structured",
    memory: int = MEMORY,
) -> Tensor:
    """The empirical tangent kernel of a PyTorch model, over its parameters that require gradients.

    Args:
        model: In evaluation mode; outputs (n, O), or (n, …) which are taken side by side.
        x1: (n1, …), on the model's device.
        x2: (n2, …); None for `x1`.
        form: "full", (n1, n2, O, O); "trace", (n1, n2), the mean over outputs; "diagonal", (n1, n2, O); "sum_of_logits",
            (n1, n2), as `ntkit.finite.empirical.ntk` defines them.
        method: "structured" captures what goes into linear, convolutional and normalising modules and cotangents of what
            comes out, and takes other parameters by `torch.func` alone; "jacobian" and "products" are the methods of
            `torch.func`'s tutorial.
        memory: Bytes that Jacobians may take at a time.

    Returns:
        A tensor on the model's device; `.cpu().numpy()` makes an array of it.

    Raises:
        InputError: The model is in training mode with modules that then act differently, or what it is given is not usable.
        NumericalError: The kernel is not finite.

    Example:
        >>> import torch, ntkit.finite.torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
        >>> ntkit.finite.torch.ntk(model, torch.ones(4, 3)).shape
        torch.Size([4, 4, 2, 2])
    """
    _check(model, x1, x2)
    kind = Form.named(form)
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
    with torch.no_grad():
        y = model(x1[:1])
    if not isinstance(y, Tensor) or y.ndim < 1 or len(y) != 1:
        raise InputError("the model must return one tensor with the examples first")
    basis = _basis(kind, y[0].numel(), y)
    sizes = len(x1), len(x1 if x2 is None else x2), y[0].numel()
    if method == "products":
        k = _by_products(model, x1, x1 if x2 is None else x2, basis, kind)
    else:
        trained = [p for p in model.parameters() if p.requires_grad]
        parts = (
            _structured(model, x1, basis) if method == "structured" else _functional(model, basis, trained)
        )
        k = _by_parts(parts, _block(model, x1, basis, memory), x1, x2, kind, sizes)
    if not torch.isfinite(k).all():
        bad = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
        what = f"; {bad[0]} holds numbers that are not" if bad else ": it overflows, or a gradient does"
        raise NumericalError(f"the kernel is not finite{what}")
    return k / sizes[2] if kind is Form.TRACE else k


def _basis(form: Form, outputs: int, like: Tensor) -> Tensor:
    if form is Form.SUM_OF_LOGITS:
        return like.new_full((1, outputs), outputs**-0.5)
    return torch.eye(outputs, dtype=like.dtype, device=like.device)


def _check(model: nn.Module, x1: Tensor, x2: Tensor | None) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, found {type(model).__name__}")
    for name, x in (("x1", x1), ("x2", x2)):
        if x is not None and (not isinstance(x, Tensor) or x.ndim < 1 or len(x) == 0):
            raise InputError(f"{name} must be a tensor with the examples first, and at least one")
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise InputError(
            f"x2 must hold examples shaped like x1's, {tuple(x1.shape[1:])}; found {tuple(x2.shape[1:])}"
        )
    for name, module in model.named_modules():
        acts = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)
        if module.training and acts:
            raise InputError(
                f"{name or 'the model'} is in training mode, where examples act on one another: call model.eval()"
            )
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise InputError("no parameter of the model requires gradients")
    for name, p in trained:
        if p.is_complex():
            raise InputError(
                f"{name} is complex: a tangent kernel takes derivatives in real numbers; set requires_grad=False"
            )


# By parts ---------------------------------------------------------------------------------------------------------------


# The Jacobians of a batch, parameter by parameter.
Parts = Callable[[Tensor], Iterator[tuple[nn.Parameter, Part]]]


def _structured(model: nn.Module, x: Tensor, basis: Tensor) -> Parts:
    """By rules of modules where these give the whole Jacobian, as they do of the first example; the rest by `torch.func`."""
    first = _first_gradient(model, x, basis)
    ruled: list[nn.Parameter] = []
    for parameter, part in Recorded(model, x[:1], basis.sum(0, keepdim=True)).parts():
        # A parameter of several modules, or used elsewhere too, is none of these.
        if parameter not in set(ruled) and _agrees(part, first[parameter]):
            ruled.append(parameter)
    rest = [p for p in model.parameters() if p.requires_grad and p not in set(ruled)]

    def parts(batch: Tensor) -> Iterator[tuple[nn.Parameter, Part]]:
        for parameter, part in Recorded(model, batch, basis).parts():
            if parameter in set(ruled):
                yield parameter, part
        if rest:
            yield from _functional(model, basis, rest)(batch)

    return parts


def _first_gradient(model: nn.Module, x: Tensor, basis: Tensor) -> dict[nn.Parameter, Tensor]:
    """Of one example's outputs under the sum of all cotangents: what its Jacobian must sum up to."""
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        y = model(x[:1]).reshape(-1)
    found = torch.autograd.grad(y @ basis.sum(0), trained, allow_unused=True)
    return {p: torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)}


def _agrees(part: Part, gradient: Tensor) -> bool:
    one = whole(part[:1] if isinstance(part, Tensor) else (part[0][:1], part[1][:1]))[0].sum(0)
    off = (one - gradient.flatten()).abs().max()
    return bool(off <= 1e4 * torch.finfo(one.dtype).eps * (gradient.abs().max() + one.abs().max()))


def _functional(model: nn.Module, basis: Tensor, some: list[nn.Parameter]) -> Parts:
    """Whole Jacobians by `torch.func`."""
    wanted = set(some)
    named = {name: p for name, p in model.named_parameters() if p in wanted}
    fixed = {n: p.detach() for n, p in model.named_parameters() if n not in named} | dict(
        model.named_buffers()
    )
    values = {name: p.detach() for name, p in named.items()}

    def outputs(values: dict[str, Tensor], row: Tensor) -> Tensor:
        return basis @ torch.func.functional_call(model, (values, fixed), (row[None],)).reshape(-1)

    def parts(batch: Tensor) -> Iterator[tuple[nn.Parameter, Part]]:
        found = torch.func.vmap(torch.func.jacrev(outputs), (None, 0))(values, batch)
        for name, p in named.items():
            yield p, found[name].flatten(2)

    return parts


def _by_parts(
    parts: Parts, size: int, x1: Tensor, x2: Tensor | None, form: Form, sizes: tuple[int, int, int]
) -> Tensor:
    """Blocks of rows by blocks of columns, parameter after parameter."""
    result: Tensor | None = None
    for i in range(0, sizes[0], size):
        for j in range(i if x2 is None else 0, sizes[1], size):
            rows = parts(x1[i : i + size])
            same = x2 is None and i == j
            columns = None if same else parts((x1 if x2 is None else x2)[j : j + size])
            k: Tensor | None = None
            for _, one in rows:
                two = one if columns is None else next(columns)[1]
                part = _contract(form, one, two, sizes)
                k = part if k is None else k.add_(part)
            assert k is not None
            if result is None:
                result = k.new_empty((*sizes[:2], *k.shape[2:]))
            result[i : i + size, j : j + size] = k
            if x2 is None and i != j:
                turned = k.transpose(0, 1)
                result[j : j + size, i : i + size] = turned.transpose(2, 3) if form is Form.FULL else turned
    assert result is not None
    return result


def _block(model: nn.Module, x: Tensor, basis: Tensor, memory: int) -> int:
    """Examples at a time: the largest Jacobian of two blocks, and what goes out of all modules, have to fit."""
    largest = max(p.numel() for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        counted: list[int] = []
        hooks = [m.register_forward_hook(_counting(counted)) for m in model.modules()]
        try:
            model(x[:1])
        finally:
            for hook in hooks:
                hook.remove()
    each = basis.element_size() * len(basis) * (2 * largest + sum(counted))
    if each > memory:
        raise InputError(
            f"one example takes about {each / 2**20:.0f} MiB, more than memory={memory / 2**20:.0f} MiB"
        )
    return max(1, memory // each)


def _counting(counted: list[int]) -> Callable:
    def hook(_module: nn.Module, _taken: tuple, given: Tensor) -> None:
        counted.append(given.numel() if isinstance(given, Tensor) else 0)

    return hook


def _contract(form: Form, one: Part, two: Part, sizes: tuple[int, int, int]) -> Tensor:
    a, b, ab = form.pairs.split(",")
    if isinstance(one, tuple) and isinstance(two, tuple):
        (h1, d1), (h2, d2) = one, two
        shape = h1.shape[2], d1.shape[3]
        here = len(h1), len(h2), sizes[2]
        if not jacobian_is_cheaper(h1.shape[1], *shape, here, form):
            rows = []
            for h, d in zip(h1, d1, strict=True):  # products of all pairs of positions, for one row at a time
                beside = torch.einsum("sm,jtm->jst", h, h2), torch.einsum(f"{a}sk,j{b}tk->j{ab}st", d, d2)
                rows.append(torch.einsum(f"jst,j{ab}st->j{ab}", *beside))
            return torch.stack(rows)
    return torch.einsum(f"i{a}p,j{b}p->ij{ab}", whole(one), whole(two))


# By products ------------------------------------------------------------------------------------------------------------


def _by_products(model: nn.Module, x1: Tensor, x2: Tensor, basis: Tensor, form: Form) -> Tensor:
    """One column and cotangent after another: a backward pass, then a forward pass with tangents over all rows."""
    named = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {n: p.detach() for n, p in model.named_parameters() if n not in named} | dict(
        model.named_buffers()
    )

    def outputs(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, (values, fixed), (x,)).reshape(len(x), -1) @ basis.T

    columns = []
    for row in x2:
        pull = torch.func.vjp(lambda values, row=row: outputs(values, row[None])[0], named)[1]
        moved = []
        for cotangent in torch.eye(len(basis), dtype=basis.dtype, device=basis.device):
            (step,) = pull(cotangent)
            moved.append(torch.func.jvp(lambda values: outputs(values, x1), (named,), (step,))[1])
        columns.append(torch.stack(moved, dim=-1))  # n1, c, c
    k = torch.stack(columns, dim=1)
    if form is Form.FULL:
        return k
    kept = torch.diagonal(k, dim1=2, dim2=3)
    return kept if form is Form.DIAGONAL else kept.sum(-1)
