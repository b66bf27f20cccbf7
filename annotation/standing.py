"""How far a campaign is: by language and person, the pace, and the minutes that are left."""

import datetime
import itertools
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from whyguard.core.tables import Row

PAUSE_SECONDS = 600.0
"""A longer gap between two answers is a pause, not work on an item."""


class SheetStanding(NamedTuple):
    """One language and kind of review. `given` counts wanted answers only, each item's extra ones
    left out; `minutes_left` is None until somebody's pace is known."""

    language: str
    kind: str
    items: int
    complete: int
    wanted: int
    given: int
    seconds: float | None
    """Median seconds an item."""
    minutes_left: float | None


class PersonStanding(NamedTuple):
    """One person in one language."""

    annotator: str
    language: str
    items: int
    today: int
    seconds: float | None
    """Median seconds an item; None where fewer than two were answered without a pause."""


class _Done(NamedTuple):
    """One item that one person answered."""

    annotator: str
    at: datetime.datetime
    item: Row


def _done(items: pl.DataFrame, reviews: pl.DataFrame) -> list[_Done]:
    known = {row["item_id"]: row for row in items.to_dicts()}
    latest = (
        reviews.filter(~pl.col("adjudicator"))
        .group_by("item_id", "annotator")
        .agg(pl.col("submitted_at").max())
        .sort("annotator", "submitted_at", "item_id")
    )
    return [_Done(who, at, known[item]) for item, who, at in latest.iter_rows() if item in known]


def paces(done: Sequence[_Done]) -> dict[tuple[str, str, str], list[float]]:
    """Seconds between one person's submissions, by person, language and kind; pauses left out.

    Argilla does not say when an item was opened: the time since the last submission stands for it.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    for before, after in itertools.pairwise(done):
        seconds = (after.at - before.at).total_seconds()
        if before.annotator == after.annotator and 0 < seconds <= PAUSE_SECONDS:
            key = (after.annotator, after.item["language"], after.item["kind"])
            found.setdefault(key, []).append(seconds)
    return found


def by_sheet(items: pl.DataFrame, reviews: pl.DataFrame) -> list[SheetStanding]:
    """Progress by language and kind."""
    done = _done(items, reviews)
    counts: dict[str, int] = {}
    for entry in done:
        counts[entry.item["item_id"]] = counts.get(entry.item["item_id"], 0) + 1
    pace = paces(done)
    sheets = []
    for part in items.sort("language", "kind").partition_by("language", "kind",
                                                            maintain_order=True):  # fmt: skip
        rows = part.to_dicts()
        language, kind = rows[0]["language"], rows[0]["kind"]
        times = [s for key, found in pace.items() if key[1:] == (language, kind) for s in found]
        sheets.append(_sheet(rows, counts, _median(times), language, kind))
    return sheets


def _sheet(rows: Sequence[Row], counts: dict[str, int], seconds: float | None, language: str,
           kind: str) -> SheetStanding:  # fmt: skip
    wanted = sum(row["wanted"] for row in rows)
    given = sum(min(row["wanted"], counts.get(row["item_id"], 0)) for row in rows)
    complete = sum(counts.get(row["item_id"], 0) >= row["wanted"] for row in rows)
    left = None if seconds is None else (wanted - given) * seconds / 60.0
    return SheetStanding(language, kind, len(rows), complete, wanted, given, seconds,
                         0.0 if given == wanted else left)  # fmt: skip


def by_person(items: pl.DataFrame, reviews: pl.DataFrame,
              now: datetime.datetime) -> list[PersonStanding]:  # fmt: skip
    """Progress by person and language; a day begins at 00:00 UTC, as caps count it."""
    done = _done(items, reviews)
    pace = paces(done)
    day = now.astimezone(datetime.UTC).date()
    people = []
    for who, language in sorted({(entry.annotator, entry.item["language"]) for entry in done}):
        own = [e for e in done if (e.annotator, e.item["language"]) == (who, language)]
        times = [s for key, found in pace.items() if key[:2] == (who, language) for s in found]
        today = sum(entry.at.astimezone(datetime.UTC).date() == day for entry in own)
        people.append(PersonStanding(who, language, len(own), today, _median(times)))
    return people


def _median(times: Sequence[float]) -> float | None:
    return statistics.median(times) if times else None
