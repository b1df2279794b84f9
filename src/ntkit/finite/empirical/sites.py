"""Where parameters enter a function of inputs: what the Jacobian in them is made of, operation by operation."""

import abc
import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkit.finite.empirical.program import Kind, Program, Step

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Site(abc.ABC):
    """A value made of parameters alone, taken by a step that takes inputs too.

    The step's output, or the value itself, gets a perturbation; its cotangents δ give the Jacobian.

    Attributes:
        step: The step.
        operand: Which of its inputs the value is.
        number: The value in whose coordinates the Jacobian is.
        shape: That of this value.
        perturbed: Shape of the perturbation.
    """

    step: Step
    operand: int
    number: int
    shape: Shape
    perturbed: Shape

    on_output = True  # whether it is the output that is perturbed

    @property
    @abc.abstractmethod
    def other(self) -> int | None:
        """The number of what the value is multiplied with, where the Jacobian takes that."""


class Bilinear(Site):
    """A product with a weight matrix, (m, n), in which the Jacobian is Σ_s h[s] ⊗ δ[s] over positions s."""

    @property
    def other(self) -> int | None:
        return self.step.inputs[1 - self.operand]

    @abc.abstractmethod
    def rows(self, h: Array) -> Float[Array, "s m"]:
        """What the weights are multiplied with, position by position."""

    @abc.abstractmethod
    def columns(self, delta: Array) -> Float[Array, "s n"]:
        """Cotangents of what comes out, position by position."""

    @abc.abstractmethod
    def weights(self, matrix: Float[Array, "m n"]) -> Array:
        """The matrix in the shape of the weights."""

    @property
    @abc.abstractmethod
    def matrix_shape(self) -> tuple[int, int]:
        """(m, n)."""

    @property
    def positions(self) -> int:
        """How many positions s there are."""
        return math.prod(self.perturbed) // self.matrix_shape[1]


# Bilinear ---------------------------------------------------------------------------------------------------------------


class Product(Bilinear):
    """`dot_general` without batch dimensions."""

    def _summed(self) -> tuple[Shape, Shape]:
        """The dimensions that are summed, of the weights and of what they are multiplied with."""
        (left, right), _ = self.step.options["dimension_numbers"]
        return (left, right) if self.operand == 0 else (right, left)

    def _order(self) -> list[int]:
        """The weights' dimensions, summed ones first."""
        summed, _ = self._summed()
        return [*summed, *_rest(len(self.shape), summed)]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        m = math.prod(self.shape[k] for k in self._summed()[0])
        return m, math.prod(self.shape) // m

    def rows(self, h: Array) -> Float[Array, "s m"]:
        _, summed = self._summed()
        return h.transpose(*_rest(h.ndim, summed), *summed).reshape(-1, self.matrix_shape[0])

    def columns(self, delta: Array) -> Float[Array, "s n"]:
        n = self.matrix_shape[1]
        return delta.reshape(-1, n) if self.operand == 1 else delta.reshape(n, -1).T

    def weights(self, matrix: Float[Array, "m n"]) -> Array:
        order = self._order()
        shaped = matrix.reshape([self.shape[k] for k in order])
        return shaped.transpose(*(order.index(k) for k in range(len(order))))


class Convolution(Bilinear):
    """`conv_general_dilated` in one group, the weights on the right."""

    def _layout(self) -> tuple[Shape, Shape, Shape]:
        numbers = self.step.options["dimension_numbers"]
        return numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec

    def _window(self) -> Shape:
        return tuple(self.shape[k] for k in self._layout()[1][2:])

    @property
    def matrix_shape(self) -> tuple[int, int]:
        out, into = (self.shape[k] for k in self._layout()[1][:2])
        return math.prod(self._window()) * into, out

    def rows(self, h: Array) -> Float[Array, "s m"]:
        options, (lhs, _, out) = self.step.options, self._layout()
        h = h.transpose(*lhs)
        pads = [
            (low, high, d - 1)
            for (low, high), d in zip(options["padding"], options["lhs_dilation"], strict=True)
        ]
        h = jax.lax.pad(h, jnp.zeros((), h.dtype), [(0, 0, 0), (0, 0, 0), *pads])
        extents = [self.perturbed[k] for k in out[2:]]
        strides, dilation = options["window_strides"], options["rhs_dilation"]
        parts = []
        for offset in itertools.product(*map(range, self._window())):
            first = [o * d for o, d in zip(offset, dilation, strict=True)]
            last = [f + (e - 1) * s + 1 for f, e, s in zip(first, extents, strides, strict=True)]
            parts.append(jax.lax.slice(h, (0, 0, *first), (*h.shape[:2], *last), (1, 1, *strides)))
        patches = jnp.stack(parts, axis=-1)  # batch, channels, positions…, offsets
        patches = jnp.moveaxis(patches, 1, -1)
        return patches.reshape(-1, self.matrix_shape[0])

    def columns(self, delta: Array) -> Float[Array, "s n"]:
        out = self._layout()[2]
        return jnp.moveaxis(delta.transpose(*out), 1, -1).reshape(-1, self.matrix_shape[1])

    def weights(self, matrix: Float[Array, "m n"]) -> Array:
        spec = self._layout()[1]
        into, out = self.shape[spec[1]], self.shape[spec[0]]
        order = [*spec[2:], spec[1], spec[0]]
        shaped = matrix.reshape(*self._window(), into, out)
        return shaped.transpose(*(order.index(k) for k in range(len(order))))


class Other(Site):
    """Any other step: the value itself is perturbed, so its cotangents are the Jacobian."""

    on_output = False

    @property
    def other(self) -> int | None:
        return None


# Finding them -----------------------------------------------------------------------------------------------------------


def find_sites(program: Program) -> list[Site]:
    """All of a program."""
    found = []
    for step in program.steps:
        if step.kind is Kind.INPUTS:
            places = {i: k for k, i in enumerate(step.inputs) if program.kinds[i] is Kind.PARAMETERS}
            alone = sum(program.kinds[i] is Kind.PARAMETERS for i in step.inputs) == 1
            found += [_site(program, step, k, alone=alone) for k in places.values()]
    return found


def _site(program: Program, step: Step, operand: int, *, alone: bool) -> Site:
    number = step.inputs[operand]
    shape, out = program.avals[number].shape, program.avals[step.outputs[0]].shape
    if alone and _is_product(step):
        return Product(step, operand, number, shape, out)
    if alone and _is_convolution(step, operand):
        return Convolution(step, operand, number, shape, out)
    return Other(step, operand, number, shape, shape)


def _is_product(step: Step) -> bool:
    return step.name == "dot_general" and not any(step.options["dimension_numbers"][1])


def _is_convolution(step: Step, operand: int) -> bool:
    options = step.options
    single = step.name == "conv_general_dilated" and operand == 1
    return single and options["feature_group_count"] == 1 and options["batch_group_count"] == 1


def _rest(dimensions: int, some: Shape) -> list[int]:
    return [k for k in range(dimensions) if k not in some]
