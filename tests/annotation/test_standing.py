"""Progress, pace and minutes left."""

import datetime

import pytest
from tests.annotation.made import AT, example, item

from whyguard.annotation.standing import by_person, by_sheet
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.tables import Row, frame

BLIND = [item(example(n), "blind", suggest=False) for n in range(6)]
RATED = [item(example(n)) for n in range(2)]
ITEMS = frame(ReviewItem, [*BLIND, *RATED])


def said(of: Row, who: str, seconds: float, question: str = "verdict", *,
         adjudicator: bool = False) -> Row:  # fmt: skip
    return {"item_id": of["item_id"], "question": question, "annotator": who,
            "adjudicator": adjudicator, "value": "x", "blind": True, "had_suggestion": False,
            "submitted_at": AT + datetime.timedelta(seconds=seconds),
            "guideline_version": "v"}  # fmt: skip


REVIEWS = frame(Review, [
    # a: 20 s, 30 s, a pause, 40 s; b: one item; the adjudicator is no annotator
    said(BLIND[0], "a", 0), said(BLIND[0], "a", 0, "unsure"), said(BLIND[1], "a", 20),
    said(BLIND[2], "a", 50), said(BLIND[3], "a", 5000), said(BLIND[4], "a", 5040),
    said(BLIND[0], "b", 7), said(BLIND[5], "judge", 1, adjudicator=True),
])  # fmt: skip


def test_progress_pace_and_minutes_left_by_language_and_kind() -> None:
    blind, rated = by_sheet(ITEMS, REVIEWS)
    assert blind[:6] == ("ast_Latn", "blind", 6, 1, 12, 6)
    assert blind.seconds == 30.0 and blind.minutes_left == pytest.approx(6 * 30 / 60)
    assert rated == ("ast_Latn", "rationale", 2, 0, 2, 0, None, None)


def test_extra_answers_are_not_progress() -> None:
    extra = frame(Review, [said(BLIND[0], who, 0) for who in "abc"])
    blind, _ = by_sheet(frame(ReviewItem, [BLIND[0], RATED[0]]), extra)
    assert (blind.complete, blind.wanted, blind.given, blind.minutes_left) == (1, 2, 2, 0.0)


def test_people_by_pseudonym_with_what_they_did_today() -> None:
    people = by_person(ITEMS, REVIEWS, AT + datetime.timedelta(hours=1))
    assert [(p.annotator, p.items, p.today, p.seconds) for p in people] == [
        ("a", 5, 5, 30.0), ("b", 1, 1, None)]  # fmt: skip
    tomorrow = by_person(ITEMS, REVIEWS, AT + datetime.timedelta(days=1))
    assert [p.today for p in tomorrow] == [0, 0]
