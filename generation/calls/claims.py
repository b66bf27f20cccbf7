"""Which process asks for which call, so that two on one ledger never both pay for one.

A second SQLite file beside the ledger, never flushed on purpose: it says only what living
processes hold. An owner is a file that its process keeps locked, so that the system frees it
however the process ends; what a dead owner held may be taken at once.
"""

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from whyguard.core.errors import ArtefactError, fail

CLAIMS_FILE = "claims.sqlite"
_OWNERS = "owners"
_CHUNK = 500
_WAIT_SECONDS = 60.0
_TABLE = "create table if not exists claim (key text primary key, owner text not null)"


def open_unsynced(path: Path, *tables: str) -> sqlite3.Connection:
    """A SQLite file that survives the end of a process, and not that of the machine.

    Raises:
        ArtefactError: the file is no SQLite database.
    """
    db = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    try:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=off")
        for table in tables:
            db.execute(table)
    except sqlite3.DatabaseError as error:
        db.close()
        fail(ArtefactError, where=str(path), expected="a SQLite file", found=str(error),
             do="delete it while no run is under way: it holds no answers")  # fmt: skip
    return db


class Claims:
    """The keys that this owner asks for. A claim must be followed by a look into the ledger: the
    last owner may have stored the answer before it let go.

    Raises:
        ArtefactError: the file is no SQLite database.
    """

    def __init__(self, folder: Path) -> None:
        self._owners = folder / _OWNERS
        self._owners.mkdir(parents=True, exist_ok=True)
        self._name = uuid.uuid4().hex
        self._lock = os.open(self._owners / self._name, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._db = open_unsynced(folder / CLAIMS_FILE, _TABLE)

    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim what no living owner holds; all of `keys` that are now this owner's."""
        with self._db:
            self._db.execute("begin immediate")
            self._bury({owner for _, owner in self._holders(keys)})
            self._db.executemany("insert or ignore into claim values (?, ?)",
                                 [(key, self._name) for key in keys])  # fmt: skip
            return {key for key, owner in self._holders(keys) if owner == self._name}

    def take_all(self, keys: Sequence[str]) -> bool:
        """Claim all of `keys`, or none where a living owner holds one of them."""
        mine = self.take(keys)
        if len(mine) == len(set(keys)):
            return True
        self.give_back(mine)
        return False

    def give_back(self, keys: Iterable[str]) -> None:
        """Let go of keys that got no answer."""
        with self._db:
            self._db.executemany("delete from claim where key = ? and owner = ?",
                                 [(key, self._name) for key in keys])  # fmt: skip

    def close(self) -> None:
        """Let go of everything."""
        with self._db:
            self._db.execute("delete from claim where owner = ?", (self._name,))
        self._db.close()
        (self._owners / self._name).unlink(missing_ok=True)
        os.close(self._lock)

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def _holders(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found += self._db.execute(f"select key, owner from claim where key in ({marks})",  # noqa: S608
                                      tuple(chunk))  # fmt: skip
        return found

    def _bury(self, owners: set[str]) -> None:
        """Free what dead owners held. Runs inside a transaction: no two processes do it at once."""
        for owner in owners - {self._name}:
            if not self._alive(owner):
                self._db.execute("delete from claim where owner = ?", (owner,))
                (self._owners / owner).unlink(missing_ok=True)

    def _alive(self, owner: str) -> bool:
        """Whether a process holds the lock of an owner's file; claims are made after locking."""
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
