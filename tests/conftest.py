"""What every test runs under: annotations checked at run time, deterministic property tests."""

import os
import pathlib

import hypothesis
from jaxtyping import install_import_hook

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"

# Not checked: what is called with other types on purpose.
UNCHECKED = {
    "ntkit.cli",  # typer hands a command a context that is not of the class which it has the command annotate
    "ntkit.activations.numerical",  # refuses functions and breaks of the wrong kind itself, with a message
}


def modules() -> list[str]:
    """The modules whose functions and classes are checked against their annotations, shapes included."""
    paths = (path for path in SOURCE.rglob("*.py") if path.stem != "__init__")
    names = {".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in paths}
    return sorted(names - UNCHECKED)


# The hook must stand before the first import of ntkit. `NTKIT_CHECK_TYPES=0 pytest` leaves it out.
if os.environ.get("NTKIT_CHECK_TYPES", "0") != "0":
    install_import_hook(modules(), "checked.annotations")

everyday = {"derandomize": True, "deadline": None, "max_examples": 20, "database": None}
hypothesis.settings.register_profile("everyday", **everyday)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("everyday")  # the other: pytest --hypothesis-profile=thorough
