"""What every test runs under: annotations checked at run time, deterministic property tests."""

import gc
import os
from collections.abc import Iterator

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# The inside of ntkit is checked against its annotations, shapes included, while the tests run. The outside (networks,
# kernels, specifications, the command line) is not: tests of its messages hand it the wrong things on purpose.
INSIDE = ["engines.reference", "solve", "predict", "analysis", "datasets", "study"]

# The hook must stand before the first import of ntkit. `NTKIT_CHECK_TYPES=0 pytest` leaves it out.
if os.environ.get("NTKIT_CHECK_TYPES") != "0":
    install_import_hook([f"ntkit.{part}" for part in INSIDE], "checked.annotations")


PROGRAMS = 100  # tests after which the programs that they have compiled are dropped


@pytest.fixture(autouse=True)
def programs_are_dropped(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that keeps some thousands of compiled programs runs out of memory maps, and XLA crashes."""
    yield
    done = request.config.stash.setdefault(_DONE, [0])
    done[0] += 1
    if request.node.get_closest_marker("slow") or done[0] % PROGRAMS == 0:
        jax.clear_caches()
        gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the cases of a test marked `every(n)`, all but every n-th are slow ones."""
    seen: dict[str, int] = {}
    for item in items:
        mark = item.get_closest_marker("every")
        if mark is None or item.get_closest_marker("slow") is not None:
            continue
        name = item.nodeid.partition("[")[0]
        if seen.setdefault(name, 0) % mark.args[0]:
            item.add_marker(pytest.mark.slow)
        seen[name] += 1


_DONE = pytest.StashKey[list[int]]()

everyday = {"derandomize": True, "deadline": None, "max_examples": 20, "database": None}
hypothesis.settings.register_profile("everyday", **everyday)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("everyday")  # the other: pytest --hypothesis-profile=thorough
