"""Which method a tangent kernel goes to, and why: multiplications and bytes of each, counted from the function's program."""

import dataclasses
import math

from ntkit.errors import InputError
from ntkit.finite.empirical.contract import Form
from ntkit.finite.empirical.program import Program
from ntkit.finite.empirical.sites import Bilinear
from ntkit.finite.empirical.structured import Structure, structure_of
from ntkit.finite.functions import Problem

METHODS = ("jacobian", "products", "structured")

# Measured on two cores: multiplications a second of products of large matrices and of passes through a network under
# `vmap`, and how many numbers of weight gradients are written in a second.
_CONTRACTIONS, _PASSES, _GRADIENTS = 1e11, 2e10, 1e8


@dataclasses.dataclass(frozen=True)
class Choice:
    """A recommendation.

    Attributes:
        method: The one.
        why: In words.
        seconds: What each method is estimated to take.
        bytes_per_example: That each keeps.
    """

    method: str
    why: str
    seconds: dict[str, float]
    bytes_per_example: dict[str, int]

    def __str__(self) -> str:
        costs = ", ".join(f"{m} {s:.2g} s" for m, s in self.seconds.items())
        return f"{self.method}: {self.why} ({costs})"


def checked(method: str) -> str:
    """The method, if there is one of this name."""
    if method not in (*METHODS, "auto"):
        raise InputError(f"method must be one of auto, {', '.join(METHODS)}; found {method!r}")
    return method


def recommend(problem: Problem, form: Form, memory: int) -> Choice:
    """The quickest method of those whose examples fit into memory."""
    s = structure_of(problem, form)
    seconds = {method: _seconds(problem, s, form, method) for method in METHODS}
    size = {method: bytes_per_example(problem, form, method) for method in METHODS}
    fits = [m for m in METHODS if 2 * size[m] <= memory] or ["products"]
    best = min(fits, key=lambda m: seconds[m])
    factored = sum(bool(leaf.sites) for leaf in s.leaves)
    why = {
        "structured": f"{factored} of {len(s.leaves)} parameters need no Jacobian of their own",
        "jacobian": "the parameters are few",
        "products": "the outputs are few, and gradients too large to keep",
    }[best]
    return Choice(best, why, seconds, size)


def bytes_per_example(problem: Problem, form: Form, method: str) -> int:
    """That a block keeps of an example, and that are in work for it."""
    p, item = problem, problem.dtype.itemsize
    cotangents = 1 if form is Form.SUM_OF_LOGITS else p.outputs
    weights = sum(math.prod(w.shape) for w in p.weights.trained)
    s = structure_of(problem, form)
    passing = sum(math.prod(site.perturbed) for site in s.sites if isinstance(site, Bilinear))
    if method == "jacobian":
        return item * cotangents * (2 * weights + 2 * passing)
    if method == "products":
        return item * cotangents * (weights + 2 * passing)
    pairs = max(
        (sum(b.positions for b in s.bilinear(leaf)) ** 2 for leaf in s.leaves if not leaf.whole), default=1
    )
    return item * (cotangents * (_kept(p, s) + 3 * passing) + pairs * (p.sizes[0] + form.count(p.outputs)))


def _kept(problem: Problem, s: Structure) -> int:
    """Numbers an example and cotangent."""
    total = 0
    for k, leaf in enumerate(s.leaves):
        if not leaf.sites or leaf.whole:
            total += math.prod(problem.weights.trained[k].shape)
            continue
        for site in s.bilinear(leaf):
            total += site.positions * sum(site.matrix_shape)
    shapes = {site.number: site.shape for site in s.sites}
    return total + sum(math.prod(shapes[n]) for n in s.explicit)


def _seconds(problem: Problem, s: Structure, form: Form, method: str) -> float:
    p = problem
    n1, n2, outputs = p.sizes
    n = n1 if p.x2 is None else n1 + n2
    pairs = n1 * n2 / (2 if p.x2 is None else 1)
    cotangents = 1 if form is Form.SUM_OF_LOGITS else outputs
    weights = sum(math.prod(w.shape) for w in p.weights.trained)
    forward = _multiplications(s.program)
    each = form.count(outputs)
    if method == "products":
        return n2 * cotangents * (3 + 2 * n1) * forward / _PASSES
    if method == "jacobian":
        # Backward through activations and weights: as a rule, twice the forward pass.
        each_example = 2 * forward / _PASSES + weights / _GRADIENTS
        return n * cotangents * each_example + pairs * each * weights / _CONTRACTIONS
    contracted = 0.0
    for k, leaf in enumerate(s.leaves):
        size = math.prod(p.weights.trained[k].shape)
        if leaf.sites and not leaf.whole:
            sites = s.bilinear(leaf)
            m, width = sites[0].matrix_shape
            contracted += pairs * sum(i.positions for i in sites) ** 2 * (m + each * width)
        else:
            positions = sum(site.positions for site in s.bilinear(leaf))
            contracted += n * cotangents * positions * size + pairs * each * size
    return n * cotangents * forward / _PASSES + contracted / _CONTRACTIONS


def _multiplications(program: Program) -> float:
    """Of one example going forward."""
    total = 0.0
    for step in program.steps:
        out = math.prod(program.avals[step.outputs[0]].shape) if step.outputs else 0
        if step.name == "dot_general":
            (left, _), _ = step.options["dimension_numbers"]
            total += out * math.prod(program.avals[step.inputs[0]].shape[k] for k in left)
        elif step.name == "conv_general_dilated":
            spec = step.options["dimension_numbers"].rhs_spec
            kernel = program.avals[step.inputs[1]].shape
            total += out * math.prod(kernel) / kernel[spec[0]]
        else:
            total += out
    return total
