"""views/files/tables.py: files that came back are read as texts, hostile ones are refused."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import load_workbook
from tests.annotation.views.files.making import blind, fill

from whyguard.annotation.views.files.tables import Limits, read_table, write_csv
from whyguard.annotation.views.files.workbook import write_workbook
from whyguard.core.errors import DataError


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    sheet = blind()
    write_workbook(tmp_path / "sent.xlsx", sheet, sheet.items)
    return tmp_path / "sent.xlsx"


def rewritten(path: Path, change: Callable[[str, bytes], bytes],
              more: dict[str, bytes] | None = None) -> Path:  # fmt: skip
    """A copy of an archive with each part changed, and more parts."""
    target = path.with_name("changed.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return target


def same(name: str, content: bytes) -> bytes:
    return content


def test_formulas_are_texts(sent: Path, tmp_path: Path) -> None:
    path = fill(sent, tmp_path / "back.xlsx", {"i1": {"local_harm_note": "=1+1", "verdict": "x"},
                                               "i2": {"local_harm_note": 4.5}})  # fmt: skip
    xml = zipfile.ZipFile(path).read("xl/worksheets/sheet2.xml").decode()
    assert "<f>1+1</f>" in xml  # a real formula, as a spreadsheet program would store it
    lines = read_table(path).lines
    assert [line.cells["local_harm_note"] for line in lines] == ["=1+1", "4.5", ""]
    assert [line.number for line in lines] == [2, 3, 4]


@pytest.mark.parametrize(("part", "match"), [
    ("xl/vbaProject.bin", "macros"), ("xl/externalLinks/externalLink1.xml", "links to other files"),
    ("xl/embeddings/a.bin", "embedded files"), ("xl/activeX/activeX1.xml", "controls"),
    ("xl/connections.xml", "links to data"),
])  # fmt: skip
def test_active_content_is_refused(sent: Path, part: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read_table(rewritten(sent, same, {part: b"x"}))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(sent: Path) -> None:
    bomb = rewritten(sent, same, {"xl/media/a.bin": b"\0" * 3_000_000})
    assert bomb.stat().st_size < 30_000
    with pytest.raises(DataError, match="at most 1000000 bytes"):
        read_table(bomb, Limits(unpacked=1_000_000))
    with pytest.raises(DataError, match="bytes in 3 parts"):
        read_table(sent, Limits(parts=3))


def test_entities_are_refused(sent: Path) -> None:
    def bomb(name: str, content: bytes) -> bytes:
        if name != "xl/worksheets/sheet2.xml":
            return content
        bare = content.split(b"?>", 1)[-1] if content.startswith(b"<?xml") else content
        return b'<!DOCTYPE a [<!ENTITY b "c">]>' + bare.replace(b">uno<", b">&b;<")

    with pytest.raises(DataError, match="EntitiesForbidden"):
        read_table(rewritten(sent, bomb))


@pytest.mark.parametrize(
    "broken", [b"", b"not a zip", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600]
)
def test_what_is_no_xlsx_is_refused(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "a.xlsx").write_bytes(broken)
    with pytest.raises(DataError, match=r"a\.xlsx\n  expected: an xlsx file"):
        read_table(tmp_path / "a.xlsx")


def test_a_broken_part_a_far_row_and_another_kind(sent: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a readable xlsx file"):
        read_table(rewritten(sent, lambda name, content: content[: len(content) // 2]))

    def far(name: str, content: bytes) -> bytes:
        return (
            content.replace(b'<row r="4"', b'<row r="999999999"') if "sheet2" in name else content
        )

    with pytest.raises(DataError, match="at most 20000 rows"):
        read_table(rewritten(sent, far))
    (tmp_path / "a.ods").write_bytes(b"x")
    with pytest.raises(DataError, match=r"an xlsx or csv file\n.*'\.ods'"):
        read_table(tmp_path / "a.ods")


def test_worksheet_and_header_must_be_there(sent: Path, tmp_path: Path) -> None:
    book = load_workbook(sent)
    book["items"].title = "answers"
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="a worksheet 'items'"):
        read_table(tmp_path / "a.xlsx")
    book = load_workbook(sent)
    book["items"].delete_rows(1)
    book.save(tmp_path / "b.xlsx")
    with pytest.raises(DataError, match="one 'item_id' and each other name once"):
        read_table(tmp_path / "b.xlsx")
    book = load_workbook(sent)
    book["items"]["H3"] = "a remark"
    book.save(tmp_path / "c.xlsx")
    with pytest.raises(DataError, match="row 3, column 8"):
        read_table(tmp_path / "c.xlsx")


def test_csv_out_and_in(tmp_path: Path) -> None:
    texts = ["=1+1", "'=1+1", "'n blood", "a;b,c\td", 'say "x"', "two\r\nlines", "অ"]
    sheet = blind(texts)
    write_csv(tmp_path / "a.csv", sheet, sheet.items)
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert b'"=1' not in raw and b'"\'=1+1"' in raw and b"\"''=1+1\"" in raw
    assert [line.cells["prompt"] for line in read_table(tmp_path / "a.csv").lines] == texts


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_as_other_countries_write_it(tmp_path: Path, delimiter: str) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerows([["Item\n[item_id]", "The request, in it\n[prompt]"], ["i1", "a,b"], ["", ""]])
    (tmp_path / "a.csv").write_text(stream.getvalue(), "utf-8", newline="")
    table = read_table(tmp_path / "a.csv")
    assert table.names == ("item_id", "prompt")
    assert [line.cells for line in table.lines] == [{"item_id": "i1", "prompt": "a,b"}]


def test_csv_in_another_encoding_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("item_id\né".encode("latin-1"))
    with pytest.raises(DataError, match="csv in UTF-8"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("item_id\n" + "x" * 200_000)
    with pytest.raises(DataError, match="field larger than field limit"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match="at most 100 bytes"):
        read_table(tmp_path / "a.csv", Limits(unpacked=100))
