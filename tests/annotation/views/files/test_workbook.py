"""views/files/workbook.py: the raw XML of a written file."""

import dataclasses
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from tests.annotation.views.files.making import blind, rationale

from whyguard.annotation.views.files.tables import read_table
from whyguard.annotation.views.files.workbook import LONGEST, write_workbook
from whyguard.core.errors import DataError

HOSTILE = ('=HYPERLINK("x","y")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "#REF!", "<b>&")


def parts(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_no_formula_and_locks_in_the_raw_xml(tmp_path: Path) -> None:
    sheet = blind(HOSTILE)
    write_workbook(tmp_path / "a.xlsx", sheet, sheet.items)
    files = parts(tmp_path / "a.xlsx")
    items = files["xl/worksheets/sheet2.xml"]
    assert not re.search(r"<f[ >/]", "".join(files[name] for name in files if "worksheets" in name))
    assert "<sheetProtection" in items and 'sheet="1"' in items
    styles = re.findall(r"<xf [^>]*?(?:/>|>.*?</xf>)",
                        files["xl/styles.xml"].split("<cellXfs")[1])  # fmt: skip
    cells = dict(re.findall(r'<c r="([A-Z]+\d+)" s="(\d+)"', items))
    assert len(cells) == 6 * (1 + len(HOSTILE))
    for name, style in cells.items():
        unlocked = 'locked="0"' in styles[int(style)]
        assert unlocked == ((name[0] in "CDEF" and not name.endswith("1")) or name in (
            "C11", "D11", "E11", "F11")), name  # fmt: skip
    quoted = [int(re.sub(r"\D", "", name)) for name, style in cells.items()
              if name.startswith("B") and 'quotePrefix="1"' in styles[int(style)]]  # fmt: skip
    assert quoted == [2, 3, 4, 5, 6, 7]
    kinds = set(re.findall(r'<c r="[A-Z]+\d+" s="\d+" t="(\w+)"', items))
    assert kinds <= {"inlineStr", "n"}
    assert not re.search(r't="n"[^>]*><v>', items)


def test_nothing_gives_a_blind_item_away(tmp_path: Path) -> None:
    sheet = blind()
    write_workbook(tmp_path / "a.xlsx", sheet, sheet.items)
    everything = "".join(parts(tmp_path / "a.xlsx").values())
    assert "uno" in everything
    assert "giveaway" not in everything and "0.987" not in everything


def test_looks_and_drop_downs(tmp_path: Path) -> None:
    sheet = rationale()
    write_workbook(tmp_path / "a.xlsx", sheet, sheet.items)
    book = load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["guidelines", "items"]
    page = book["items"]
    assert page.freeze_panes == "B2" and page.sheet_view.rightToLeft
    assert page["C2"].alignment.wrap_text and page["C2"].alignment.readingOrder == 2
    rules = {str(rule.sqref): rule.formula1 for rule in page.data_validations.dataValidation}
    assert rules["E2:E3"] == '"1,2,3,4,5"'
    assert page["F2"].number_format == "@"
    write_workbook(tmp_path / "b.xlsx", blind(), blind().items)
    other = load_workbook(tmp_path / "b.xlsx")["items"]
    assert not other.sheet_view.rightToLeft
    rules = {str(rule.sqref): rule.formula1 for rule in other.data_validations.dataValidation}
    assert rules["C2:C4"] == '"harmful,unharmful"'
    said = [row[0] for row in book["guidelines"].iter_rows(values_only=True)]
    assert "Read." in said and "pilot-urd_Arab-rationale, guidelines g1" in said


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture],
          deadline=None)  # fmt: skip
@given(texts=st.lists(st.text(st.sampled_from("'=+-@\t\r\n _x0041a\x01\ufffeअ")) | st.text(),
                      min_size=1, max_size=8))  # fmt: skip
def test_every_text_comes_back(tmp_path: Path, texts: list[str]) -> None:
    sheet = blind(texts)
    write_workbook(tmp_path / "a.xlsx", sheet, sheet.items)
    lines = read_table(tmp_path / "a.xlsx").lines
    assert [line.cells["prompt"] for line in lines] == texts


def test_a_text_that_no_cell_holds_is_refused_not_cut(tmp_path: Path) -> None:
    sheet = blind(["x" * LONGEST])
    write_workbook(tmp_path / "a.xlsx", sheet, sheet.items)
    assert len(read_table(tmp_path / "a.xlsx").lines[0].cells["prompt"]) == LONGEST
    sheet = dataclasses.replace(sheet, items=blind(["😀" * (LONGEST // 2 + 1)]).items)
    with pytest.raises(DataError, match=r"item i1, prompt\n.*at most 32767"):
        write_workbook(tmp_path / "b.xlsx", sheet, sheet.items)
