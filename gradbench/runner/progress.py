"""What the user sees while cells run, on stderr: a live bar on a terminal, a line a finished cell anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gradbench.runner.plan import Planned
from gradbench.runner.store import FINISHED, Record

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Lines", "duration", "progress"]


def progress(verbosity: int) -> Lines:
    """The one that suits this stderr; below 0 only notes of failure are shown, above 0 each strategy's verdict too."""
    return Bar(verbosity) if sys.stderr.isatty() and verbosity >= 0 else Lines(verbosity)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(4.16), duration(75), duration(7500)
    ('4.2 s', '1 min 15 s', '2 h 05 min')
    """
    if seconds < 59.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Lines:
    """A line a finished cell."""

    def __init__(self, verbosity: int) -> None:
        self._verbosity = verbosity
        self._total = self._done = 0
        self._started = 0.0
        self._work_total = self._work_done = 0.0

    def note(self, text: str) -> None:
        """Say something that is no cell's, for example what will be run."""
        if self._verbosity >= 0:
            self._print(text)

    @contextmanager
    def cells(self, planned: Sequence[Planned], total: int) -> Iterator[None]:
        """While `planned` are run, of `total` cells; the others count as done."""
        self._total, self._done = total, total - len(planned)
        self._work_total, self._work_done = sum(one.work for one in planned), 0.0
        self._started = time.monotonic()
        yield

    def say(self, name: str, text: str) -> None:
        """The cell labelled `name` reports its step; an empty text when it is over."""

    def finished(self, one: Planned, record: Record) -> None:
        """A cell is over."""
        self._done += 1
        self._work_done += one.work
        self.say(one.label, "")
        failed = record.status not in FINISHED
        if self._verbosity >= 0 or failed:
            reason = f": {record.reason}" if record.reason else ""
            took = duration(record.wall_seconds)
            self._print(f"[{self._done}/{self._total}] {one.label}: {record.status} in {took}{reason}")
        if self._verbosity > 0 and not failed:
            for row in record.tables["cells"]:
                self._print(f"    {row['strategy']}: {row.get('verdict') or row['status']}")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _remaining(self) -> str:
        """The time that is left, if the work ahead goes as fast as the work behind."""
        if not self._work_done:
            return "remaining time unknown yet"
        left = (time.monotonic() - self._started) * (self._work_total / self._work_done - 1)
        return f"about {duration(left)} left"


class Bar(Lines):
    """A live bar with the remaining time and what runs now; failures stay above it as lines."""

    def __init__(self, verbosity: int) -> None:
        super().__init__(verbosity)
        self._console: Console | None = None
        self._running: dict[str, str] = {}

    @contextmanager
    def cells(self, planned: Sequence[Planned], total: int) -> Iterator[None]:
        """As `Lines.cells`, with the bar on the terminal's last lines."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)
        with super().cells(planned, total), live:
            yield
        self._console = None

    def say(self, name: str, text: str) -> None:
        """Show the step, or take the cell away."""
        if text:
            self._running[name] = text
        else:
            self._running.pop(name, None)

    def _print(self, text: str) -> None:
        if self._console is None:
            super()._print(text)
        else:
            self._console.print(text, markup=False)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        left = f"{self._done}/{self._total} cells, {self._remaining()}"
        steps = [Text(f"  {name}: {step}", style="dim") for name, step in list(self._running.items())]
        return Group(ProgressBar(self._total, self._done, width=48), Text(left), *steps)
