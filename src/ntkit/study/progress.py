"""What a study says while it works: nothing, or a bar for every stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[float], None]
"""Called with how many units of a stage were just done."""


class Progress:
    """Stages of a study, timed; a bar is drawn for each unless ``show`` is False.

    Args:
        show: Whether to draw bars on standard error, where that is a terminal.
    """

    def __init__(self, show: bool = False) -> None:
        self.show = show
        self.seconds: dict[str, float] = {}
        self._bars: Any = None

    def __enter__(self) -> "Progress":
        from rich.console import Console

        console = Console(stderr=True)
        if self.show and console.is_terminal:
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("{task.description:<34}"),
                BarColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bars = Bars(*columns, console=console, transient=True)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    @contextmanager
    def stage(self, name: str, units: float = 1) -> Iterator[Advance]:
        """Time a stage of so many units of work; yields the function that counts them."""
        begun = time.perf_counter()
        bar = self._bars.add_task(name, total=units) if self._bars is not None else None

        def advance(units: float) -> None:
            if bar is not None:
                self._bars.advance(bar, units)

        try:
            yield advance
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
            if bar is not None:
                self._bars.update(bar, completed=units)
