"""Clients to be killed, forked from a process that has imported what they need.

Each is a process of its own, as one started anew would be, but for the seconds of its imports.
Not for whole runs: polars, which they use, does not survive a fork.
"""

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.generation.calls import asking

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start_asking(words: list[str]) -> ForkServerProcess:
    """`tests.generation.calls.asking` with these arguments."""
    process = _CONTEXT.Process(target=_ask, args=(words,), daemon=True)
    process.start()
    return process


def _ask(words: list[str]) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as sys.stdout:
        asking.main(words)
