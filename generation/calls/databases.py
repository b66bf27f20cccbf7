"""SQLite files that the processes of a workspace open, close and write side by side."""

import contextlib
import fcntl
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from whyguard.core.errors import ArtefactError, fail

WAIT_SECONDS = 60.0
"""How long a writer waits for another one."""
_GATE = "opening.lock"
_CHUNK = 500
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process opens or closes a file of this folder meanwhile.

    SQLite does not wait for the locks that the switch to its write-ahead log takes, nor for those
    of the last one to close.
    """
    gate = os.open(folder / _GATE, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def connect(path: Path, synchronous: Literal["full", "off"]) -> sqlite3.Connection:
    """A connection that threads may share, one at a time; to be called inside `alone`."""
    db = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
    try:
        db.execute("pragma journal_mode=wal")
        db.execute(f"pragma synchronous={synchronous}")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def readable(path: Path, expected: str, damaged: str) -> Iterator[None]:
    """Turn what SQLite raises into ArtefactError; `damaged` is what to do about a broken file."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        fail(ArtefactError, where=str(path), expected=expected,
             found=f"{type(error).__name__}: {error}",
             do=damaged if code in _DAMAGE else "see that the disk has room, the file may be "
             "written and no stopped process holds it, then run again")  # fmt: skip


@contextlib.contextmanager
def writing(db: sqlite3.Connection, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """One transaction that takes the write lock first, so that it waits for other writers."""
    db.execute(f"pragma busy_timeout={round(wait * 1000)}")
    with db:
        db.execute("begin immediate")
        yield


def marked(keys: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys in parts of a size that SQLite takes, each with its question marks for `key in ()`."""
    every = iter(keys)
    while chunk := tuple(itertools.islice(every, _CHUNK)):
        yield ",".join("?" * len(chunk)), chunk
