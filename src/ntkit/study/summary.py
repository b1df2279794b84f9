"""The short summary that a study prints."""

from pathlib import Path
from typing import Any

from ntkit.study.folder import PAGE
from ntkit.study.words import number, percent, score_text


def summary(results: dict[str, Any], folder: Path) -> None:
    """Print the scores of a study and where its report is."""
    from rich.console import Console
    from rich.table import Table

    data, kernel, score = results["data"], results["kernels"]["ntk"], results["score"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(score["name"])
    table.add_column("training", justify="right")
    table.add_column("test", justify="right")
    for line in results["methods"]:
        scores = [score_text(results, line[part]["score"]) for part in ("train", "test")]
        table.add_row(line["name"], *(scores if line["determined"] else ["–", "not determined"]))
    console = Console(highlight=False)
    console.print(
        f"[bold]{results['title']}[/bold]: {data['n_train']} training and {data['n_test']} test rows"
    )
    for note in data["notes"]:
        console.print(f"  {note}", style="yellow")
    console.print(table)
    console.print(_of_kernel(kernel), soft_wrap=True)
    if results["finite"]:
        found = results["finite"]
        console.print(
            f"After {found['steps']} steps the test outputs of the network of width {found['width']} are off their "
            f"prediction by {percent(found['relative_distance_test'])} of the distance that training has moved them",
            soft_wrap=True,
        )
    console.print(f"{results['made']['seconds']['total']:.0f} s", style="dim")
    console.print(f"Report: {folder / PAGE}", soft_wrap=True)


def _of_kernel(kernel: dict[str, Any]) -> str:
    if not kernel["singular"]:
        return f"The NTK is positive definite, condition number {number(kernel['condition'])}"
    return (
        "NTK at convergence is not determined: the kernel is singular, and where training ends depends on modes lost in "
        "rounding"
    )
