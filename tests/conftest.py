"""What every test runs under: annotations checked at run time, deterministic property tests."""

import os
from collections.abc import Iterator

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# The inside of ntkit is checked against its annotations, shapes included, while the tests run. The outside (networks,
# kernels, specifications, the command line) is not: tests of its messages hand it the wrong things on purpose.
INSIDE = ["engines", "solve", "predict", "analysis", "datasets", "study"]

# The hook must stand before the first import of ntkit. `NTKIT_CHECK_TYPES=0 pytest` leaves it out.
if os.environ.get("NTKIT_CHECK_TYPES") != "0":
    install_import_hook([f"ntkit.{part}" for part in INSIDE], "checked.annotations")


@pytest.fixture(autouse=True)
def programs_of_slow_tests_are_dropped(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that keeps some thousands of compiled programs runs out of memory maps, and XLA crashes."""
    yield
    if request.node.get_closest_marker("slow"):
        jax.clear_caches()


everyday = {"derandomize": True, "deadline": None, "max_examples": 20, "database": None}
hypothesis.settings.register_profile("everyday", **everyday)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("everyday")  # the other: pytest --hypothesis-profile=thorough
