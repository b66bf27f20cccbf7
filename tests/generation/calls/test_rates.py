"""Starts are spaced, waits are bounded, and a wave of 429 pauses everybody."""

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.calls.rates import Pace, Rate
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.teachers.failures import CallError, Cause


def pace(workers: int = 8, **other: Any) -> Pace:
    return Pace(TeacherRuntime(**other), workers)


def limited(wait: float = 0.0) -> CallError:
    return CallError(Cause.RATE_LIMITED, "HTTP 429", wait)


def test_no_limit_is_now() -> None:
    rate = Rate(None)
    assert all(rate.turn(10**6) <= time.monotonic() for _ in range(100))


@given(st.lists(st.integers(1, 100), min_size=2, max_size=20))
def test_turns_are_spaced_by_what_was_taken(units: list[int]) -> None:
    rate = Rate(60.0)
    turns = [rate.turn(taken) for taken in units]
    gaps = [after - before for before, after in itertools.pairwise(turns)]
    assert gaps == pytest.approx([float(taken) for taken in units[:-1]])


def test_what_was_taken_too_much_is_given_back() -> None:
    rate = Rate(60.0)
    first = rate.turn(100)
    rate.correct(100, 10)
    assert rate.turn() - first == pytest.approx(10.0)


def test_both_limits_hold() -> None:
    one = pace(requests_per_minute=60.0, tokens_per_minute=600.0)
    turns = [one.turn(30) for _ in range(3)]
    assert turns[1] - turns[0] == pytest.approx(3.0, abs=0.1)
    one = pace(requests_per_minute=60.0)
    turns = [one.turn(10**6) for _ in range(3)]
    assert turns[2] - turns[0] == pytest.approx(2.0, abs=0.1)


@given(st.integers(0, 30), st.floats(0, 1e6))
def test_waits_double_are_jittered_and_bounded(attempt: int, asked: float) -> None:
    one = pace(backoff_seconds=1.0, longest_wait_seconds=60.0)
    wait = one.after(CallError(Cause.SERVER_ERROR, "", asked), attempt)
    assert min(60.0, max(asked, 0.5 * 2.0**attempt)) <= wait
    assert wait <= min(60.0, max(asked, 1.5 * 2.0**attempt))


def test_a_single_429_pauses_nobody_else_and_a_wave_pauses_all() -> None:
    one = pace(workers=8, backoff_seconds=0.1, longest_wait_seconds=60.0)
    one.after(limited(5.0), 0)
    assert one.left(0.0) == 0.0
    one.succeeded()
    one.after(limited(5.0), 0)
    assert one.left(0.0) == 0.0, "an answer in between: no wave"
    one.after(limited(5.0), 0)
    assert 4.9 < one.left(0.0) <= 5.1
    one.after(limited(99999.0), 0)
    assert one.left(0.0) <= 60.1, "never longer than the longest wait"
