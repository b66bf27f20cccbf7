"""views/files/record.py: a lost file is an error, never a withdrawal."""

from pathlib import Path

import pytest

from whyguard.annotation.views.files.record import (
    ReadFile,
    Record,
    load_record,
    refuse_losses,
    save_record,
)
from whyguard.core.errors import DataError

ONE = ReadFile(sheet="s", rows=(("i1", "p-01"), ("i2", "p-01")))


def test_round_trip_and_no_needless_write(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert load_record(path) == Record()
    save_record(path, Record())
    assert not path.exists()
    save_record(path, Record(sent=("s",), read={"a": ONE}))
    assert load_record(path) == Record(sent=("s",), read={"a": ONE})
    stamp = path.stat().st_mtime_ns
    save_record(path, load_record(path))
    assert path.stat().st_mtime_ns == stamp


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(DataError, match="the record of files"):
        load_record(tmp_path / "record.json")


def test_losses(tmp_path: Path) -> None:
    before = Record(read={"a": ONE})
    with pytest.raises(DataError, match="2 answered rows are gone"):
        refuse_losses(tmp_path, before, Record(), ["s"])
    refuse_losses(tmp_path, before, Record(), ["another sheet"])
    refuse_losses(tmp_path, before, Record(read={"a": ReadFile(sheet="s", rows=())}), ["s"])
    refuse_losses(tmp_path, before, Record(read={"b": ONE}), ["s"])
    with pytest.raises(DataError, match="2 answered rows"):
        refuse_losses(tmp_path, before, Record(read={"b": ReadFile(sheet="t", rows=ONE.rows)}),
                      ["s"])  # fmt: skip
