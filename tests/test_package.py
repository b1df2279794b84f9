"""Laws of the package itself: what its import loads, what it may rest on, how its files are cut."""

import ast
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "ntkit"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Loaded when they are first used, not by `import ntkit`.
HEAVY = {
    "dask",
    "diffrax",
    "flax",
    "jinja2",
    "lineax",
    "matfree",
    "mpmath",
    "networkx",
    "numba",
    "optax",
    "pandas",
    "plotly",
    "pyarrow",
}
HEAVY |= {"rich", "sklearn", "torch", "torch_geometric", "typer", "zarr"}

# From the ground up: a file or folder may import what stands before it, or its own kind.
KERNELS = [
    "errors",
    "batches",
    "moments",
    "layer",
    "activations",
    "layers",
    "spec",
    "zoo",
    "lifting",
    "arrays",
    "pair",
]
KERNELS += ["sampling", "tape", "engines", "kernels", "kernel_fn", "averaging", "preprocessing"]
ON_KERNELS = ["gram", "solve", "finite", "predict", "features", "analysis", "estimators"]
FLOORS = [*KERNELS, *ON_KERNELS, "datasets", "plot", "study", "cli"]

PRIVATE = re.compile(r"^(jax\._src|jax\.core|jax\.interpreters|jaxlib)\b|^[a-z]\w*(\.\w+)*\._[a-z]")


def name(path: pathlib.Path) -> str:
    """A source file as a reader names it."""
    return str(path.relative_to(PACKAGE))


def imported(path: pathlib.Path) -> list[str]:
    """The full names of all that a source file imports, at its top or inside of functions."""
    names = []
    home = ("ntkit", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def floor(name: str) -> int | None:
    """The floor of a module of ntkit, counted from the ground; None for what has no fixed floor."""
    parts = name.split(".")
    return FLOORS.index(parts[1]) if parts[0] == "ntkit" and len(parts) > 1 and parts[1] in FLOORS else None


def in_fresh_process(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = json.loads(in_fresh_process("import ntkit, json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert "ntkit" in loaded
    assert not sorted(HEAVY & set(loaded))


def test_import_leaves_the_configuration_of_jax_alone() -> None:
    show = (
        "import jax; as_set = dict(jax.config.values); import ntkit; print(as_set == dict(jax.config.values))"
    )
    assert in_fresh_process(show).strip() == "True"


def test_no_private_import() -> None:
    used = {(name(path), module) for path in SOURCES for module in imported(path)}
    foreign = {(path, module) for path, module in used if not module.startswith("ntkit.")}
    assert not {(path, module) for path, module in foreign if PRIVATE.search(module)}


def test_imports_point_downwards() -> None:
    upwards = []
    for path in SOURCES:
        here = floor(".".join(("ntkit", *path.relative_to(PACKAGE).with_suffix("").parts)))
        if here is not None:
            upwards += [(name(path), module) for module in imported(path) if (floor(module) or 0) > here]
    assert not upwards


def test_one_idea_a_file() -> None:
    assert not {name(path) for path in SOURCES if len(path.read_text().splitlines()) > 400}
    assert not {path.stem for path in SOURCES} & {"common", "helpers", "misc", "util", "utils"}


def test_one_screen_a_function() -> None:
    long = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
                long += [(name(path), node.name, lines)] if lines > 60 else []
    assert not long


def test_types_ship() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_version_is_that_of_the_distribution() -> None:
    import ntkit

    assert ntkit.__version__ == importlib.metadata.version("ntkit")


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    commands = {
        name for path in documents for name in re.findall(r"^make ([a-z]+)", shell(path), re.MULTILINE)
    }
    assert {"study", "test"} <= commands <= set(targets)


def shell(path: pathlib.Path) -> str:
    """The shell blocks of a document."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "bench" / "results").glob("*.json")), ids=lambda path: path.stem
)
def test_figures_say_where_they_come_from(path: pathlib.Path) -> None:
    result = json.loads(path.read_text())
    assert result["bench"] == path.stem
    assert {"command", "date", "machine", "versions", "figures"} <= set(result)
    assert {"cpu", "cores", "memory_gib"} <= set(result["machine"])
    assert {"python", "jax", "numpy", "ntkit"} <= set(result["versions"])
