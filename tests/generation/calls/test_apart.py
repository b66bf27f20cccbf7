"""A loop in its own thread: what is raised there is raised here, Ctrl-C ends it."""

import asyncio
import os
import signal
import threading
import time

import pytest

from whyguard.generation.calls.apart import run_apart


def test_what_is_raised_there_is_raised_here() -> None:
    async def fail() -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        run_apart(fail())


def test_it_runs_within_a_running_loop() -> None:
    done: list[str] = []

    async def inner() -> None:
        done.append(threading.current_thread().name)

    async def outer() -> None:
        run_apart(inner())

    asyncio.run(outer())
    assert done == ["calls"]
    assert "calls" not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_cancels_waits_for_the_clean_up_and_goes_on() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)
            steps.append("cleaned up")

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):  # it has no message
        run_apart(work())
    assert steps == ["cleaned up"]
    assert time.monotonic() - started < 10
