"""Runs a coroutine in a thread with a loop of its own: a caller's running loop is no trouble."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any

_LOOK_SECONDS = 0.1
"""How often the waiting thread looks up: not every lock that it waits for lets Ctrl-C through."""


def run_apart(job: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what it raises is raised here.

    Ctrl-C (in the main thread) cancels it, waits for its clean-up, and goes on as
    KeyboardInterrupt; a second one does not wait.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(job)
    outcome: Future[None] = Future()
    thread = threading.Thread(target=_work, args=(loop, task, outcome), daemon=True, name="calls")
    thread.start()
    try:
        _wait(outcome)
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError):  # the loop is closed: everything is done
            loop.call_soon_threadsafe(task.cancel)
        _wait(outcome)
        raise
    thread.join()
    outcome.result()


def _wait(outcome: "Future[None]") -> None:
    # Not Thread.join: interrupted, it takes the thread for ended (Python 3.11).
    while not outcome.done():
        wait([outcome], _LOOK_SECONDS)


def _work(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]", outcome: Future[None]
          ) -> None:  # fmt: skip
    error: BaseException | None = None
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(task)
    except BaseException as raised:  # handed to the caller, who raises it
        error = raised
    try:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    finally:
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)
