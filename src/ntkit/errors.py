"""The three ways in which a request can fail, told apart by class."""


class InputError(ValueError):
    """Data, a shape, a specification or an option is not usable as given; the message says what would be."""


class NoClosedFormError(ValueError):
    """Second moments do not determine this network's kernel; the message names the layer, the reason and a remedy.

    A network is refused rather than given a formula that holds only under facts that it violates.
    """


class NumericalError(ArithmeticError):
    """A computation failed for numerical reasons: singular, not converged, or not finite."""
