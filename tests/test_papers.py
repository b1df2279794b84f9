"""Figures of papers as the documents give them are those of the benches' results."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "molecules.md").read_text()
SETS = {"mutag": "MUTAG", "ptc": "PTC", "proteins": "PROTEINS", "imdbbinary": "IMDB-BINARY"}


def figures(bench: str) -> dict:
    return json.loads((ROOT / "bench" / "results" / f"{bench}.json").read_text())["figures"]


def row(name: str, of: dict) -> str:
    """A line of the table."""
    best, nested = (f"{of[key]:.1f} ± {of[f'{key}_standard_deviation']:.1f}" for key in ("paper", "nested"))
    return f"| {SETS[name]} | {best} | {of['required']['paper']:.1f} | {nested} | {of['required']['nested']:.1f} |"


def test_table_of_graph_sets() -> None:
    _, _, rest = PAGE.partition("| data set |")
    table, _, _ = rest.partition("\n\n")
    measured = figures("gntk")
    assert table.splitlines()[2:] == [row(name, measured[name]) for name in SETS if name in measured]


def test_cora() -> None:
    found = figures("cora")
    assert f"gets {found['reached']:.1f} % of the 1,000 test nodes right" in PAGE
    assert "in less than 20 s with all kernels" in PAGE
    assert found["seconds"] < 20
    best = max(each["val"] for each in found["tried"])
    assert found["chosen"]["val"] == best
