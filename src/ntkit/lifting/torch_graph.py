"""Models of PyTorch, by the graph that `torch.fx` traces: chains of layers, and branches that are added."""

import operator
from typing import Any

import torch
from torch import fx, nn

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.layers import Identity, Residual, Sum
from ntkit.lifting.functions import recognised
from ntkit.lifting.survey import Survey, chain, dimensions_after
from ntkit.lifting.torch_modules import as_numpy, dimensions_of, lift_torch_module

_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


def lift_torch(survey: Survey, module: nn.Module) -> Layer:
    """The network of a model.

    Raises:
        InputError: The model cannot be traced, or has several inputs or outputs.
    """
    tracer = fx.Tracer()
    root = nn.Sequential(module) if tracer.is_leaf_module(module, "") else module
    try:
        traced = fx.GraphModule(root, tracer.trace(root))
    except Exception as error:  # tracing runs the model's own code
        raise InputError(
            f"lift: torch.fx cannot trace the model ({error}); write its forward without branches on data"
        ) from None
    graph = Graph(survey, traced)
    return graph.between(graph.source, graph.result, None)


class Graph:
    """A traced model, read as a composition of chains and sums of branches."""

    def __init__(self, survey: Survey, traced: fx.GraphModule):
        self.survey, self.traced = survey, traced
        self.modules = dict(traced.named_modules())
        nodes = list(traced.graph.nodes)
        self.result = nodes[-1].args[0]
        if not isinstance(self.result, fx.Node):
            raise InputError("lift: the model returns several things; a network of ntkit has one output")
        used = self._upstream(self.result, None)
        sources = [n for n in nodes if n in used and n.op == "placeholder"]
        if len(sources) != 1:
            raise InputError(
                f"lift: the model's output depends on {len(sources)} inputs; a network of ntkit has one"
            )
        self.source = sources[0]
        self.above: dict[fx.Node, list[fx.Node]] = {}
        for node in nodes:
            if node in used:
                self.above[node] = self._dominators(node)
                self._check_ties(node)
                self._check_place(node, nodes)

    def between(self, start: fx.Node, end: fx.Node, dimensions: int | None) -> Layer:
        """What happens from one node, not included, to another that it dominates."""
        steps = []
        while end is not start:
            steps.append(end)
            end = self.above[end][-2]
        layers: list[Layer] = []
        for node in reversed(steps):
            layers.append(self._step(node, self.above[node][-2], dimensions))
            dimensions = dimensions_after(layers[-1], dimensions)
        return chain(layers)

    def _step(self, node: fx.Node, start: fx.Node, dimensions: int | None) -> Layer:
        """The layer from a node's nearest dominator to the node."""
        if _is_addition(node):
            return self._addition(node, start, dimensions)
        wide = dimensions_of(self.modules[node.target]) if node.op == "call_module" else None
        return self.survey.attempt(_name(node), lambda: self._single(node, start, dimensions), wide)

    def _addition(self, node: fx.Node, start: fx.Node, dimensions: int | None) -> Layer:
        branches = operands(node)
        own = [_name(branch) for branch in branches if self.above[branch][0] is not self.source]
        between = [self._upstream(branch, start) for branch in branches]
        if own or between[0] & between[1]:
            reason = (
                f"it adds {own[0]}, a tensor of the model's own"
                if own
                else "branches that share layers are not independent of one another"
            )
            self.survey.findings.append((_name(node), reason))
            return Identity()
        terms = [self.between(start, branch, dimensions) for branch in branches]
        bodies = [term for term in terms if not isinstance(term, Identity)]
        return Residual(bodies[0]) if len(bodies) == 1 else Sum(tuple(terms))

    def _single(self, node: fx.Node, start: fx.Node, dimensions: int | None) -> Layer:
        if node.op == "call_module" and operands(node) == [start]:
            return lift_torch_module(self.survey, self.modules[node.target], dimensions)
        module = _pool_of(node)
        if module is not None:
            return lift_torch_module(self.survey, module, dimensions)
        fn = as_numpy(lambda x: _evaluate(node, start, x))
        try:
            return recognised(fn, dimensions, channels_last=False)
        except InputError:
            raise InputError(
                f"{_label(node)} of {', '.join(map(_name, operands(node)))} is no function that ntkit knows by its values"
                + (", where the number of dimensions of positions is not known" if dimensions is None else "")
            ) from None

    def _upstream(self, node: fx.Node, stop: fx.Node | None) -> set[fx.Node]:
        """A node and all that it is made of, up to another."""
        found: set[fx.Node] = set()
        pending = [node]
        while pending:
            node = pending.pop()
            if node is not stop and node not in found:
                found.add(node)
                pending += operands(node)
        return found

    def _dominators(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that every way to this one passes, the input first and the node last."""
        # A tensor of the model's own is no way from the input.
        above = [self.above[n] for n in operands(node) if self.above[n][0] is self.source]
        common = [n for n in above[0] if all(n in other for other in above[1:])] if above else []
        return [*common, node]

    def _check_ties(self, node: fx.Node) -> None:
        """Report a module that is called twice, or shares its weights with another."""
        if node.op == "call_module":
            parameters = list(self.modules[node.target].parameters())

            def check() -> Layer:  # by the node's name: each call of a module has its own
                self.survey.use(parameters, f"{node.target} (the call {node.name})")
                return Identity()

            self.survey.attempt(_name(node), check)

    def _check_place(self, node: fx.Node, nodes: list[fx.Node]) -> None:
        """Report a function that overwrites what is read again later."""
        if not self._is_in_place(node):
            return
        overwritten: fx.Node | None = operands(node)[0]
        while overwritten is not None:
            later = [user for user in overwritten.users if nodes.index(user) > nodes.index(node)]
            if later:
                self.survey.findings.append(
                    (_name(node), f"it overwrites what {_name(later[0])} reads later; do not work in place")
                )
                return
            overwritten = operands(overwritten)[0] if self._is_view(overwritten) else None

    def _is_in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[node.target], "inplace", False))
        named = _label(node).endswith("_") and not _label(node).endswith("__")
        flagged = named or bool(node.kwargs.get("inplace", False)) or node.target is operator.iadd
        return node.op.startswith("call_") and flagged

    def _is_view(self, node: fx.Node) -> bool:
        """Whether a node may be its operand's memory under another name."""
        if not operands(node):
            return False
        if node.op == "call_module":
            module = self.modules[node.target]
            return isinstance(module, (nn.Identity, nn.Flatten, nn.Dropout)) or self._is_in_place(node)
        return _label(node) in ("view", "reshape", "flatten", "dropout") or self._is_in_place(node)


def operands(node: fx.Node) -> list[fx.Node]:
    """The tensors that a node takes."""
    return [n for n in node.all_input_nodes if not _is_size(n)]


def _is_addition(node: fx.Node) -> bool:
    """Whether a node is the sum of two tensors, and nothing else."""
    calls = node.op != "call_module" and node.target in _ADDITIONS
    return calls and len(operands(node)) == 2 and len(node.args) == 2 and not node.kwargs


def _is_size(node: fx.Node) -> bool:
    if node.op == "call_method" and node.target in ("size", "dim"):
        return True
    if node.op != "call_function":
        return False
    of_shape = node.target is getattr and node.args[1] == "shape"
    return of_shape or (bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes)))


