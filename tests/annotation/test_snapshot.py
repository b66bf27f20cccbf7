"""Answers that stand as Review rows: suggestions, blindness, and the file the recipe reads."""

import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.annotation.made import AT, example, item

from whyguard.annotation.campaign import Campaign
from whyguard.annotation.snapshot import not_blind, review_rows, write_snapshot
from whyguard.annotation.store import Begun, Sheetful, Standing
from whyguard.annotation.views.base import Given
from whyguard.core.schemas import ReviewItem
from whyguard.core.tables import Row, frame

ROW = example()
BLIND, RATED = item(ROW, "blind", suggest=False), item(ROW)
ITEMS = frame(ReviewItem, [BLIND, RATED])


def stands(of: Row, question: str, who: str = "ast-1", minutes: int = 0, *,
           adjudicator: bool = False) -> Standing:  # fmt: skip
    at = AT + datetime.timedelta(minutes=minutes)
    return Standing(of["item_id"], question, who, adjudicator, "x", at, "v", "argilla")


def rows_of(
    standing: list[Standing],
    items: pl.DataFrame = ITEMS,
    begun: tuple[Begun, ...] = (),
) -> pl.DataFrame:
    first = [Begun(a.item_id, a.annotator, a.adjudicator, a.submitted_at) for a in standing]
    return review_rows(standing, [*first, *begun], items)


def test_an_answer_after_the_rationale_was_seen_is_not_blind() -> None:
    rows = rows_of([
        stands(BLIND, "verdict", "before", 0), stands(RATED, "translation_adequacy", "before", 5),
        stands(RATED, "translation_adequacy", "after", 0), stands(BLIND, "verdict", "after", 5),
        stands(BLIND, "verdict", "never", 9),
        stands(BLIND, "verdict", "judge", 9, adjudicator=True),
    ])  # fmt: skip
    verdicts = rows.filter(pl.col("question") == "verdict")
    assert dict(verdicts.select("annotator", "blind").iter_rows()) == {
        "before": True, "after": False, "never": True, "judge": False}  # fmt: skip
    assert not rows.filter(pl.col("question") != "verdict")["blind"].any()


def test_neither_an_edit_nor_a_withdrawal_undoes_what_was_seen() -> None:
    verdict = stands(BLIND, "verdict", "a", 5)
    later = stands(RATED, "translation_adequacy", "a", 9)
    first = (Begun(RATED["item_id"], "a", False, AT),)
    assert rows_of([verdict, later]).filter(pl.col("question") == "verdict")["blind"].all()
    edited = rows_of([verdict, later], begun=first)
    assert not edited.filter(pl.col("question") == "verdict")["blind"].any()
    assert not rows_of([verdict], begun=first)["blind"].any(), "withdrawn since"


@pytest.mark.parametrize("before", [
    Begun(BLIND["item_id"], "a", True, AT), Begun(RATED["item_id"], "a", True, AT),
    Begun(f"{ROW['example_id']}#rationale#old", "a", False, AT),
])  # fmt: skip
def test_settling_for_others_and_earlier_rounds_count_as_seen(before: Begun) -> None:
    rows = rows_of([stands(BLIND, "verdict", "a", 5), stands(BLIND, "verdict", "b", 5)],
                   begun=(before,))  # fmt: skip
    assert dict(rows.select("annotator", "blind").iter_rows()) == {"a": False, "b": True}
    assert not_blind(rows) == 1


def test_what_was_offered_is_known() -> None:
    questions = ("corrected_translation", "corrected_rationale", "translation_adequacy", "note")
    rows = rows_of([stands(RATED, question) for question in questions])
    offered = dict(rows.select("question", "had_suggestion").iter_rows())
    assert offered == {"corrected_translation": True, "corrected_rationale": True,
                       "translation_adequacy": False, "note": False}  # fmt: skip
    bare = frame(ReviewItem, [RATED | {"suggest": False}])
    assert not rows_of([stands(RATED, q) for q in questions], bare)["had_suggestion"].any()


def test_answers_to_items_that_are_no_longer_wanted_stay_in_the_store_only() -> None:
    assert rows_of([stands(BLIND, "verdict")], frame(ReviewItem, [RATED])).height == 0


def test_a_snapshot_is_rewritten_only_when_something_changed(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "review" / "made")
    campaign.put_items("route-1", ITEMS)
    answer = Given(BLIND["item_id"], "verdict", "ast-1", "harmful", AT)
    sheet = Sheetful("argilla", [BLIND["item_id"]], False, "v", [answer])
    campaign.store.take([sheet])
    path = write_snapshot(campaign)
    first = path.stat().st_mtime_ns
    assert pl.read_parquet(path).height == 1
    assert write_snapshot(campaign).stat().st_mtime_ns == first
    campaign.store.take([Sheetful("argilla", [BLIND["item_id"]], False, "v", [])])
    write_snapshot(campaign)
    assert pl.read_parquet(path).height == 0
