"""Who is asked what, and why."""

from typing import Any

import polars as pl
import pytest
from tests.annotation.made import AT, decision, example, item

from whyguard.annotation.deciding.queue import QueueEntry, Why, adjudication_queue
from whyguard.annotation.questions import Q
from whyguard.core.schemas import Decision, Review, ReviewItem
from whyguard.core.tables import Row, frame


def review(of: Row, asked: str, who: str, value: str, **changes: Any) -> Row:
    return {"item_id": of["item_id"], "question": asked, "annotator": who, "adjudicator": False,
            "value": value, "submitted_at": AT, "had_suggestion": False, "blind": True,
            "guideline_version": "v1"} | changes  # fmt: skip


ITEMS = [item(example(n), "blind") for n in range(6)]


def queue(decisions: list[Row], reviews: list[Row] | None = None, floor: float | None = None,
          items: list[Row] = ITEMS) -> list[QueueEntry]:  # fmt: skip
    return adjudication_queue(frame(ReviewItem, items), frame(Review, reviews or []),
                              frame(Decision, decisions), floor)  # fmt: skip


def verdicts(*pairs: str) -> list[Row]:
    """Two verdicts an item: `hu` is one of each."""
    names = {"h": "harmful", "u": "unharmful"}
    return [review(of, Q.VERDICT, who, names[letter])
            for of, pair in zip(ITEMS, pairs, strict=False)
            for who, letter in zip(("p1", "p2", "p3"), pair, strict=False)]  # fmt: skip


def test_ties_and_spreads_are_asked_and_nothing_else() -> None:
    rated = item(example(1), "rationale")
    decisions = [
        decision(ITEMS[0], Q.VERDICT, None, "tie"),
        decision(ITEMS[1], Q.VERDICT, "harmful", "unanimous"),
        decision(ITEMS[2], Q.VERDICT, "harmful", "majority"),
        decision(ITEMS[3], Q.VERDICT, None, "too_few"),
        decision(ITEMS[4], Q.VERDICT, "harmful", "adjudicated"),
        decision(rated, Q.TRANSLATION_ADEQUACY, None, "spread"),
        decision(rated, Q.NOTE, None, "tie"),
    ]
    assert queue(decisions, items=[*ITEMS, rated]) == [
        QueueEntry("ast_Latn", ITEMS[0]["item_id"], Q.VERDICT, Why.TIE),
        QueueEntry("ast_Latn", rated["item_id"], Q.TRANSLATION_ADEQUACY, Why.SPREAD),
    ]


def test_an_unsure_annotator_is_named_as_the_reason() -> None:
    decisions = [decision(of, Q.VERDICT, None, "tie") for of in ITEMS[:3]]
    said = [review(ITEMS[0], Q.UNSURE, "p1", "no"), review(ITEMS[1], Q.UNSURE, "p1", "yes"),
            review(ITEMS[2], Q.UNSURE, "chief", "yes", adjudicator=True)]  # fmt: skip
    assert [(entry.item_id, entry.why) for entry in queue(decisions, said)] == [
        (ITEMS[0]["item_id"], Why.TIE), (ITEMS[2]["item_id"], Why.TIE),
        (ITEMS[1]["item_id"], Why.UNSURE),
    ]  # fmt: skip


def test_below_the_floor_a_majority_is_asked_again() -> None:
    said = verdicts("hhu", "uuh", "hhh", "uuu", "hhu", "uuh")
    rules = ["majority", "majority", "unanimous", "unanimous", "majority", "adjudicated"]
    decisions = [decision(of, Q.VERDICT, "harmful", rule)
                 for of, rule in zip(ITEMS, rules, strict=True)]  # fmt: skip
    assert queue(decisions, said) == []
    # 9 harmful, 9 unharmful; each of the 4 mixed items adds 2 to the observed disagreement
    alpha = 1 - 8 / (2 * 81 / 17)
    found = queue(decisions, said, floor=0.5)
    assert [entry.item_id for entry in found] == [ITEMS[i]["item_id"] for i in (0, 1, 4)]
    assert {entry.why for entry in found} == {Why.LOW_AGREEMENT}
    assert found[0].alpha == pytest.approx(alpha, abs=1e-12)
    assert queue(decisions, said, floor=alpha - 0.01) == []


def test_the_floor_looks_at_each_language_alone() -> None:
    bengali = item(example(9, language="ben_Beng"), "blind")
    said = [*verdicts("hu", "uh", "hh", "uu"), review(bengali, Q.VERDICT, "b1", "harmful"),
            review(bengali, Q.VERDICT, "b2", "harmful")]  # fmt: skip
    decisions = [decision(bengali, Q.VERDICT, "harmful", "majority"),
                 decision(ITEMS[0], Q.VERDICT, "harmful", "majority")]  # fmt: skip
    found = queue(decisions, said, floor=0.9, items=[*ITEMS, bengali])
    assert [entry.language for entry in found] == ["ast_Latn"]  # Bengali's alpha is undefined


def test_decisions_on_other_items_are_left_aside() -> None:
    assert queue([decision(ITEMS[5], Q.VERDICT, None, "tie")], items=ITEMS[:2]) == []


def test_the_queue_is_a_table_for_any_order_of_decisions() -> None:
    decisions = [decision(of, Q.VERDICT, None, "tie") for of in ITEMS]
    assert queue(decisions) == queue(decisions[::-1])
    assert pl.DataFrame(queue(decisions)).height == len(ITEMS)
