"""Sheets: what is shown of an item, and what never is."""

from typing import Any

import polars as pl
from tests.annotation.made import example, item

from whyguard.annotation.questions import BLIND, RATIONALE
from whyguard.annotation.sheets import (
    Contested,
    Wording,
    adjudication_sheets,
    said,
    suggestions,
    work_sheets,
)
from whyguard.annotation.views.base import Sheet
from whyguard.core.schemas import ReviewItem
from whyguard.core.tables import Row, frame


def guide(kind: str, language: str) -> Wording:
    return Wording(f"{kind} in {language}", "v1")


def sheets(*rows: Row) -> dict[str, Sheet]:
    return {sheet.name: sheet for sheet in work_sheets("made", frame(ReviewItem, rows), guide)}


def test_one_sheet_a_language_kind_and_number_of_answers() -> None:
    one, two = example(1), example(2, language="ben_Beng")
    found = sheets(item(one), item(one, "blind"), item(two), item(example(3), wanted=2))
    assert list(found) == ["made-ast_Latn-rationale", "made-ast_Latn-rationale-x2",
                           "made-ben_Beng-rationale", "made-ast_Latn-blind"]  # fmt: skip
    blind = found["made-ast_Latn-blind"]
    assert (blind.space, blind.wanted, blind.questions) == ("ast_Latn", 2, BLIND)
    assert found["made-ben_Beng-rationale"].questions == RATIONALE
    assert blind.guidelines == "blind in ast_Latn" and blind.guideline_version == "v1"


def test_a_blind_item_shows_the_prompt_and_gives_nothing_away() -> None:
    row = example()
    # even if an item of this kind carried more than it should
    full = item(row, "blind", suggest=True, rationale="why", think="trace", source_text="source",
                reason="round_trip_chrf 12", gold="harmful", purpose="gold", pool=7)  # fmt: skip
    (shown,) = sheets(full)["made-ast_Latn-blind"].items
    assert shown.fields == {"prompt": row["text"]}
    assert shown.metadata == {"round": 1} and shown.suggestions == ()
    assert "harmful" not in repr(shown) and "gold" not in repr(shown)


def test_a_rationale_item_shows_its_fields_and_why_it_was_chosen() -> None:
    sheet = sheets(item(example()))["made-ast_Latn-rationale"]
    (shown,) = sheet.items
    assert list(shown.fields) == ["source", "prompt", "rationale", "trace"]
    assert shown.metadata == {"round": 1, "purpose": "work", "reason": "numbers_kept 0.5",
                              "risk": 0.25}  # fmt: skip
    folded = {field.name: field.folded for field in sheet.fields}
    assert folded == {"source": False, "prompt": False, "rationale": False, "trace": True}
    assert [field.name for field in sheet.fields if field.required] == ["prompt"]


def test_fields_without_text_are_left_out() -> None:
    (shown,) = sheets(item(example(harmful=False), source_text=None, think=None))[
        "made-ast_Latn-rationale"].items  # fmt: skip
    assert list(shown.fields) == ["prompt"]


def test_right_to_left_follows_the_language_of_the_field() -> None:
    sheet = sheets(item(example(language="urd_Arab")))["made-urd_Arab-rationale"]
    assert {f.name: f.right_to_left for f in sheet.fields} == {
        "source": False, "prompt": True, "rationale": True, "trace": False}  # fmt: skip


def test_suggestions_only_where_they_are_allowed() -> None:
    found = suggestions(frame(ReviewItem, [item(example())]).row(0, named=True))
    assert [(s.question, s.agent, s.score) for s in found] == [
        ("corrected_translation", "apertium", 0.75),
        ("corrected_rationale", "authored", 0.75),
    ]

    def none(**changes: Any) -> bool:
        return suggestions(item(example(), **changes)) == ()

    assert none(suggest=False) and none(kind="blind")
    (only,) = suggestions(item(example(harmful=False), risk=None))
    assert (only.question, only.score) == ("corrected_translation", None)


def test_adjudicators_have_a_space_of_their_own_and_no_names() -> None:
    rows = frame(ReviewItem, [item(example(1), "blind"), item(example(2), "blind")])
    text = said([("verdict", "unharmful"), ("verdict", "harmful")])
    contested = [Contested(rows["item_id"][0], ("verdict",), text)]
    (sheet,) = adjudication_sheets("made", rows, contested, guide)
    assert (sheet.name, sheet.space) == ("made-ast_Latn-blind-adjudicate", "adjudicate-ast_Latn")
    assert sheet.wanted == 1 and sheet.guidelines == "adjudicate in ast_Latn"
    (shown,) = sheet.items
    assert shown.fields["answers"] == "To settle: verdict\nverdict: harmful\nverdict: unharmful"
    assert pl.Series([shown.item_id]).is_in(rows["item_id"].implode()).all()
