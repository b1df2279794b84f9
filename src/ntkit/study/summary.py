"""The short summary that a study prints."""

from pathlib import Path
from typing import Any

from ntkit.study.folder import PAGE


def summary(results: dict[str, Any], folder: Path) -> None:
    """Print the scores of a study and where its report is."""
    from rich.console import Console
    from rich.table import Table

    data, kernel, score = results["data"], results["kernels"]["ntk"], results["score"]

    def text(value: float) -> str:
        return f"{100 * value:.1f} %" if score["id"] == "accuracy" else f"{value:.4g}"

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(score["name"])
    table.add_column("training", justify="right")
    table.add_column("test", justify="right")
    for line in results["methods"]:
        table.add_row(line["name"], text(line["train"]["score"]), text(line["test"]["score"]))
    definite = (
        "positive definite"
        if kernel["positive_definite"]
        else f"singular (jitter {kernel['jitter']:.1g} added)"
    )
    condition = f", condition number {kernel['condition']:.2g}" if kernel["condition"] else ""
    console = Console(highlight=False)
    console.print(
        f"[bold]{results['title']}[/bold]: {data['n_train']} training and {data['n_test']} test rows"
    )
    for note in data["notes"]:
        console.print(f"  {note}", style="yellow")
    console.print(table)
    console.print(f"NTK {definite}{condition}")
    if results["finite"]:
        found = results["finite"]
        distance = f"{100 * found['relative_distance_test']:.1f} %"
        console.print(
            f"The network of width {found['width']} ends {distance} from its predicted test outputs"
        )
    console.print(f"{results['made']['seconds']['total']:.0f} s", style="dim")
    console.print(f"Report: {folder / PAGE}", soft_wrap=True)
