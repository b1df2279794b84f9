"""Tangent kernels without whole Jacobians: from what weights are multiplied with, and from cotangents of what comes out."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.errors import InputError
from ntkit.finite.empirical.contract import Form, jacobian_is_cheaper
from ntkit.finite.empirical.program import Kind, Program, evaluate, trace
from ntkit.finite.empirical.sites import Bilinear, Site, find_sites
from ntkit.finite.empirical.views import Views
from ntkit.finite.functions import Batch, Call, Problem, Shapes, Weights, shapes_of, structs


@dataclasses.dataclass(frozen=True)
class Leaf:
    """How the Jacobian in one parameter is kept: as factors of its sites, or as a whole.

    Attributes:
        sites: Numbers of its sites, if it is kept as factors.
        whole: Whether the factors are multiplied out for every example, which is cheaper where there are many positions.
    """

    sites: tuple[int, ...]
    whole: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """A program with its sites; compared by identity, as compiled code is kept for it.

    Attributes:
        program: Of one example, in a batch by itself.
        views: Of its parameters.
        sites: Where parameters enter.
        leaves: For every parameter.
    """

    program: Program
    views: Views
    sites: list[Site]
    leaves: list[Leaf]

    def bilinear(self, leaf: Leaf) -> list[Bilinear]:
        """The sites of a parameter that is kept as factors."""
        return [site for k in leaf.sites if isinstance(site := self.sites[k], Bilinear)]

    @property
    def explicit(self) -> list[int]:
        """Numbers of values whose Jacobians are pulled back to the parameters."""
        factored = {k for leaf in self.leaves for k in leaf.sites}
        return sorted({s.number for k, s in enumerate(self.sites) if k not in factored})


# What the kernel takes of some examples: {parameter: ((n, s, m), (n, O, s, k))}, or {parameter: (n, O, size)}.
Side = dict[int, Any]


def structure_of(problem: Problem, form: Form) -> Structure:
    """Where parameters enter a function, and how the Jacobian in each is best kept for a kernel of this form."""
    p, w = problem, problem.weights
    shapes = (shapes_of(a) for a in (w.trained, w.frozen, p.x1))
    return _structure(p.call, *shapes, tuple(r.size == 1 for r in w.rates), p.sizes, form)


@functools.lru_cache(maxsize=256)
def _structure(
    call: Call,
    trained: Shapes,
    frozen: Shapes,
    batch: Shapes,
    scalar: tuple[bool, ...],
    sizes: tuple[int, int, int],
    form: Form,
) -> Structure:
    """The same from shapes alone, and found once for each."""
    program = trace(call.outputs, structs(trained), structs(frozen), structs(batch, 1))
    views, sites = Views(program), find_sites(program)
    if program.kinds[program.outputs[0]] is not Kind.INPUTS:
        raise InputError("the outputs of the function do not depend on its inputs")
    if not sites:
        raise InputError("the outputs of the function do not depend on the parameters that are trained")
    leaves = [_leaf(k, views, sites, sizes, form) if one else Leaf((), True) for k, one in enumerate(scalar)]
    return Structure(program, views, sites, leaves)


def _leaf(k: int, views: Views, sites: list[Site], sizes: tuple[int, int, int], form: Form) -> Leaf:
    mine = [i for i, site in enumerate(sites) if k in views.sources[site.number]]
    some = [sites[i] for i in mine]
    if not some or not all(isinstance(s, Bilinear) and s.number in views.views for s in some):
        return Leaf((), True)
    if len({_arrangement(s, views) for s in some}) > 1:
        return Leaf((), True)
    bilinear = [s for s in some if isinstance(s, Bilinear)]
    positions = sum(s.positions for s in bilinear)
    return Leaf(tuple(mine), jacobian_is_cheaper(positions, *bilinear[0].matrix_shape, sizes, form))


def _arrangement(site: Site, views: Views) -> tuple:
    """Equal only where the matrix of weights is the same function of the parameter."""
    options = sorted((k, str(v)) for k, v in site.step.options.items())
    return type(site), site.operand, site.shape, str(options), views.views[site.number].history


def side(s: Structure, weights: Weights, batch: Batch, basis: Float[Array, "c o"]) -> Side:
    """What the kernel takes of a batch, for these cotangents of the outputs."""
    program = s.program
    known = _known(program, weights)
    values = evaluate([t for t in program.steps if t.kind is not Kind.INPUTS], known)

    def of_example(row: Batch) -> tuple[Side, dict[int, Array]]:
        shifted = [site.step.outputs[0] if site.on_output else site.number for site in s.sites]
        zeros = [jnp.zeros(program.avals[n].shape, program.avals[n].dtype) for n in shifted]
        _, pull, others = jax.vjp(lambda e: _run(s, values, row, e), zeros, has_aux=True)
        cotangents = jax.vmap(lambda c: pull(c)[0])(basis)
        return _parts(s, values, others, cotangents)

    factored, explicit = jax.vmap(of_example)([x[:, None] for x in batch])
    return factored | _pulled_back(s, known, explicit)


def _known(program: Program, weights: Weights) -> dict[int, Any]:
    given = zip([*program.parameters, *program.frozen], [*weights.trained, *weights.frozen], strict=True)
    return dict(program.constants) | dict(given)


def _run(
    s: Structure, values: dict[int, Any], row: list[Array], noise: list[Array]
) -> tuple[Array, dict[int, Array]]:
    """Outputs (O,) under perturbations, and what sites multiply with."""
    program, values = s.program, {**values, **dict(zip(s.program.inputs, row, strict=True))}
    mine: dict[int, list[int]] = {}
    for k, site in enumerate(s.sites):
        mine.setdefault(id(site.step), []).append(k)
    for step in program.steps:
        if step.kind is not Kind.INPUTS:
            continue
        here = mine.get(id(step), [])
        shifted = {s.sites[k].number: noise[k] for k in here if not s.sites[k].on_output}
        out = step.run(values | {n: values[n] + e for n, e in shifted.items()})
        for k in here:
            if s.sites[k].on_output:
                out[step.outputs[0]] += noise[k]
        values.update(out)
    others = {k: values[site.other] for k, site in enumerate(s.sites) if site.other is not None}
    return values[program.outputs[0]].reshape(-1), others


def _parts(
    s: Structure, values: dict[int, Any], others: dict[int, Array], cotangents: list[Array]
) -> tuple[Side, dict[int, Array]]:
    """Of one example: for every parameter its factors or their product, for every other value its Jacobian, (O, *shape)."""
    factored = {
        k: _factors(s, leaf, values, others, cotangents) for k, leaf in enumerate(s.leaves) if leaf.sites
    }
    explicit = {}
    for number in s.explicit:
        mine = [k for k, site in enumerate(s.sites) if site.number == number]
        terms = [_jacobian(s.sites[k], others.get(k), cotangents[k]) for k in mine]
        explicit[number] = sum(terms[1:], terms[0])
    return factored, explicit


def _factors(s: Structure, leaf: Leaf, values: dict, others: dict, cotangents: list[Array]) -> Any:
    """((s, m), (O, s, n)), or (O, m·n)."""
    rows, columns = [], []
    for k in leaf.sites:
        site = s.sites[k]
        assert isinstance(site, Bilinear)
        rows.append(site.rows(others[k]) * s.views.views[site.number].scale(values))
        columns.append(jax.vmap(site.columns)(cotangents[k]))
    h, delta = jnp.concatenate(rows), jnp.concatenate(columns, axis=1)
    return _multiplied(h, delta) if leaf.whole else (h, delta)


def _multiplied(h: Float[Array, "s m"], delta: Float[Array, "c s n"]) -> Float[Array, "c mn"]:
    """Σ_s h[s] ⊗ δ[s], by one product of matrices for all cotangents."""
    count, _, n = delta.shape
    flat = jnp.moveaxis(delta, 0, 1).reshape(h.shape[0], -1)
    product = jnp.matmul(h.T, flat, precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(product.reshape(-1, count, n), 1, 0).reshape(count, -1)


def _jacobian(site: Site, other: Array | None, cotangents: Array) -> Array:
    """(O, *shape of the value)."""
    if not isinstance(site, Bilinear):
        return cotangents
    assert other is not None
    matrices = _multiplied(site.rows(other), jax.vmap(site.columns)(cotangents))
    return jax.vmap(lambda m: site.weights(m.reshape(site.matrix_shape)))(matrices)


def _pulled_back(s: Structure, known: dict[int, Any], jacobians: dict[int, Array]) -> Side:
    """{parameter: (n, O, size)} from Jacobians in values that are made of parameters, {value: (n, O, *shape)}."""
    program, numbers = s.program, list(jacobians)
    leaves = sorted({k for n in numbers for k in s.views.sources[n]})
    places = [program.parameters[k] for k in leaves]
    steps = [t for t in program.steps if t.kind is not Kind.INPUTS]

    def values(some: list[Array]) -> list[Array]:
        made = evaluate(steps, known | dict(zip(places, some, strict=True)))
        return [made[n] for n in numbers]

    if not numbers:
        return {}
    _, pull = jax.vjp(values, [known[p] for p in places])
    found = jax.vmap(jax.vmap(lambda j: pull(j)[0]))([jacobians[n] for n in numbers])
    return {k: j.reshape(*j.shape[:2], -1) for k, j in zip(leaves, found, strict=True)}
