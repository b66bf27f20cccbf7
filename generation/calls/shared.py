"""What living processes of a workspace hold: calls they ask for, budget for tries under way.

A SQLite file beside the ledger, never flushed on purpose. An owner is a file that its process
keeps locked, so that the system frees it however the process ends.
"""

import contextlib
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from whyguard.generation.calls.databases import WAIT_SECONDS, alone, connect, readable, writing

SHARED_FILE = "claims.sqlite"
_OWNERS = "owners"
_TABLES = """
create table if not exists claim (key text primary key, owner text not null);
create table if not exists reserved (owner text primary key, account text not null,
    calls integer not null, tokens integer not null, money real not null,
    under_way integer not null);
"""


class Shared:
    """One owner, and its connection. May be used from several threads, by one at a time.

    Raises:
        ArtefactError: the file is no SQLite database, or cannot be read or written.
    """

    wait_seconds = WAIT_SECONDS
    """How long to wait for other writers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / SHARED_FILE
        self.owner = uuid.uuid4().hex
        self._owners = folder / _OWNERS
        with self._readable():
            self._owners.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                self.db: sqlite3.Connection = connect(self.path, "off")
                try:
                    self.db.executescript(_TABLES)
                except BaseException:
                    self.db.close()
                    raise
            self._lock = os.open(self._owners / self.owner, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def writing(self, wait: float | None = None) -> Iterator[None]:
        """One transaction; `wait` is in seconds, by default `wait_seconds`.

        Raises:
            ArtefactError: the file cannot be written.
        """
        with self._readable(), writing(self.db, self.wait_seconds if wait is None else wait):
            yield

    def alive(self, owner: str) -> bool:
        """Whether a process holds the lock of an owner's file; owners write only after locking."""
        if owner == self.owner:
            return True
        try:
            handle = os.open(self._owners / owner, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def bury(self, owner: str) -> None:
        """Free what a dead owner asked for; inside `writing`: no two processes do it at once."""
        self.db.execute("delete from claim where owner = ?", (owner,))
        (self._owners / owner).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of everything but reservations: see `Meter.close`."""
        # What cannot be let go of is free with the owner.
        with contextlib.suppress(sqlite3.Error), writing(self.db, self.wait_seconds):
            self.db.execute("delete from claim where owner = ?", (self.owner,))
        with alone(self.path.parent):
            self.db.close()
        (self._owners / self.owner).unlink(missing_ok=True)
        os.close(self._lock)

    def __enter__(self) -> "Shared":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def _readable(self) -> contextlib.AbstractContextManager[None]:
        return readable(self.path, "a SQLite file that can be used",
                        "delete it while no run is under way: it holds no answers")  # fmt: skip
