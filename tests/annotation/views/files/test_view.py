"""views/files/view.py: out and back, again and again."""

import dataclasses
import datetime
import os
from pathlib import Path

import pytest
from openpyxl import load_workbook
from tests.annotation.views.files.making import T0, blind, fill, identify, rationale

from whyguard.annotation.views.base import Given, Pushed, View
from whyguard.annotation.views.files.view import FilesView, Format
from whyguard.core.errors import ConfigError, DataError, MissingFileError
from whyguard.core.progress import Progress

QUIET = Progress.silent()
NAME = "pilot-ast_Latn-blind"


def make(folder: Path, rows: int = 300) -> FilesView:
    return FilesView(folder, identify, rows=rows)


def stamps(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes())
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip


def test_a_second_push_writes_nothing(tmp_path: Path) -> None:
    view: View = make(tmp_path)
    assert view.push([blind(), rationale()], QUIET) == Pushed(5, 0)
    before = stamps(tmp_path)
    assert set(before) == {f"{NAME}.xlsx", "pilot-urd_Arab-rationale.xlsx", "record.json"}
    assert view.push([blind(), rationale()], QUIET) == Pushed(0, 5)
    assert stamps(tmp_path) == before


def test_a_file_that_was_begun_is_left_alone_and_new_items_get_another(tmp_path: Path) -> None:
    view = make(tmp_path)
    view.push([blind()], QUIET)
    first = view.outbox / f"{NAME}.xlsx"
    book = load_workbook(first)
    book["items"]["C2"] = "harmful"
    book.save(first)
    begun = first.read_bytes()
    more = blind(("uno", "dos", "tres", "cuatro"))
    assert view.push([more], QUIET) == Pushed(1, 3)
    assert first.read_bytes() == begun
    page = load_workbook(view.outbox / f"{NAME}.2.xlsx")["items"]
    assert [page["A2"].value, page["A3"].value] == ["i4", None]


def test_large_sheets_are_split_and_a_push_that_broke_off_goes_on(tmp_path: Path) -> None:
    view = make(tmp_path, rows=2)
    sheet = blind([f"text {n}" for n in range(5)])
    assert view.push([sheet], QUIET) == Pushed(5, 0)
    names = [f"{NAME}.2.xlsx", f"{NAME}.3.xlsx", f"{NAME}.xlsx"]
    assert sorted(path.name for path in view.outbox.iterdir()) == names
    (view.outbox / f"{NAME}.3.xlsx").rename(view.outbox / f".{NAME}.3.xlsx.part")
    assert view.push([sheet], QUIET) == Pushed(1, 4)
    assert sorted(path.name for path in view.outbox.iterdir()) == names


def test_answers_come_back_with_pseudonym_and_time(tmp_path: Path) -> None:
    view = make(tmp_path)
    with pytest.raises(MissingFileError, match="not sent from here: pilot-ast_Latn-blind"):
        view.pull([blind()], QUIET)
    view.push([blind()], QUIET)
    assert view.pull([blind()], QUIET).given == ()
    sent = view.outbox / f"{NAME}.xlsx"
    fill(sent, view.inbox / f"{NAME}.Ana.xlsx", {"i1": {"verdict": "harmful", "unsure": "no"},
                                                 "i2": {"unsure": "yes"}})  # fmt: skip
    fill(sent, view.inbox / "later" / f"{NAME}.p-02 (1).xlsx", {"i1": {"verdict": "unharmful"}})
    (view.inbox / f"~${NAME}.Ana.xlsx").write_bytes(b"lock")
    at = datetime.datetime.fromtimestamp(T0, datetime.UTC)
    pulled = view.pull([blind()], QUIET)
    assert pulled.given == (
        Given("i1", "unsure", "p-01", "no", at), Given("i1", "verdict", "p-01", "harmful", at),
        Given("i1", "verdict", "p-02", "unharmful", at),
    )  # fmt: skip
    assert (pulled.drafts, pulled.refused) == (1, ())
    assert view.pull([blind()], QUIET) == pulled


