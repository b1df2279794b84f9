"""`check_layer`, all laws on one layer."""

import functools
from collections.abc import Callable, Collection

from ntkit.errors import InputError, NoClosedFormError, NumericalError
from ntkit.layer import Layer
from ntkit.testing import laws
from ntkit.testing.duals import duals_are_moments_of_the_function
from ntkit.testing.finite import finite_networks_agree
from ntkit.testing.subject import Subject

_EXACT = (
    laws.shapes_agree,
    laws.rates_are_shaped_like_parameters,
    laws.spec_round_trips,
    duals_are_moments_of_the_function,
    laws.cross_is_block_of_joint,
    laws.kernel_is_symmetric,
    laws.kernel_is_positive,
    laws.plan_changes_nothing,
    laws.zero_rows_are_finite,
    laws.float32_is_near_float64,
    laws.jit_is_eager,
    laws.new_values_compile_nothing,
    laws.gradients_are_derivatives,
)
_FINITE = finite_networks_agree.__name__


def law_names() -> tuple[str, ...]:
    """The names of all laws, in the order in which they are checked.

    Example:
        >>> from ntkit.testing import law_names
        >>> law_names()[-1]
        'finite_networks_agree'
    """
    return (*(law.__name__ for law in _EXACT), _FINITE)


def check_layer(
    layer: Layer,
    shape: tuple[int | None, ...],
    *,
    without: Collection[str] = (),
    width: int = 512,
    count: int = 64,
    error: float = 0.01,
    seed: int = 0,
) -> None:
    """Check a layer against every law of a layer, the last of them against finite networks.

    The layer is put between random weights, so that it gets Gaussian inputs and has a nonlinearity behind it:
    Dense or Conv >> layer >> Dense >> Erf >> Dense. `ntkit.testing.law_names()` lists the laws; each is a function of
    `ntkit.testing.laws`, `ntkit.testing.duals` or `ntkit.testing.finite`, whose first line says what it demands.

    Args:
        layer: The layer. Its fields called `width` fit `shape`; wider networks multiply all of them by one factor.
        shape: The shape of one of its inputs, channels last, without the batch; few channels and positions suffice.
            Of a layer of graphs (None, channels).
        without: Names of laws that do not apply, such as "spec_round_trips" for a layer that holds a function.
        width: Channels of the layer's inputs in the finite networks, a multiple of `shape[-1]`.
        count: How many finite networks at least, ≥ 2; more are drawn until `error` is reached.
        error: Largest standard error of an entry, relative to the kernel's diagonal.
        seed: Of the random data and networks.

    Raises:
        AssertionError: A law is broken; the message says which, on what, and by how much.
        InputError: `without` names no law, or `width` is no multiple of the channels.

    Example:
        >>> import ntkit as nk
        >>> from ntkit.testing import check_layer
        >>> check_layer(nk.Relu(), (4,), width=128)
    """
    unknown = sorted(set(without) - set(law_names()))
    if unknown:
        raise InputError(
            f"check_layer: no law is called {', '.join(unknown)}; the laws are {', '.join(law_names())}"
        )
    if shape[-1] is None or width % shape[-1]:
        raise InputError(
            f"check_layer: width must be a multiple of the {shape[-1]} channels of {shape}, found {width}"
        )
    subject = Subject(layer, tuple(shape), seed, width)
    of_size = functools.partial(finite_networks_agree, count=count, error=error)
    laws: dict[str, Callable[[Subject], None]] = {_FINITE: of_size}
    laws = {**{law.__name__: law for law in _EXACT}, **laws}
    for name, law in laws.items():
        if name not in without:
            _keep(name, law, subject)


def _keep(name: str, law: Callable[[Subject], None], subject: Subject) -> None:
    """Run a law; a kernel that is refused breaks it too."""
    try:
        law(subject)
    except (InputError, NoClosedFormError, NumericalError) as error:
        raise AssertionError(f"{name}: {subject.layer} on inputs shaped {subject.shape}: {error}") from error
