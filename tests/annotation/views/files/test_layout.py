"""views/files/layout.py: which columns there are, and what a blind sheet keeps to itself."""

import dataclasses

import pytest
from tests.annotation.views.files.making import blind, rationale

from whyguard.annotation.views.base import ShownField
from whyguard.annotation.views.files.layout import cells_of, columns_of, name_in
from whyguard.core.errors import ConfigError


def test_a_blind_sheet_has_no_suggestion_and_no_metadata() -> None:
    sheet = blind()
    columns = columns_of(sheet)
    assert [column.name for column in columns] == [
        "item_id", "prompt", "verdict", "local_harm", "local_harm_note", "unsure"]  # fmt: skip
    assert cells_of(sheet, sheet.items[0], columns) == ["i1", "uno", "", "", "", ""]


def test_a_rationale_sheet_shows_suggestions_that_say_something_new() -> None:
    sheet = rationale()
    columns = columns_of(sheet)
    names = [column.name for column in columns]
    assert names[:4] == ["item_id", "source", "prompt", "rationale"]
    assert names[-2:] == ["trace", "suggested_corrected_translation"]
    row = dict(zip(names, cells_of(sheet, sheet.items[0], columns), strict=True))
    assert row["suggested_corrected_translation"] == "=other"
    assert row["corrected_translation"] == ""
    assert all(column.right_to_left for column in columns if column.name == "corrected_rationale")


def test_one_name_for_two_columns_is_refused() -> None:
    sheet = dataclasses.replace(blind(), fields=(ShownField("verdict", "x"),))
    with pytest.raises(ConfigError, match="verdict twice"):
        columns_of(sheet)


def test_names_in_headers() -> None:
    column = columns_of(blind())[1]
    assert name_in(column.header) == "prompt"
    assert name_in("prompt") == "prompt"
