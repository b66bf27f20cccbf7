"""Hostile text in csv and markdown."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.core.text_safety import csv_cell, csv_text, markdown_table, markdown_text, one_line


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1"]
)
def test_formulas_are_defused(text: str) -> None:
    assert csv_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "explained - refusal_only", "'=1", "1"])
def test_plain_text_stays(text: str) -> None:
    assert csv_cell(text) == text


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_csv_reads_back_as_the_defused_text(texts: list[str]) -> None:
    table = pl.DataFrame({"a": texts, "b": texts}, schema={"a": pl.String, "b": pl.String})
    read = list(csv.reader(io.StringIO(csv_text(table), newline="")))[1:]
    assert [row[0] for row in read] == [csv_cell(text) for text in texts]


def test_numbers_keep_their_sign_and_headers_are_defused() -> None:
    table = pl.DataFrame({"=x": [-0.5, None], "codes": [["=S1", "S2"], []]})
    assert csv_text(table) == "'=x,codes\n-0.5,'=S1 S2\n,\"\"\n"


def test_markdown_is_inert() -> None:
    hostile = "# <script>a|b</script> [x](http://x.y) ![i](j) `c` *d* __e__\n---\n| f |"
    shown = markdown_text(hostile)
    assert "\n" not in shown and "<" not in shown and "http:" not in shown
    for mark in ("|", "[", "`", "*", "_"):
        assert all(shown[i - 1] == "\\" for i, c in enumerate(shown) if c == mark)
    assert shown.startswith("\\#")


@given(st.text())
def test_markdown_cells_never_end_a_row(text: str) -> None:
    lines = markdown_table(("a", "b"), [(text, 1)]).split("\n")
    assert len(lines) == 3
    assert lines[2].replace("\\\\", "").replace("\\|", "").count("|") == 3


def test_one_line_takes_direction_marks_out_and_leaves_joiners() -> None:
    assert one_line("a\u202eb\x1b[31m\u2028c") == "ab [31m c"
    assert one_line("\u0995\u200d\u09b7") == "\u0995\u200d\u09b7"
