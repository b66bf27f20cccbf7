"""The live panel of a run: done, rate, time left, tokens, money, failures by cause."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from whyguard.core.progress import Progress
from whyguard.core.progress import Task as Bar
from whyguard.generation.calls.ledger import Spending
from whyguard.generation.teachers.base import Prices
from whyguard.generation.teachers.failures import Cause


class Panel:
    """Counts cheaply; `tick`, called now and then, shows it."""

    def __init__(self, bar: Bar, prices: Prices | None) -> None:
        self._bar, self._prices = bar, prices
        self._new = self.done = 0
        self.spent = Spending()
        self.waiting = 0
        """Calls whose answers another process asks for."""
        self.refused = 0
        """Prompts that the server refused."""
        self.failed_tries: Counter[Cause] = Counter()
        self._started = time.monotonic()

    def ended(self, calls: int = 1) -> None:
        """Calls that are stored, with an answer or without."""
        self._new += calls
        self.done += calls

    def paid(self, spending: Spending) -> None:
        """What tries cost."""
        self.spent = self.spent.plus(spending)

    def failed(self, cause: Cause) -> None:
        """A try that gave no answer."""
        if cause is Cause.REFUSED:
            self.refused += 1
        else:
            self.failed_tries[cause] += 1

    def tick(self) -> None:
        """Show what happened since the last one."""
        new, self._new = self._new, 0
        self._bar.advance(new, self.note())

    def note(self) -> str:
        """Tokens, money, failures by cause."""
        parts = [f"{self.spent.tokens:,} tokens"]
        if self._prices:
            parts.append(f"{self.spent.money:.4g} {self._prices.currency}")
        if self.failed_tries:
            parts.append(f"failed tries: {by_cause(self.failed_tries)}")
        if self.refused:
            parts.append(f"{self.refused:,} refused")
        if self.waiting:
            parts.append(f"waiting for {self.waiting:,} answers of another process")
        return ", ".join(parts)

    def summary(self) -> str:
        """One line for the end of a run."""
        seconds = max(1e-9, time.monotonic() - self._started)
        return f"{self.done:,} calls in {seconds:.1f} s, {self.note()}"


def by_cause(counts: Counter[Cause]) -> str:
    """Causes with their counts, most frequent first."""
    return ", ".join(f"{count:,} {cause.value}" for cause, count in counts.most_common())


@contextmanager
def open_panel(progress: Progress, total: int, prices: Prices | None) -> Iterator[Panel]:
    """A panel for `total` calls, for the time of the block; its summary is said at the end."""
    with progress.task("answers", total) as bar:
        panel = Panel(bar, prices)
        try:
            yield panel
        finally:
            panel.tick()
    progress.say(f"  {panel.summary()}")
