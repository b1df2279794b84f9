"""Models of Flax and Equinox as a function of parameters and inputs, for the kernels and the trainer."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ntkit.errors import InputError


class Model(NamedTuple):
    """A model as functions take it.

    Attributes:
        f: f(params, x) → outputs.
        params: Its trained parameters.
    """

    f: Callable[[Any, Any], Any]
    params: Any


def from_linen(module: Any, variables: Any, **options: Any) -> Model:
    """A module of flax.linen; what is not in "params" (statistics of batch normalisation) is held fixed.

    Args:
        module: The module.
        variables: What its `init` gave, or training left.
        **options: For `module.apply`, such as `train=False`.

    Raises:
        InputError: The variables have no "params".
    """
    if "params" not in variables:
        raise InputError(
            f'variables must have "params", as module.init gives them; found {sorted(variables)}'
        )
    fixed = {name: value for name, value in variables.items() if name != "params"}
    return Model(
        lambda params, x: module.apply({"params": params, **fixed}, x, **options), variables["params"]
    )


def from_nnx(model: Any) -> Model:
    """A model of flax.nnx, as `model.eval()` leaves it: its `nnx.Param`s are the parameters, all other state is held fixed.

    Raises:
        InputError: A part is in training mode.
    """
    from flax import nnx

    for _, part in nnx.iter_modules(model):
        training = (
            getattr(part, "use_running_average", None) is False
            or getattr(part, "deterministic", None) is False
        )
        if training:
            raise InputError(
                f"{type(part).__name__} is in training mode, where examples act on one another: call model.eval()"
            )
    definition, *state = nnx.split(model, nnx.Param, ...)
    params, rest = state
    return Model(lambda values, x: nnx.merge(definition, values, rest)(x), params)


def from_equinox(model: Any) -> Model:
    """A module of Equinox that takes one example: its inexact arrays are the parameters."""
    import equinox as eqx
    import jax

    params, rest = eqx.partition(model, eqx.is_inexact_array)
    return Model(lambda values, x: jax.vmap(eqx.combine(values, rest))(x), params)