def _evaluate(node: Any, start: fx.Node, x: torch.Tensor) -> Any:
    """The value of a node for a given value of another; sizes are those of this value."""
    if node is start or (node.op != "get_attr" and _is_size_of(node, x) is not None):
        return x if node is start else _is_size_of(node, x)
    if node.op not in ("call_function", "call_method"):
        raise InputError(f"{node.target} is neither a function nor a size")
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: _evaluate(n, start, x))
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs)


def _is_size_of(node: Any, x: torch.Tensor) -> Any:
    if node.op == "call_method" and node.target in ("size", "dim"):
        return getattr(x, node.target)(*node.args[1:])
    return x.shape if node.op == "call_function" and node.target is getattr and _is_size(node) else None


def _pool_of(node: Any) -> nn.Module | None:
    """The module of a function that averages over windows, or drops."""
    import torch.nn.functional as F

    made = {F.avg_pool1d: nn.AvgPool1d, F.avg_pool2d: nn.AvgPool2d, F.avg_pool3d: nn.AvgPool3d}
    if node.op == "call_function" and node.target in made:
        return made[node.target](*node.args[1:], **node.kwargs)
    if node.op == "call_function" and node.target is F.dropout:
        return nn.Dropout(node.kwargs.get("p", 0.5)).train(node.kwargs.get("training", True))
    return None


def _label(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


def _name(node: fx.Node) -> str:
    """What a message calls a node: a module's path, or the name that tracing gave."""
    return str(node.target) if node.op == "call_module" else node.name
