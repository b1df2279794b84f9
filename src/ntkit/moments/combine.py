"""Branches joined into one: their sum, elementwise product, or channels side by side."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.errors import InputError
from ntkit.moments import grid
from ntkit.moments.block import Block
from ntkit.moments.facts import concat_of, product_of, sum_of

if TYPE_CHECKING:
    from ntkit.moments.moments import Moments

_stop = jax.lax.stop_gradient
Variances = tuple[Array, Array] | None


def _combine(
    branches: list["Moments"], f: Callable[[list[Block], list[tuple[Array, Array] | None]], Block], who: str
):
    """Combine the branches' blocks; f gets the blocks and, where known, the variances of rows and columns."""
    shapes = [b.shape for b in branches]
    if len(set(shapes)) > 1:
        raise InputError(
            f"{who}: the branches end with positions {shapes}; give them the same strides and padding"
        )

    def blocks(name: str, rows: str, columns: str) -> Block | None:
        parts = [getattr(b, name) for b in branches]
        if any(part is None for part in parts):
            return None
        variances = [
            None
            if getattr(b, rows) is None or getattr(b, columns) is None
            else (
                grid.along(getattr(b, rows).variances(), 0, part.lead, part.paired),
                grid.along(getattr(b, columns).variances(), 1, part.lead, part.paired),
            )
            for b, part in zip(branches, parts, strict=True)
        ]
        return f(parts, variances)

    return dataclasses.replace(
        branches[0],
        cross=blocks("cross", "own1", "own2"),
        own1=blocks("own1", "own1", "own1"),
        own2=blocks("own2", "own2", "own2"),
    )


def add(branches: list["Moments"], who: str) -> "Moments":
    """The sum of independent branches."""

    def on(parts: list[Block], _) -> Block:
        ntks = [p.ntk for p in parts if p.ntk is not None]
        return parts[0].replace(
            grid.sum_of_list([p.cov for p in parts]),
            grid.sum_of_list([p.gap for p in parts]),
            grid.sum_of_list(ntks) if ntks else None,
        )

    facts = sum_of([b.facts for b in branches], who)
    return _combine(branches, on, who).with_facts(facts)


def multiply(branches: list["Moments"], who: str) -> "Moments":
    """The elementwise product of independent branches: K = Π K_b, T = Σ_b T_b Π_{c≠b} K_c."""

    def two(a: Block, qa, b: Block, qb) -> tuple[Block, tuple[Array, Array] | None]:
        ntk = None if a.ntk is None or b.ntk is None else a.ntk * b.cov + a.cov * b.ntk
        gap, q = jnp.zeros_like(a.cov), None
        if qa is not None and qb is not None:
            # q_a q_b + q_a' q_b' − 2 r_a r_b with r = (q + q' − gap)/2, the equal parts cancelled by hand.
            own = 0.5 * (qa[0] - qa[1]) * (qb[0] - qb[1])
            gap = own + 0.5 * (a.gap * (qb[0] + qb[1]) + b.gap * (qa[0] + qa[1]) - a.gap * b.gap)
            q = (qa[0] * qb[0], qa[1] * qb[1])
        return a.replace(a.cov * b.cov, _stop(jnp.maximum(gap, 0.0)), ntk), q

    def on(parts: list[Block], variances) -> Block:
        block, q = parts[0], variances[0]
        for part, own in zip(parts[1:], variances[1:], strict=True):
            block, q = two(block, q, part, own)
        return block

    facts = product_of([b.facts for b in branches], who)
    return _combine(branches, on, who).with_facts(facts)


def concatenate(branches: list["Moments"], who: str) -> "Moments":
    """Channels side by side: averages weighted by the branches' numbers of channels."""
    facts = concat_of([b.facts for b in branches])
    weights = [b.facts.channels / facts.channels for b in branches]

    def on(parts: list[Block], _) -> Block:
        def average(arrays: list[Array]) -> Array:
            return grid.sum_of_list([w * a for w, a in zip(weights, arrays, strict=True)])

        ntks = [p.ntk for p in parts if p.ntk is not None]
        return parts[0].replace(
            average([p.cov for p in parts]),
            average([p.gap for p in parts]),
            average(ntks) if ntks else None,
        )

    return _combine(branches, on, who).with_facts(facts)
