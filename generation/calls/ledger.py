"""The call ledger: each answer is stored durably before it is used, keyed by what shaped it."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from whyguard.core.errors import ArtefactError, fail
from whyguard.core.hashing import sha256_json
from whyguard.generation.teachers.base import Answer, Task, Teacher, TeacherConfig

LEDGER_FILE = "ledger.sqlite"


def call_key(config: TeacherConfig, teacher: Teacher, task: Task) -> str:
    """Content key over everything that shapes an answer.

    A model's place on disk shapes nothing; its content does, which `use.revision` stands for.
    """
    shape = config.model_dump(mode="json", exclude={"file", "source", "samples", "model"})
    revision = teacher.use.revision if teacher.use else ""
    return sha256_json([shape, teacher.generator, revision, task.kind, task.language,
                        list(task.messages), task.sample])  # fmt: skip


class Ledger:
    """SQLite with full synchronisation: what `put` returned from survives kill -9.

    Raises:
        ArtefactError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=60)
        try:
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._db.execute("create table if not exists call (key text primary key, answer text)")
        except sqlite3.DatabaseError as error:
            self._db.close()
            fail(ArtefactError, where=str(path), expected="a call ledger (SQLite)",
                 found=str(error),
                 do="move it away: its answers will be asked for again")  # fmt: skip

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """Stored answers among `keys`."""
        found = {}
        for key in keys:
            row = self._db.execute("select answer from call where key = ?", (key,)).fetchone()
            if row:
                found[key] = Answer(**json.loads(row[0]))
        return found

    def put(self, answers: Iterable[tuple[str, Answer]]) -> None:
        """Store answers in one transaction; an answer that is there stays as it is."""
        rows = [(key, json.dumps(answer._asdict())) for key, answer in answers]
        with self._db:
            self._db.executemany("insert or ignore into call values (?, ?)", rows)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._db.close()
