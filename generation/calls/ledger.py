"""The call ledger: each answer is stored durably before it is used, keyed by what shaped it.

One SQLite file for a whole workspace: all steps, recipes and processes share it, so that a wider
`limit` or another recipe reuses what is paid for. The messages themselves are not stored: the key
is their hash and the prompts and template versions are in the artefacts, so an audit can render
and compare them, while a copy would be some kilobytes a call (three times the answers) and one
more place that holds harmful text.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from whyguard.core.errors import ArtefactError, fail
from whyguard.core.hashing import sha256_text
from whyguard.generation.calls.databases import alone, connect, marked, readable, writing
from whyguard.generation.teachers.base import Answer
from whyguard.generation.teachers.failures import Cause

LEDGER_FILE = "calls.sqlite"
GIVEN_UP = 3
"""In so many runs a call ended without an answer: that is then its answer."""
_FORMAT = 1
_ROWS = 64
_ROW = """key text primary key, answer text not null, checksum text not null,
    account text not null, model text not null, prompt_tokens integer, tokens integer,
    money real not null, tries integer not null, at real not null"""
_TABLES = f"""
create table if not exists call ({_ROW});
create table if not exists replaced ({_ROW.replace(" primary key", "")});
create table if not exists damaged ({_ROW.replace(" primary key", "")});
create table if not exists failure (key text primary key, cause text not null,
    detail text not null, tries integer not null, account text not null, at real not null,
    runs integer not null default 0);
create table if not exists spent (account text primary key, calls integer not null,
    tokens integer not null, money real not null);
pragma user_version = {_FORMAT};
"""
_AGAIN = ("on conflict (key) do update set runs = runs + excluded.runs, cause = excluded.cause, "
          "detail = excluded.detail, tries = excluded.tries, account = excluded.account, "
          "at = excluded.at")  # fmt: skip


class Spending(NamedTuple):
    """What was, or may be, paid: requests sent, tokens of prompts and answers, money."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def plus(self, other: "Spending") -> "Spending":
        """The sum, field by field."""
        return Spending(self.calls + other.calls, self.tokens + other.tokens,
                        self.money + other.money)  # fmt: skip

    def minus(self, other: "Spending") -> "Spending":
        """The difference, field by field."""
        return self.plus(Spending(-other.calls, -other.tokens, -other.money))


class Ended(NamedTuple):
    """A call that came to an end: with an answer, or with the cause of its failure."""

    key: str
    answer: Answer | None
    spending: Spending = Spending(1)
    cause: Cause | None = None
    detail: str = ""
    runs: int = 0
    """Of a failure: how much it counts towards `GIVEN_UP`."""


class Payer(NamedTuple):
    """Who pays for calls, and to which model they go: recorded beside each."""

    account: str = ""
    model: str = ""


_NOBODY = Payer()


class Summary(NamedTuple):
    """What a ledger holds."""

    accounts: dict[str, Spending]
    """What each recipe has paid."""
    answers: dict[str, int]
    """Stored answers by model."""
    failures: dict[str, int]
    """Calls that ended without an answer, by cause."""
    replaced: int
    """Older answers, kept beside newer ones (resume: never)."""
    set_aside: int
    """Damaged answers that were found and asked for again."""
    damaged: int
    """Answers whose checksum is wrong now."""


