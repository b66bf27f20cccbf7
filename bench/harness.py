"""What every measurement shares: medians of alternating runs, and one line of result."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Figure(NamedTuple):
    """`ratio` = baseline seconds / our seconds: above 1 means ours is faster."""

    name: str
    baseline: str
    baseline_seconds: float
    ours_seconds: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.baseline_seconds / self.ours_seconds


def compare(name: str, baseline: str, slow: Callable[[], object], ours: Callable[[], object],
            *, rounds: int = 3, note: str = "") -> Figure:  # fmt: skip
    """Median seconds of both, run in turns so that a noisy moment hits both."""
    times: dict[str, list[float]] = {"slow": [], "ours": []}
    for _ in range(rounds):
        for key, call in (("slow", slow), ("ours", ours)):
            started = time.perf_counter()
            call()
            times[key].append(time.perf_counter() - started)
    return Figure(name, baseline, statistics.median(times["slow"]),
                  statistics.median(times["ours"]), note)  # fmt: skip
