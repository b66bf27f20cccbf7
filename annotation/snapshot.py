"""The answers that stand, as `Review` rows: what was offered with them, and whether blind."""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from whyguard.annotation.campaign import SNAPSHOT, Campaign
from whyguard.annotation.sheets import suggestions
from whyguard.annotation.store import Standing
from whyguard.core.schemas import Review
from whyguard.core.tables import Row, frame
from whyguard.core.values import ReviewKind

_Seen = dict[tuple[str, str], datetime.datetime]
"""When each annotator first answered the rationale item of an example, or an item."""


def review_rows(standing: Sequence[Standing], begun: _Seen, items: pl.DataFrame) -> pl.DataFrame:
    """Review rows of the answers to these items, sorted by item, question and annotator.

    Args:
        standing: the answers that stand (`AnswerStore.standing`).
        begun: when who first answered which item (`AnswerStore.begun`): an edit moves the time of
            an answer, and a withdrawal takes it away, but neither undoes what was seen.
        items: rows of `core.schemas.ReviewItem`.

    An answer is blind where its item's sheet showed the prompt alone, and its annotator had not
    answered the rationale sheet of the same row before: a rationale states the verdict.
    Adjudicators see what others said: theirs are never blind.
    """
    known = {row["item_id"]: row for row in items.to_dicts()}
    answers = [answer for answer in standing if answer.item_id in known]
    seen = _seen_rationales(begun, known)
    rows = [_row(answer, known[answer.item_id], seen) for answer in answers]
    return frame(Review, sorted(rows, key=_order))


def _order(row: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    return row["item_id"], row["question"], row["annotator"], row["adjudicator"]


def _seen_rationales(begun: _Seen, known: dict[str, Row]) -> _Seen:
    """When each annotator first answered a rationale item of an example."""
    seen: _Seen = {}
    for (item_id, annotator), at in begun.items():
        item = known.get(item_id)
        if item is not None and item["kind"] == ReviewKind.RATIONALE:
            key = (item["example_id"], annotator)
            seen[key] = min(seen.get(key, at), at)
    return seen


def _row(answer: Standing, item: Row, seen: _Seen) -> Row:
    offered = {suggestion.question for suggestion in suggestions(item)}
    first = seen.get((item["example_id"], answer.annotator))
    unseen = first is None or answer.submitted_at < first
    blind = item["kind"] == ReviewKind.BLIND and not answer.adjudicator and unseen
    return {
        "item_id": answer.item_id, "question": answer.question, "annotator": answer.annotator,
        "adjudicator": answer.adjudicator, "value": answer.value,
        "submitted_at": answer.submitted_at,
        "had_suggestion": answer.question in offered and not answer.adjudicator,
        "blind": blind, "guideline_version": answer.guideline_version,
    }  # fmt: skip


def write_snapshot(campaign: Campaign) -> Path:
    """Write the answers that stand for the step `annotation.answers`; nothing if nothing is new.

    The file takes its old one's place at once, so that a run beside it reads one or the other.
    """
    store = campaign.store
    rows = review_rows(store.standing(), store.begun(), campaign.items())
    path = campaign.folder / SNAPSHOT
    stands = pl.read_parquet(path) if path.is_file() else rows.clear()
    if stands.equals(rows):
        return path
    draft = campaign.folder / f".{SNAPSHOT}.{os.getpid()}"
    rows.write_parquet(draft)
    draft.replace(path)
    return path
