"""What architectures are described by: names of activations, and counts."""

from ntkit.errors import InputError
from ntkit.layer import Layer
from ntkit.spec import from_spec, nearest


def activation(name: str) -> Layer:
    """The activation of a (case-insensitive) layer name, with its default hyperparameters.

    Raises:
        InputError: There is none of that name.
    """
    from ntkit.activations import Activation
    from ntkit.spec import layer_classes

    known = {n.lower(): n for n, cls in layer_classes().items() if issubclass(cls, Activation)}
    if name.lower() not in known:
        raise InputError(f"unknown activation {name!r}{nearest(name.lower(), known)}")
    return from_spec({"layer": known[name.lower()]})


def count(name: str, value: int) -> int:
    """The value, found to be a whole number of at least 1.

    Raises:
        InputError: It is not; the message calls it `name`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, found {value!r}")
    return value
