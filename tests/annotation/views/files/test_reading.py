"""views/files/reading.py: what of a row is taken over, and what is refused and why."""

import datetime

import pytest
from tests.annotation.views.files.making import blind, identify, rationale

from whyguard.annotation.views.base import Sheet
from whyguard.annotation.views.files.layout import cells_of, columns_of
from whyguard.annotation.views.files.reading import Responses, Source, newest, responses
from whyguard.annotation.views.files.tables import Line, Table
from whyguard.core.errors import DataError

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def source(file: str = "f.Ana.xlsx", who: str | None = "Ana", days: int = 0) -> Source:
    return Source(file, who, AT + datetime.timedelta(days=days))


def read(sheet: Sheet, *rows: dict[str, str], whence: Source | None = None) -> Responses:
    """Read the sheet's rows with these cells changed; `n` says of which item (1 is usual)."""
    columns = columns_of(sheet)
    lines = []
    for number, changed in enumerate(rows, 2):
        item = sheet.items[int(changed.get("n", "1")) - 1]
        cells = cells_of(sheet, item, columns)
        row = dict(zip([column.name for column in columns], cells, strict=True))
        lines.append(Line(number, row | {k: v for k, v in changed.items() if k != "n"}))
    names = tuple(dict.fromkeys(name for line in lines for name in line.cells))
    return responses(sheet, Table(names, tuple(lines)), whence or source(), identify)


def test_a_row_is_taken_over() -> None:
    found = read(blind(), {"verdict": " Harmful ", "local_harm_note": "=1 is 'text' "}, {"n": "2"})
    (row,) = found.rows
    assert (row.item_id, row.annotator, row.at, row.draft) == ("i1", "p-01", AT, False)
    assert row.values == {"verdict": "harmful", "local_harm_note": "=1 is 'text'"}
    assert not found.refused


def test_ratings_and_lists_are_typed_in_many_ways() -> None:
    for text in ("4", "4.0", "4,00", "৪"):
        found = read(
            rationale(), {"translation_adequacy": text, "issues": "Literal; wrong_register"}
        )
        assert found.rows[0].values["translation_adequacy"] == "4"
        assert found.rows[0].values["issues"] == '["literal","wrong_register"]'


@pytest.mark.parametrize(("cells", "column", "reason"), [
    ({"item_id": "zz"}, "item_id", "no item of pilot-ast_Latn-blind"),
    ({"item_id": ""}, "item_id", "no item of pilot-ast_Latn-blind"),
    ({"prompt": "un"}, "prompt", "not the one that was sent"),
    ({"annotator": "Eve"}, "annotator", "nobody who answers ast_Latn is called 'Eve'"),
    ({"submitted_at": "yesterday"}, "submitted_at", "expected a time"),
    ({"verdict": "maybe"}, "verdict", "one of: harmful, unharmful"),
])  # fmt: skip
def test_refusals_name_file_row_column_and_reason(cells: dict[str, str], column: str,
                                                  reason: str) -> None:  # fmt: skip
    found = read(blind(), {"verdict": "harmful"} | cells)
    (refused,) = found.refused
    assert refused.where == f"f.Ana.xlsx: row 2, column '{column}'"
    assert reason in refused.reason
    assert all(not row.values for row in found.rows)


@pytest.mark.parametrize("text", ["6", "0", "4.5", "good", "-1"])
def test_a_rating_out_of_range_is_refused_and_others_stand(text: str) -> None:
    found = read(rationale(), {"translation_adequacy": "4", "rationale_quality": text})
    assert found.rows[0].values == {"translation_adequacy": "4"}
    assert "a whole number from 1 to 5" in found.refused[0].reason


def test_line_ends_and_blanks_at_the_ends_are_no_edit() -> None:
    found = read(blind(["a\r\nb "]), {"prompt": "a\nb", "verdict": "harmful"})
    assert found.rows and not found.refused


def test_a_row_without_a_required_answer_is_a_draft() -> None:
    found = read(blind(), {"unsure": "yes"})
    assert [row.draft for row in found.rows] == [True]
    assert not found.rows[0].values


def test_who_and_when_in_columns_come_before_the_file() -> None:
    found = read(blind(), {"verdict": "harmful", "annotator": "Xuan",
                           "submitted_at": "2026-02-01T10:00:00+02:00"})  # fmt: skip
    row = found.rows[0]
    assert row.annotator == "p-02"
    assert row.at == datetime.datetime(2026, 2, 1, 8, tzinfo=datetime.UTC)
    nobody = read(blind(), {"verdict": "harmful"}, whence=source(who=None))
    assert "nobody is named" in nobody.refused[0].reason


def test_unlike_rows_of_one_person_are_refused() -> None:
    found = read(blind(), {"verdict": "harmful"}, {"verdict": "unharmful"})
    assert not found.rows and "answered twice" in found.refused[0].reason
    assert "rows 2, 3" in found.refused[0].where
    alike = read(blind(), {"verdict": "harmful"}, {"verdict": "harmful"})
    assert len(alike.rows) == 1 and not alike.refused


def test_columns_must_be_those_that_were_sent() -> None:
    with pytest.raises(DataError, match="also remarks"):
        read(blind(), {"remarks": "x"})
    with pytest.raises(DataError, match="no local_harm"):
        responses(blind(), Table(("item_id", "prompt", "verdict"), ()), source(), identify)


def test_the_newest_row_holds() -> None:
    old = read(blind(), {"verdict": "harmful"}, {"n": "2", "verdict": "harmful"})
    new = read(blind(), {"verdict": "unharmful"}, {"n": "2"}, whence=source("g", "Ana", 1))
    rows = newest([*new.rows, *old.rows])
    assert [(row.item_id, row.values["verdict"]) for row in rows] == [
        ("i1", "unharmful"), ("i2", "harmful")]  # fmt: skip
