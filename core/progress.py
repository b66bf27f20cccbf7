"""Progress bars on stderr with rate and time left; plain lines where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
_PLAIN_EVERY_SECONDS = 10.0


class Task:
    """One bar: call `advance` as units get done."""

    def __init__(self, label: str, total: int, bar: RichProgress | None) -> None:
        self._label, self._total, self._bar = label, total, bar
        self._done, self._skipped = 0, 0
        self._started = self._said = time.monotonic()
        self._id = bar.add_task(label, total=total, rate="") if bar else None

    def skip(self, units: int) -> None:
        """Count `units` as done before: they are no part of the rate, nor of the time left."""
        self._done += units
        self._skipped += units
        if self._bar is not None and self._id is not None:
            self._bar.reset(self._id, completed=self._done)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` as done; `note` is shown beside the rate."""
        self._done += units
        fresh = self._done - self._skipped
        rate = f"{fresh / max(1e-9, time.monotonic() - self._started):.1f}/s {note}".strip()
        if self._bar is not None and self._id is not None:
            self._bar.update(self._id, advance=units, rate=rate)
        elif time.monotonic() - self._said > _PLAIN_EVERY_SECONDS:
            self._say(rate)

    def _say(self, rate: str) -> None:
        self._said = time.monotonic()
        spent = self._said - self._started
        left = spent / max(1, self._done - self._skipped) * max(0, self._total - self._done)
        line = f"  {self._label}: {self._done}/{self._total}, {rate}, about {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the plain form of the bar


class Progress:
    """Opens bars; `Progress.silent()` opens invisible ones."""

    def __init__(self, console: Console | None = None, *, visible: bool = True) -> None:
        self._console = console or Console(stderr=True)
        self._visible = visible

    @classmethod
    def silent(cls) -> "Progress":
        """A progress that shows nothing: the default of library calls."""
        return cls(visible=False)

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        if self._visible:
            self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """A bar of `total` units for the time of the block."""
        if not (self._visible and self._console.is_terminal):
            yield _Quiet(label, total, None) if not self._visible else Task(label, total, None)
            return
        label_column = TextColumn("  {task.description}", markup=False)
        rate_column = TextColumn("{task.fields[rate]}", markup=False)
        columns = (label_column, BarColumn(), MofNCompleteColumn(), rate_column,
                   TimeRemainingColumn())  # fmt: skip
        with RichProgress(*columns, console=self._console, transient=True) as bar:
            yield Task(label, total, bar)

    def track(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        """Iterate with a bar."""
        with self.task(label, total) as task:
            for item in items:
                yield item
                task.advance()


class _Quiet(Task):
    def advance(self, units: int = 1, note: str = "") -> None:
        self._done += units
