"""What people answered, as it was pulled: events that are only ever added to.

A view hands over the answers that stand in it now. The store compares them with what it knew and
writes what changed since: given, changed, withdrawn. What stands now is the last event of each
answer, and what was once said is never lost.
"""

import contextlib
import datetime
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from whyguard.annotation.views.base import Given
from whyguard.core.errors import ArtefactError, fail
from whyguard.generation.calls.databases import alone, connect, readable, writing

_FORMAT = 1
_TABLES = f"""
create table if not exists event (seq integer primary key, what text not null,
    item_id text not null, question text not null, annotator text not null,
    adjudicator integer not null, value text, submitted_at text not null, begun_at text not null,
    guideline_version text not null, place text not null, pulled_at text not null);
create index if not exists event_key on event (item_id, question, annotator, adjudicator);
pragma user_version = {_FORMAT};
"""
_STANDING = """select e.item_id, e.question, e.annotator, e.adjudicator, e.value, e.submitted_at,
    e.guideline_version, e.place from event e join (select max(seq) as last from event
    group by item_id, question, annotator, adjudicator) on e.seq = last
    where e.what != 'withdrawn' order by e.item_id, e.question, e.annotator, e.adjudicator"""
_INSERT = """insert into event (what, item_id, question, annotator, adjudicator, value,
    submitted_at, begun_at, guideline_version, place, pulled_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_BEGUN = """select item_id, annotator, adjudicator, min(begun_at) from event
    group by item_id, annotator, adjudicator"""


class Standing(NamedTuple):
    """One answer that stands now."""

    item_id: str
    question: str
    annotator: str
    adjudicator: bool
    value: str
    submitted_at: datetime.datetime
    guideline_version: str
    place: str
    """Where it stands: see `views.base.Pulled.places`."""

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What an answer is an answer to, and whose."""
        return self.item_id, self.question, self.annotator, self.adjudicator


class Begun(NamedTuple):
    """When somebody first answered an item, as annotator or adjudicator."""

    item_id: str
    annotator: str
    adjudicator: bool
    at: datetime.datetime


class Sheetful(NamedTuple):
    """What was read of one sheet: which items it covers, and every answer that stands in it."""

    place: str
    items: Collection[str]
    adjudicator: bool
    guideline_version: str
    given: Sequence[Given]


class Changes(NamedTuple):
    """What one pull brought."""

    given: int = 0
    changed: int = 0
    withdrawn: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class AnswerStore:
    """The answers of one campaign: an SQLite file, written with full synchronisation.

    Raises:
        ArtefactError: the file is damaged, or of a later format.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "answers.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        with self._readable(), alone(folder), self._connected() as db:
            version = db.execute("pragma user_version").fetchone()[0]
            if version > _FORMAT:
                fail(ArtefactError, where=str(self._path), expected=f"format {_FORMAT} or older",
                     found=f"format {version}", do="use the whyguard that wrote it")  # fmt: skip
            db.executescript(_TABLES)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(connect(self._path, "full")) as db:
            yield db

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        with readable(self._path, "the answers of a campaign",
                      "put your copy of the workspace's review folder in its place"):  # fmt: skip
            yield

    def standing(self) -> list[Standing]:
        """The answers that stand now, sorted by item, question and annotator."""
        with self._readable(), self._connected() as db:
            rows = db.execute(_STANDING).fetchall()
        return [Standing(r[0], r[1], r[2], bool(r[3]), r[4], _time(r[5]), r[6], r[7]) for r in rows]

    def begun(self) -> list[Begun]:
        """When each person first answered each item, whatever became of that answer since."""
        with self._readable(), self._connected() as db:
            rows = db.execute(_BEGUN).fetchall()
        return [Begun(row[0], row[1], bool(row[2]), _time(row[3])) for row in rows]

    def take(self, sheets: Sequence[Sheetful], now: datetime.datetime | None = None) -> Changes:
        """Write what changed since the last pull, in one transaction.

        An answer that stood for an item of these sheets in the same place and is no longer there
        counts as withdrawn. Answers to other items, and those that came from another place (another
        folder, a dataset that was deleted and made anew), are left as they are. Of two places that
        one person answered in, the later answer stands. An answer whose value is as it was keeps
        its time: views date a whole form anew when one box of it changes.
        """
        at = _text(now or datetime.datetime.now(datetime.UTC))
        with self._readable(), self._connected() as db, writing(db):
            known = {row[:4]: row for row in db.execute(_STANDING).fetchall()}
            events = [event for sheet in sheets for event in _events(sheet, known, at)]
            db.executemany(_INSERT, events)
        kinds = [event[0] for event in events]
        return Changes(*(kinds.count(what) for what in ("given", "changed", "withdrawn")))

    def history(self) -> list[tuple[str, ...]]:
        """Every event, oldest first: what, item, question, annotator, when it was pulled."""
        query = "select what, item_id, question, annotator, pulled_at from event order by seq"
        with self._readable(), self._connected() as db:
            return [tuple(row) for row in db.execute(query).fetchall()]


_Row = tuple[str | int | None, ...]


def _events(sheet: Sheetful, known: dict[_Row, _Row], at: str) -> Iterator[_Row]:
    """What changed in one sheet."""
    role = int(sheet.adjudicator)
    items = set(sheet.items)
    seen = set()
    for answer in sheet.given:
        key: _Row = (answer.item_id, answer.question, answer.annotator, role)
        seen.add(key)
        old = known.get(key)
        event = _event(key, answer, old, sheet, at)
        if event is not None:
            yield event
    for key, old in known.items():
        mine = key[0] in items and key[3] == role and old[7] == sheet.place
        if mine and key not in seen:
            yield ("withdrawn", *key, None, old[5], old[5], old[6], sheet.place, at)


def _event(key: _Row, answer: Given, old: _Row | None, sheet: Sheetful, at: str) -> _Row | None:
    """What an answer that stands adds to what was known; None where that is nothing."""
    when = _text(answer.submitted_at)
    begun = min(when, _text(answer.begun_at or answer.submitted_at))
    if old is None:
        return ("given", *key, answer.value, when, begun, sheet.guideline_version, sheet.place, at)
    same, here = old[4] == answer.value, old[7] == sheet.place
    if (same and here) or (not here and str(old[5]) > when):
        return None
    return ("changed", *key, answer.value, old[5] if same else when, begun,
            sheet.guideline_version, sheet.place, at)  # fmt: skip


def _text(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
