"""A bar on standard error with the remaining time."""

from typing import Any


class Progress:
    """Entries of a matrix as they are computed.

    Args:
        show: Whether to draw a bar; None where standard error is a terminal.
        total: How many entries there are.
        done: How many of them were there before.
    """

    def __init__(self, show: bool | None, total: int, done: int) -> None:
        self._show, self._total, self._done = show, total, done
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._show is False:
            return self
        from rich.console import Console

        console = Console(stderr=True)
        if self._show or console.is_terminal:
            from rich import progress

            columns = (
                progress.TextColumn("kernel matrix"),
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(elapsed_when_finished=False),
            )
            self._bar = progress.Progress(*columns, console=console)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, completed=self._done)
        return self

    def advance(self, entries: int) -> None:
        """So many more are finished."""
        if self._bar is not None:
            self._bar.advance(self._task, entries)

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
