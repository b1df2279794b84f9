"""`Passage`: the instructions of a network run on features, one example at a time, instead of on second moments."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkit.errors import NoClosedFormError
from ntkit.features.draws import Draws
from ntkit.features.folding import doubled, folded, folded_taps
from ntkit.moments import BivariateNormal, grid
from ntkit.tape import Activate, Add, Affine, Data, Flatten, Instruction, Mix, Slide


@dataclasses.dataclass(frozen=True)
class Field:
    """Features of a batch at every position, and the variances that they ought to have.

    Attributes:
        phi: (n, *positions, k), φ·φ' ≈ K.
        psi: (n, *positions, m), ψ·ψ' ≈ T; None where T is 0 or not asked for.
        variance: (n, *positions), K of every example and position with itself.
        tangent: (n, *positions), T likewise; None with `psi`.
    """

    phi: Array
    psi: Array | None
    variance: Array
    tangent: Array | None


@dataclasses.dataclass(frozen=True, eq=False)
class Passage:
    """The way from a batch of examples to its features.

    Attributes:
        instructions: Of the network.
        dimension: Of ψ.
        width: Neurons a layer.
        tangent: Whether ψ is asked for, else φ.
    """

    instructions: list[Instruction]
    dimension: int
    width: int
    tangent: bool

    def __call__(self, x: Array, draws: Draws) -> Array:
        """(n, m) features of (n, *positions, channels)."""
        fields: list[Field] = []
        for number, step in enumerate(self.instructions):
            inputs = [fields[i] for i in step.inputs]
            if isinstance(step, Data):
                fields.append(_of_data(x))
            elif isinstance(step, Affine):
                fields.append(self._affine(step, inputs[0], draws, f"{number}"))
            elif isinstance(step, Activate):
                fields.append(self._activate(step, inputs[0], draws, f"{number}"))
            elif isinstance(step, Slide):
                fields.append(self._slide(step, inputs[0], draws, f"{number}"))
            elif isinstance(step, Mix):
                fields.append(_mix(step, inputs[0]))
            elif isinstance(step, Flatten):
                fields.append(self._flatten(inputs[0], draws, f"{number}"))
            else:
                assert isinstance(step, Add)
                fields.append(self._add(inputs, draws, f"{number}"))
            draws.note(fields[-1].phi)
            if fields[-1].psi is not None:
                draws.note(fields[-1].psi)
        last = fields[-1]
        if not self.tangent:
            return _scaled(last.phi, last.variance)
        if last.psi is None or last.tangent is None:
            return jnp.zeros((len(x), 1), x.dtype)
        return _scaled(last.psi, last.tangent)

    def _affine(self, step: Affine, at: Field, draws: Draws, name: str) -> Field:
        """K ← scale·K + shift, T ← scale·T + weight_rate·K + bias_rate."""
        phi = jnp.concatenate([at.phi * step.scale**0.5, *_ones(at, step.shift)], axis=-1)
        variance = step.scale * at.variance + step.shift
        parts = [] if at.psi is None else [at.psi * step.scale**0.5]
        if step.weight_rate > 0:
            parts.append(at.phi * step.weight_rate**0.5)
        parts += _ones(at, step.bias_rate)
        if not self.tangent or not parts:
            return Field(phi, None, variance, None)
        psi = folded(parts, self.dimension, draws, name + "psi")
        tangent = step.weight_rate * at.variance + step.bias_rate
        if at.tangent is not None:
            tangent = tangent + step.scale * at.tangent
        return Field(phi, psi, variance, tangent)

    def _activate(self, step: Activate, at: Field, draws: Draws, name: str) -> Field:
        """Random neurons, and the tensor product of ψ with their slopes."""
        f = step.activation
        inputs = at.phi @ draws.normal(name + "W", (at.phi.shape[-1], self.width))
        values, slopes = jax.jvp(f.fn, (inputs,), (jnp.ones_like(inputs),))
        draws.note(values)
        q = at.variance
        same = BivariateNormal(q, q, q, jnp.zeros_like(q))
        variance = f.dual(same)
        phi = _scaled(values, variance)
        if at.psi is None:
            return Field(phi, None, variance, None)
        if f.discontinuous:
            raise NoClosedFormError(
                f"{type(f).__name__} jumps, so the tangent kernel of trained weights below it diverges; freeze them (w_lr=0, "
                "b_lr=0), or use features.nngp"
            )
        assert at.tangent is not None
        tangent = at.tangent * f.dual_slope(same)
        # One random combination of ψ for every slope, many for each where the slopes are fewer: what both sides of the
        # product look like to one random direction.
        combined = at.psi
        if at.psi.shape[-1] < self.dimension:
            combined = at.psi @ draws.signs(name + "R", (at.psi.shape[-1], self.dimension))
        psi = _product(combined, slopes)
        return Field(phi, _scaled(psi, tangent), variance, tangent)

    def _slide(self, step: Slide, at: Field, draws: Draws, name: str) -> Field:
        """Patches: the taps of a window side by side, those of ψ folded where they grow too wide."""
        taps = math.prod(w.size for w in step.windows)
        patches = functools.partial(grid.patches, windows=step.windows, shape=step.shape)
        phi = jnp.concatenate(patches(at.phi), axis=-1) * taps**-0.5
        variance = _mean(patches(at.variance[..., None]))
        if at.psi is None or at.tangent is None:
            return Field(phi, None, variance, None)
        if at.psi.shape[-1] == self.dimension:
            psi = folded_taps(patches(draws.note(doubled(at.psi))), draws, name) * taps**-0.5
        else:
            psi = folded(patches(at.psi), self.dimension, draws, name) * taps**-0.5
        tangent = _mean(patches(at.tangent[..., None]))
        return Field(phi, psi, variance, tangent)

    def _flatten(self, at: Field, draws: Draws, name: str) -> Field:
        """Positions side by side."""
        positions = math.prod(at.variance.shape[1:])

        def side_by_side(features: Array, which: str) -> Array:
            flat = features.reshape(len(features), -1)
            return folded([flat], self.dimension, draws, name + which) * positions**-0.5

        axes = tuple(range(1, at.variance.ndim))
        phi, variance = side_by_side(at.phi, "phi"), at.variance.mean(axes)
        if at.psi is None or at.tangent is None:
            return Field(phi, None, variance, None)
        return Field(phi, side_by_side(at.psi, "psi"), variance, at.tangent.mean(axes))

    def _add(self, terms: list[Field], draws: Draws, name: str) -> Field:
        """Features of independent branches side by side."""
        phi = folded([t.phi for t in terms], 2 * self.width, draws, name + "phi")
        variance = grid.sum_of_list([t.variance for t in terms])
        tangents = [(t.psi, t.tangent) for t in terms if t.psi is not None and t.tangent is not None]
        if not tangents:
            return Field(phi, None, variance, None)
        psi = folded([p for p, _ in tangents], self.dimension, draws, name + "psi")
        return Field(phi, psi, variance, grid.sum_of_list([t for _, t in tangents]))


def _of_data(x: Array) -> Field:
    phi = x * x.shape[-1] ** -0.5
    return Field(phi, None, jnp.sum(phi**2, axis=-1), None)


def _product(wide: Array, slopes: Array) -> Array:
    """Entry i of the one times entry i mod k of the other, (…, m) and (…, k)."""
    size, width = wide.shape[-1], slopes.shape[-1]
    if size % width:
        return wide * jnp.concatenate([slopes] * -(-size // width), axis=-1)[..., :size]
    copies = wide.reshape(*wide.shape[:-1], -1, width)
    return (copies * slopes[..., None, :]).reshape(wide.shape)


def _ones(at: Field, square: float) -> list[Array]:
    """One feature of this squared length; none of length 0."""
    return [jnp.full((*at.variance.shape, 1), square**0.5, at.phi.dtype)] if square > 0 else []


def _scaled(features: Array, square: Array) -> Array:
    """Features scaled to these squared lengths; those of length 0 stay."""
    found = jnp.sum(features**2, axis=-1)
    factor = jnp.where(found > 0, jnp.sqrt(square / jnp.where(found > 0, found, 1.0)), 0.0)
    return features * factor[..., None]


def _mean(taps: list[Array]) -> Array:
    return grid.sum_of_list(taps)[..., 0] / len(taps)


def _mix(step: Mix, at: Field) -> Field:
    """A linear map of positions; variances are then only known as the features have them."""

    def mixed(features: Array) -> Array:
        for d, matrix in enumerate(step.matrices):
            moved = jnp.tensordot(features, jnp.asarray(matrix.T, features.dtype), axes=([1 + d], [0]))
            features = jnp.moveaxis(moved, -1, 1 + d)
        return features if step.shape else features.reshape(len(features), -1)

    phi = mixed(at.phi)
    psi = None if at.psi is None else mixed(at.psi)
    return Field(phi, psi, jnp.sum(phi**2, axis=-1), None if psi is None else jnp.sum(psi**2, axis=-1))
