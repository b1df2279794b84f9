"""What every test runs under: annotations checked at run time, deterministic property tests."""

import os
import pathlib

import hypothesis
from jaxtyping import install_import_hook

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src" / "ntkit"

# Every function and class of ntkit is checked against its annotations, shapes included, while the tests run; the hook
# must stand before the first import of ntkit. The command line is left out: typer hands its commands a context that is
# not of the class which it has them annotate. `NTKIT_CHECK_TYPES=0 pytest` leaves all of it out.
if os.environ.get("NTKIT_CHECK_TYPES", "0") != "0":
    parts = sorted({path.stem for path in SOURCE.iterdir()} - {"__init__", "__pycache__", "cli", "py"})
    install_import_hook([f"ntkit.{part}" for part in parts], "checked.annotations")

hypothesis.settings.register_profile(
    "everyday", derandomize=True, deadline=None, max_examples=20, database=None
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("everyday")  # the other: pytest --hypothesis-profile=thorough