def test_a_newer_file_replaces_rows_and_an_emptied_row_withdraws(tmp_path: Path) -> None:
    view = make(tmp_path)
    view.push([blind()], QUIET)
    sent = view.outbox / f"{NAME}.xlsx"
    both = {"i1": {"verdict": "harmful"}, "i2": {"verdict": "harmful"}}
    first = fill(sent, view.inbox / f"{NAME}.Ana.xlsx", both)
    fill(sent, view.inbox / f"{NAME}.Ana (1).xlsx", {"i1": {"verdict": "unharmful"}}, T0 + 60)
    got = {given.item_id: given.value for given in view.pull([blind()], QUIET).given}
    assert got == {"i1": "unharmful", "i2": "harmful"}
    fill(sent, first, {"i3": {"verdict": "harmful"}})
    got = {given.item_id: given.value for given in view.pull([blind()], QUIET).given}
    assert got == {"i1": "unharmful", "i3": "harmful"}


def test_a_lost_file_is_an_error_unless_its_rows_stand_elsewhere(tmp_path: Path) -> None:
    view = make(tmp_path)
    view.push([blind()], QUIET)
    sent = view.outbox / f"{NAME}.xlsx"
    lost = fill(sent, view.inbox / f"{NAME}.Ana.xlsx", {"i1": {"verdict": "harmful"}})
    view.pull([blind()], QUIET)
    lost.unlink()
    with pytest.raises(DataError, match=rf"{NAME}.Ana.xlsx\n.*\n.*1 answered rows"):
        view.pull([blind()], QUIET)
    fill(sent, view.inbox / f"{NAME}.p-01.xlsx", {"i1": {"verdict": "unharmful"}})
    assert [given.value for given in view.pull([blind()], QUIET).given] == ["unharmful"]


def test_a_stranger_in_the_inbox_is_an_error_and_another_sheet_is_not(tmp_path: Path) -> None:
    view = make(tmp_path)
    view.push([blind(), rationale()], QUIET)
    other = "pilot-urd_Arab-rationale"
    fill(view.outbox / f"{other}.xlsx", view.inbox / f"{other}.Xuan.xlsx",
         {"r1": {"translation_adequacy": 4}})  # fmt: skip
    for path in view.outbox.iterdir():
        path.unlink()  # sent off: what was sent is still known
    assert view.pull([blind()], QUIET).given == ()
    assert len(view.pull([rationale()], QUIET).given) == 1
    (view.inbox / "holiday.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holiday\.xlsx\n  expected: SHEET.WHO.xlsx"):
        view.pull([blind()], QUIET)


def test_csv_out_and_back(tmp_path: Path) -> None:
    view = FilesView(tmp_path, identify, formats=(Format.CSV, Format.XLSX))
    sheet = blind(("=1+1", "'=1+1"))
    assert view.push([sheet], QUIET) == Pushed(2, 0)
    assert view.push([sheet], QUIET) == Pushed(0, 2)
    assert "Is this request harmful?" in (view.outbox / f"{NAME}.md").read_text("utf-8")
    text = (view.outbox / f"{NAME}.csv").read_bytes().decode("utf-8-sig")
    lines = text.split("\r\n")
    lines[1] = lines[1].replace('"","","",""', '"harmful","","=1",""')
    lines[2] = lines[2].replace('"","","",""', '"unharmful","","\'=1",""')
    back = view.inbox / f"{NAME}.Ana.csv"
    back.write_text("\r\n".join(lines), "utf-8", newline="")
    os.utime(back, (T0, T0))
    pulled = view.pull([sheet], QUIET)
    assert not pulled.refused
    assert [(given.question, given.value) for given in pulled.given] == [
        ("local_harm_note", "=1"), ("verdict", "harmful"),
        ("local_harm_note", "=1"), ("verdict", "unharmful")]  # fmt: skip


def test_names_that_cannot_be_files_are_refused(tmp_path: Path) -> None:
    for name in ("../up", "a/b", "pilot.2", ""):
        with pytest.raises(ConfigError, match="a name of its own"):
            make(tmp_path).push([dataclasses.replace(blind(), name=name)], QUIET)
    with pytest.raises(ConfigError, match="a name of its own"):
        make(tmp_path).pull([blind(), blind()], QUIET)
    with pytest.raises(ConfigError, match="1 or more"):
        make(tmp_path, rows=0)
