"""Progress bars for work that takes longer than a glance."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter:
    """Called as ``report(what, done, total)``; draws one bar for each kind of work.

    It writes to stderr, so that what a command prints can be piped. Work that may be over at once
    sets `quiet_s`: nothing is drawn before that time has passed.
    """

    def __init__(self, quiet_s: float = 0.0) -> None:
        self._draw_from_s = time.monotonic() + quiet_s
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars.live.is_started:  # Stopping what never started prints an empty line.
            self._bars.stop()

    def __call__(self, what: str, done: float, total: float, note: str = "") -> None:
        """Show that ``done`` of ``total`` steps of ``what`` are complete."""
        if time.monotonic() >= self._draw_from_s:
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, total=total, note=note)

    def note(self, line: str) -> None:
        """Show a line of text above the bars."""
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