class Ledger:
    """SQLite with full synchronisation: what `put` returned from survives kill -9 and power cuts.

    May be used from several threads, by one at a time.

    Raises:
        ArtefactError: the file is no ledger, of a newer format, or cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE
        with self._readable():
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                self._db = connect(self.path, "full")
                try:
                    self._open()
                except BaseException:
                    self._db.close()
                    raise

    def _open(self) -> None:
        (found,) = self._db.execute("pragma user_version").fetchone()
        if found > _FORMAT:
            fail(ArtefactError, where=str(self.path), expected=f"a call ledger of format {_FORMAT}",
                 found=f"format {found}", do="use the version that wrote it")  # fmt: skip
        if found < _FORMAT:
            self._db.executescript(f"begin;{_TABLES}commit;")

    def get(self, keys: Iterable[str], since: float = 0.0) -> dict[str, Answer]:
        """Answers among `keys` that were stored at `since` (seconds since 1970) or later.

        A prompt that a server refused counts as answered, without text; so does one that got no
        answer in `GIVEN_UP` runs. Rows whose checksum is wrong are left out: see
        `set_aside_damaged`.
        """
        found = {}
        with self._readable():
            for key, text, checksum in self._rows("key, answer, checksum", "call", keys, since):
                if _checksum(key, text) == checksum:
                    found[key] = Answer(**json.loads(text))
            for key, cause, detail in self._rows("key, cause, detail", "failure", keys, since,
                                                f"runs >= {GIVEN_UP}"):  # fmt: skip
                found.setdefault(key, given_up(cause, detail))
        return found

    def failed(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` whose last try gave no answer."""
        with self._readable():
            return {key for key, *_ in self._rows("key, cause, detail", "failure", keys, 0.0)}

    def set_aside_damaged(self, keys: Iterable[str]) -> int:
        """Move rows among `keys` whose checksum is wrong to the table `damaged`; their number."""
        with self._readable():
            wrong = [key for key, text, checksum in
                     self._rows("key, answer, checksum", "call", keys, 0.0)
                     if _checksum(key, text) != checksum]  # fmt: skip
            if wrong:
                with writing(self._db):
                    self._move("damaged", wrong, math.inf)
        return len(wrong)

    def put(self, ended: Sequence[Ended], payer: Payer = _NOBODY, since: float = 0.0) -> None:
        """Store calls and what they cost in one transaction; durable when it returns.

        An answer that is there stays as it is, unless it is older than `since` and there is
        another now (or a refusal): then it moves to the table `replaced`.
        """
        now = time.time()
        answers = [_row(item, item.answer, payer, now) for item in ended if item.answer is not None]
        failures = [(item.key, item.cause.value, item.detail, item.spending.calls, payer.account,
                     now, item.runs) for item in ended if item.cause is not None]  # fmt: skip
        with self._readable(), writing(self._db):
            if since:
                self._move("replaced", [item.key for item in ended if item.answer is not None
                                        or item.runs >= GIVEN_UP], since)  # fmt: skip
            self._insert("insert or ignore into call", answers)
            self._forget_failures([item.key for item in ended if item.answer is not None])
            self._insert("insert into failure", failures, _AGAIN)
            self._spend(payer.account, [item.spending for item in ended])

    def spend(self, account: str, spending: Spending) -> None:
        """Count what was paid for calls that have neither an answer nor a failure."""
        if spending != Spending():
            with self._readable(), writing(self._db):
                self._spend(account, [spending])

    def spent(self, account: str) -> Spending:
        """What an account has paid, over all runs."""
        with self._readable():
            row = self._db.execute("select calls, tokens, money from spent where account = ?",
                                   (account,)).fetchone()  # fmt: skip
        return Spending(*row) if row else Spending()

    def summary(self) -> "Summary":
        """What is in the ledger, and how many of its answers are as they were written."""
        query = self._db.execute
        with self._readable():
            accounts = {
                name: Spending(*rest)
                for name, *rest in query(
                    "select account, calls, tokens, money from spent order by account"
                )
            }
            models = dict(query("select model, count(*) from call group by model order by model"))
            failures = dict(query("select cause, count(*) from failure group by cause"))
            aside = {table: query(f"select count(*) from {table}").fetchone()[0]  # noqa: S608
                     for table in ("replaced", "damaged")}  # fmt: skip
            wrong = sum(_checksum(key, text) != checksum for key, text, checksum in
                        query("select key, answer, checksum from call"))  # fmt: skip
        return Summary(accounts, models, failures, aside["replaced"], aside["damaged"], wrong)

    def close(self) -> None:
        """Close the file."""
        with alone(self.path.parent):
            self._db.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def _rows(self, columns: str, table: str, keys: Iterable[str], since: float, more: str = "true"
              ) -> Iterator[tuple[str, str, str]]:  # fmt: skip
        for marks, chunk in marked(keys):
            query = f"select {columns} from {table} where key in ({marks}) and at >= ? and {more}"  # noqa: S608
            yield from self._db.execute(query, (*chunk, since))

    def _move(self, table: str, keys: Iterable[str], before: float) -> None:
        for marks, chunk in marked(keys):
            where = f"where key in ({marks}) and at < ?"
            self._db.execute(f"insert into {table} select * from call {where}", (*chunk, before))  # noqa: S608
            self._db.execute(f"delete from call {where}", (*chunk, before))  # noqa: S608

    def _insert(self, into: str, rows: Sequence[tuple[object, ...]], also: str = ""
                ) -> None:  # fmt: skip
        """Many rows a statement: each statement gives the interpreter to other threads."""
        for start in range(0, len(rows), _ROWS):
            chunk = rows[start : start + _ROWS]
            marks = f"({','.join('?' * len(chunk[0]))})"
            self._db.execute(f"{into} values {','.join([marks] * len(chunk))} {also}",
                             [value for row in chunk for value in row])  # fmt: skip

    def _forget_failures(self, keys: Sequence[str]) -> None:
        if self._db.execute("select 1 from failure limit 1").fetchone():
            self._db.executemany("delete from failure where key = ?", [(key,) for key in keys])

    def _spend(self, account: str, parts: Iterable[Spending]) -> None:
        total = Spending()
        for part in parts:
            total = total.plus(part)
        self._db.execute(
            "insert into spent values (?,?,?,?) on conflict (account) do update set calls = calls "
            "+ excluded.calls, tokens = tokens + excluded.tokens, money = money + excluded.money",
            (account, *total),
        )

    def _readable(self) -> contextlib.AbstractContextManager[None]:
        return readable(self.path, "a call ledger (SQLite) that can be used",
                        "move it away: its answers will be asked for again")  # fmt: skip


def stored_answers(folder: Path, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that have an answer; makes no ledger where there is none."""
    if not (folder / LEDGER_FILE).is_file():
        return set()
    with Ledger(folder) as ledger:
        return set(ledger.get(keys))


def given_up(cause: str, detail: str) -> Answer:
    """The answer to a prompt that gets none."""
    if cause == Cause.REFUSED.value:
        return Answer(None, f"the server refused it: {detail}")
    return Answer(None, f"no answer in {GIVEN_UP} runs, last: {cause}: {detail}")


def _row(item: Ended, answer: Answer, payer: Payer, now: float) -> tuple[object, ...]:
    text = json.dumps(answer._asdict())
    return (item.key, text, _checksum(item.key, text), payer.account, payer.model,
            answer.prompt_tokens, answer.tokens, item.spending.money, item.spending.calls,
            now)  # fmt: skip


def _checksum(key: str, text: str) -> str:
    return sha256_text(f"{key}\n{text}")
