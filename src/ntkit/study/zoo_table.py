"""What ``ntkit nets`` prints: the zoo, taken from the functions themselves."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import ntkit as nk
from ntkit.errors import InputError
from ntkit.spec import nearest
from ntkit.zoo import ZOO


def parameters(function: Callable[..., Any]) -> list[str]:
    """The parameters of a zoo function as options of the command line, with their defaults."""
    found = inspect.signature(function).parameters.values()
    return [f"--{p.name.replace('_', '-')} {_default(p.default)}" for p in found if p.name != "outputs"]


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a function's docstring, as plain text."""
    return inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("`", "")


def print_table() -> None:
    """Print the zoo as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold")
    table.add_column("network", style="bold", no_wrap=True)
    table.add_column("what it is")
    table.add_column("options and their defaults")
    for name, function in ZOO.items():
        table.add_row(
            name, first_line(function), "  ".join(p.replace(" ", "\u00a0") for p in parameters(function))
        )
    console = Console()
    console.print(table)
    console.print(
        "ntkit nets NAME prints a network as a spec, to save as a file and change.", highlight=False
    )


def print_spec(name: str) -> None:
    """Print a network of the zoo with its default parameters as JSON.

    Raises:
        InputError: There is no such network.
    """
    if name not in ZOO:
        raise InputError(f"unknown network {name!r}{nearest(name, ZOO)}")
    print(json.dumps(nk.to_spec(ZOO[name]()), indent=2))


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "…"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
