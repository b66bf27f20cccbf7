"""The answers that stand, as `Review` rows: what was offered with them, and whether blind."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from whyguard.annotation.campaign import SNAPSHOT, Campaign
from whyguard.annotation.people import People
from whyguard.annotation.questions import Q
from whyguard.annotation.sheets import suggestions
from whyguard.annotation.store import Begun, Standing
from whyguard.core.drafts import replacing
from whyguard.core.schemas import Review
from whyguard.core.tables import Row, frame
from whyguard.core.values import ReviewKind

_Seen = dict[tuple[str, str], datetime.datetime]
"""When each person first saw what a machine or others said of an example."""


def current_reviews(campaign: Campaign) -> pl.DataFrame:
    """Review rows of the answers that stand now, without those that people took out for good."""
    people = {person.pseudonym: person for person in People(campaign.folder.parent).all()}
    store = campaign.store

    def kept(answer: Standing) -> bool:
        person = people.get(answer.annotator)
        return person is None or not person.takes_out(answer.submitted_at)

    return review_rows([a for a in store.standing() if kept(a)], store.begun(), campaign.items())


def review_rows(standing: Sequence[Standing], begun: Sequence[Begun],
                items: pl.DataFrame) -> pl.DataFrame:  # fmt: skip
    """Review rows of the answers to these items, sorted by item, question and annotator.

    Args:
        standing: the answers that stand (`AnswerStore.standing`).
        begun: when who first answered which item (`AnswerStore.begun`): an edit moves the time of
            an answer, and a withdrawal takes it away, but neither undoes what was seen.
        items: rows of `core.schemas.ReviewItem`.

    An answer is blind where its item's sheet showed the prompt alone, and its annotator had not
    seen more of the same row before: neither its rationale sheet, which states the verdict, nor, as
    an adjudicator, what others had said. Adjudicators' own answers are never blind.
    """
    known = {row["item_id"]: row for row in items.to_dicts()}
    answers = [answer for answer in standing if answer.item_id in known]
    seen = _seen(begun)
    rows = [_row(answer, known[answer.item_id], seen) for answer in answers]
    return frame(Review, sorted(rows, key=_order))


def not_blind(reviews: pl.DataFrame) -> int:
    """How many annotators' verdicts do not count, because more was seen before."""
    verdicts = (pl.col("question") == Q.VERDICT.value) & ~pl.col("adjudicator")
    return reviews.filter(verdicts & ~pl.col("blind")).height


def _order(row: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    return row["item_id"], row["question"], row["annotator"], row["adjudicator"]


def _seen(begun: Sequence[Begun]) -> _Seen:
    """By example and person. Ids tell the example and the kind of items of earlier rounds too."""
    seen: _Seen = {}
    for entry in begun:
        example, kind, _ = entry.item_id.rsplit("#", 2)
        if kind == ReviewKind.RATIONALE or entry.adjudicator:
            key = (example, entry.annotator)
            seen[key] = min(seen.get(key, entry.at), entry.at)
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
    rows = current_reviews(campaign)
    path = campaign.folder / SNAPSHOT
    stands = pl.read_parquet(path) if path.is_file() else rows.clear()
    if stands.equals(rows):
        return path
    with replacing(path) as draft:
        rows.write_parquet(draft)
    return path
