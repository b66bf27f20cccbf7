"""When a call may start: limits a minute, waits after failures, pauses that a server asks for."""

import random
import time

from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.teachers.failures import CallError, Cause

_WAVE_SHARE = 4
"""One in so many workers told 429 in a row, with no answer between: all of them wait."""


class Rate:
    """Spaces out starts so that `per_minute` units start a minute; None is no limit.

    Evenly spaced, not in bursts: servers count in windows of their own choice.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    def turn(self, units: float = 1.0) -> float:
        """The (monotonic) time at which a start of so many units has its turn."""
        start = max(time.monotonic(), self._free_at)
        self._free_at = start + units * self._seconds
        return start

    def correct(self, guessed: float, actual: float) -> None:
        """A start took `actual` units, where `guessed` were taken."""
        self._free_at += (actual - guessed) * self._seconds


class Pace:
    """What all workers of a run share about time."""

    def __init__(self, runtime: TeacherRuntime, workers: int) -> None:
        self._runtime = runtime
        self._requests = Rate(runtime.requests_per_minute)
        self._tokens = Rate(runtime.tokens_per_minute)
        self._paused_until = 0.0
        self._limited, self._wave = 0, max(2, workers // _WAVE_SHARE)

    def turn(self, tokens: int) -> float:
        """The time at which the limits a minute let a call of about so many tokens start."""
        return max(self._requests.turn(), self._tokens.turn(tokens))

    def left(self, turn: float) -> float:
        """Seconds until a call with that turn may start; 0: now. Ask again after waiting."""
        now = time.monotonic()
        paused = self._paused_until - now
        if paused > 0:
            # Not all at once when it ends.
            paused += random.uniform(0.0, self._runtime.backoff_seconds)
        return max(turn - now, paused, 0.0)

    def correct(self, guessed: int, actual: int) -> None:
        """What a call took, where `guessed` tokens were taken for it."""
        self._tokens.correct(guessed, actual)

    def succeeded(self) -> None:
        """An answer came: there is no wave of 429."""
        self._limited = 0

    def after(self, error: CallError, attempt: int) -> float:
        """Seconds to wait before the next try; `attempt` counts from 0."""
        runtime = self._runtime
        own = runtime.backoff_seconds * 2.0**attempt * random.uniform(0.5, 1.5)
        wait = min(max(own, error.wait), runtime.longest_wait_seconds)
        if error.cause is Cause.RATE_LIMITED:
            self._limited += 1
            if self._limited >= self._wave:
                self._paused_until = max(self._paused_until, time.monotonic() + wait)
        return wait
