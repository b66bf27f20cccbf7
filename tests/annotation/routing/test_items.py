"""Items: an id that holds what is shown, sources, and what is never shown."""

import pytest
from tests.annotation.made import example

from whyguard.annotation.routing.items import (
    Source,
    Why,
    blind_item,
    item_ids,
    rationale_item,
    releasable,
    sources_of,
)
from whyguard.core.schemas import ReviewItem
from whyguard.core.tables import Row, frame
from whyguard.core.values import Purpose

WHY = Why(Purpose.WORK, 1, risk=0.4, reason="numbers_kept 0.5", weight=1.0)
SOURCE = Source("eng_Latn", "a source")


def rationale(row: Row, source: Source | None = SOURCE, why: Why = WHY) -> Row:
    return rationale_item(row, source, why, 1, suggest=True)


def test_a_rationale_item_holds_all_that_is_rated() -> None:
    row = example(1)
    item = frame(ReviewItem, [rationale(row)]).to_dicts()[0]
    assert item["item_id"].startswith("made:001-h:ast_Latn#rationale#")
    assert len(item["item_id"].rpartition("#")[2]) == 8
    assert (item["source_language"], item["source_text"]) == ("eng_Latn", "a source")
    assert item["rationale"] == row["explanation"] and item["think"] == row["think"]
    assert item["rationale_generator"] == "authored" and item["suggest"]
    assert (item["risk"], item["reason"], item["weight"]) == (0.4, "numbers_kept 0.5", 1.0)


def test_a_blind_item_gives_nothing_away() -> None:
    item = frame(ReviewItem, [blind_item(example(1), WHY, 2)]).to_dicts()[0]
    hidden = ("source_language", "source_text", "rationale", "think", "risk", "rationale_generator")
    assert all(item[name] is None for name in hidden)
    assert item["reason"] == "" and not item["suggest"] and item["wanted"] == 2
    assert item["text"] == example(1)["text"]


@pytest.mark.parametrize(("change", "blind_too"), [
    ({"text": "another text"}, True), ({"explanation": "another rationale"}, False),
    ({"think": "another trace"}, False),
])  # fmt: skip
def test_the_id_changes_with_what_is_shown(change: Row, blind_too: bool) -> None:
    before, after = item_ids(example(1), SOURCE), item_ids(example(1) | change, SOURCE)
    assert before[1] != after[1]
    assert (before[0] != after[0]) == blind_too


def test_the_id_does_not_change_with_anything_else() -> None:
    same = example(1) | {"label": "unharmful", "signals": [], "reply": "other", "split": "dev"}
    assert item_ids(example(1), SOURCE) == item_ids(same, SOURCE)
    assert rationale(example(1))["item_id"] == item_ids(example(1), SOURCE)[1]
    other = Source("spa_Latn", "a source")
    assert item_ids(example(1), SOURCE)[1] != item_ids(example(1), other)[1]
    assert item_ids(example(1), SOURCE)[1] != item_ids(example(1), None)[1]


def test_sources_come_from_prompts_else_from_the_english_row() -> None:
    rows = [example(1, language="eng_Latn"), example(1), example(2), example(3)]
    prompts: list[Row] = [
        {"prompt_id": "made:001-h:ast_Latn", "translation_of": "made:001-h:spa_Latn"},
        {"prompt_id": "made:001-h:spa_Latn", "translation_of": None, "language": "spa_Latn",
         "text": "en español"},
        {"prompt_id": "made:002-h:ast_Latn", "translation_of": None},
    ]  # fmt: skip
    assert sources_of(rows) == {"made:001-h:ast_Latn": Source("eng_Latn", rows[0]["text"])}
    assert sources_of(rows, prompts) == {
        "made:001-h:ast_Latn": Source("spa_Latn", "en español")
    }  # the second was written in Asturian, of the third nothing is known


def test_a_prompt_written_in_the_language_has_no_source_even_beside_an_english_row() -> None:
    rows = [example(1, language="eng_Latn"), example(1)]
    own = [{"prompt_id": "made:001-h:ast_Latn", "translation_of": None}]
    assert sources_of(rows, own) == {}


def test_categories_that_are_never_written_are_never_shown() -> None:
    assert releasable(example(1)) and not releasable(example(1, categories=["S1", "S4"]))
