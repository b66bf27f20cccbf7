"""views/files/cells.py: every text comes back as it went."""

import csv
import datetime
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.formula import ArrayFormula

from whyguard.annotation.views.files.cells import (
    as_text,
    csv_escaped,
    from_csv,
    from_xlsx,
    xlsx_text,
)
from whyguard.core.text_safety import csv_cell

TRICKY = st.text(st.sampled_from("'=+-@\t\r\n _x0041FDa\x00\x01\ufffe＝\"")) | st.text()


@given(TRICKY)
def test_csv_round_trip_and_no_cell_runs(text: str) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerow([csv_escaped(text)])
    (cell,) = next(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert csv_cell(cell) == cell
    assert from_csv(cell) == text


@pytest.mark.parametrize(("text", "cell"), [
    ("=1+1", "'=1+1"), ("'=1+1", "''=1+1"), ("''=1+1", "'''=1+1"), ("'n blood", "'n blood"),
    (" -x", "' -x"), ("'", "'"), ("", ""), ("plain", "plain"),
])  # fmt: skip
def test_csv_apostrophes(text: str, cell: str) -> None:
    assert csv_escaped(text) == cell
    assert from_csv(cell) == text


def test_csv_typed_without_an_apostrophe_stays() -> None:
    assert from_csv("=SUM(A1)") == "=SUM(A1)"
    assert from_csv("'t dolor") == "'t dolor"


@given(TRICKY)
def test_xlsx_escapes_round_trip(text: str) -> None:
    assert from_xlsx(xlsx_text(text)) == text


def test_xlsx_literal_escapes_and_controls() -> None:
    assert xlsx_text("_x0041_") == "_x005F_x0041_"
    assert xlsx_text("_x0041\x01") == "_x005F_x0041_x0001_"
    assert xlsx_text("a\r\nb") == "a_x000D_\nb"
    assert from_xlsx("_xD800_") == "_xD800_"


def test_xlsx_round_trip_through_a_file(tmp_path: Path) -> None:
    texts = [
        "=1",
        "'=1",
        " lead",
        "trail ",
        "\ttab",
        "a\r\nb\rc\n",
        "_x000D_",
        "\x00\x1f",
        "#N/A",
        "TRUE",
        "12",
        "1e5",
        "\ufffe",
        "\u2028",
        "\x85",
        "অ",
        "😀",
        "<&>\"'",
    ]
    book = Workbook()
    page = book.active
    assert page is not None
    for row, text in enumerate(texts, 1):
        page.cell(row, 1).value = xlsx_text(text)
        page.cell(row, 1).data_type = "s"
    book.save(tmp_path / "a.xlsx")
    read = load_workbook(tmp_path / "a.xlsx", read_only=True).worksheets[0]
    assert [as_text(row[0]) for row in read.iter_rows(values_only=True)] == texts
    xml = zipfile.ZipFile(tmp_path / "a.xlsx").read("xl/worksheets/sheet1.xml")
    assert b"<f" not in xml


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (4, "4"), (4.0, "4"), (4.5, "4.5"), (True, "TRUE"),
    (datetime.datetime(2026, 1, 31, 12, 0), "2026-01-31T12:00:00"), ("=A1", "=A1"),
    (ArrayFormula("A1:A2", "=B1"), "=B1"),
])  # fmt: skip
def test_values_as_text(value: object, text: str) -> None:
    assert as_text(value) == text
