"""`lift`: the infinitely wide network of a module of Equinox, Flax or PyTorch."""

from typing import Any

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.lifting.survey import Survey


def lift(module: Any, *, parametrisation: str = "standard", init: str = "default") -> Layer:
    """The network whose infinite reading is that of a finite module at its initialisation.

    A layer of n inputs with weights of standard deviation σ_W and biases of σ_b becomes one of w_std = √n σ_W and
    b_std = σ_b. Second moments of the outputs are those of the module as its widths grow; what they depend on beyond
    second moments of weights vanishes with the number of inputs (uniform weights on few inputs: by 1/n). The epsilon
    of a LayerNorm is left out.

    Lifted are: Equinox's Sequential and MLP; Flax's Sequential (linen, nnx); all that `torch.fx` can trace in PyTorch, if it
    is a composition of chains and sums of branches. Inside of them: linear layers, convolutions, average pools, means
    over positions, flattening, LayerNorm without gain and bias, dropout (where the module is in training mode), and functions,
    which are told by their values. Frozen parameters of PyTorch (`requires_grad=False`) have a rate of 0.

    PyTorch and Equinox have channels first; the inputs of the lifted network have channels last. Flattening then gives
    the same numbers in another order, hence the same kernel.

    Args:
        module: An `equinox.Module`, `flax.linen.Module`, `flax.nnx.Module` or `torch.nn.Module`.
        parametrisation: "standard", as these libraries train: widths enter the tangent kernel, and biases that begin at 0
            are trained all the same. Or "ntk".
        init: "default", the scales of the library's default initialisers: w_std = 1/√3, b_std = 1/√(3n) in PyTorch and
            Equinox, w_std = 1, b_std = 0 in Flax. Or "measured", the root mean squares of the weights as they are
            (a linen module has some if it is bound: `module.bind(variables)`).

    Raises:
        InputError: An option or the module's library is unknown; or parts cannot be lifted: all are named, with the reason.

    Example:
        >>> import equinox as eqx, jax, ntkit as nk
        >>> mlp = eqx.nn.MLP(8, 1, width_size=512, depth=1, key=jax.random.key(0))
        >>> [type(layer).__name__ for layer in nk.lift(mlp).layers]
        ['StandardDense', 'Relu', 'StandardDense']

    References:
        Sohl-Dickstein et al. (2020), "On the infinite width limit of neural networks with a standard
        parameterization" (the standard parametrisation); Yang (2019), "Tensor Programs I" (which finite programs have a limit).
    """
    _check(parametrisation, ("standard", "ntk"), "parametrisation")
    _check(init, ("default", "measured"), "init")
    survey = Survey(parametrisation, init)
    net = _by_library(survey, module)
    survey.report(type(module).__name__)
    return net


def _by_library(survey: Survey, module: Any) -> Layer:
    libraries = {cls.__module__.partition(".")[0] for cls in type(module).__mro__}
    if isinstance(module, Layer):
        raise InputError(f"lift: {type(module).__name__} is a network of ntkit already; use it as it is")
    if "torch" in libraries:
        from ntkit.lifting.torch_graph import lift_torch

        return lift_torch(survey, module)
    if "flax" in libraries:
        from ntkit.lifting.flax_modules import lift_flax

        return lift_flax(survey, module)
    if "equinox" in libraries:
        from ntkit.lifting.equinox_modules import lift_equinox

        return lift_equinox(survey, module)
    raise InputError(
        f"lift: expected a module of Equinox, Flax or PyTorch, found {type(module).__name__}; for functions, "
        "see ntkit.finite.empirical"
    )


def _check(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise InputError(f"lift: {name} must be one of {', '.join(known)}, found {value!r}")
