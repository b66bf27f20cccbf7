"""What went out and what came back: a file that is lost withdraws nobody's answers."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from whyguard.core.drafts import write_whole
from whyguard.core.errors import DataError, explain, fail

Row = tuple[str, str]
"""Item and annotator."""


class ReadFile(BaseModel):
    """A file that was read: the sheet it belongs to, and the rows that were answered in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sheet: str
    rows: tuple[Row, ...]


class Record(BaseModel):
    """Names of the sheets that were sent; files that were read, by their path in the inbox."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    """Of the folder, wherever it is moved to; drawn by the first push."""
    sent: tuple[str, ...] = ()
    read: dict[str, ReadFile] = {}


def load_record(path: Path) -> Record:
    """The record, empty where there is none yet.

    Raises:
        DataError: it is damaged.
    """
    if not path.is_file():
        return Record()
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        message = explain(str(path), "the record of files sent and read", str(error)[:200],
                          "restore it from a backup, or delete it once you have checked that no "
                          "file of the inbox is missing")  # fmt: skip
        raise DataError(message) from error


def save_record(path: Path, record: Record) -> None:
    """Write the record where it changed: it is whole or as it was."""
    if record == load_record(path):
        return
    write_whole(path, record.model_dump_json(indent=1))


def refuse_losses(path: Path, before: Record, now: Record, sheets: Iterable[str]) -> None:
    """Refuse to go on where a file is gone and answers with it.

    Raises:
        DataError: a file that was read for one of `sheets` is gone, and rows that were answered in
            it are answered nowhere else.
    """
    asked = set(sheets)
    answered = {(file.sheet, row) for file in now.read.values() for row in file.rows}
    for name, file in sorted(before.read.items()):
        lost = {(file.sheet, row) for row in file.rows} - answered
        if file.sheet in asked and name not in now.read and lost:
            fail(DataError, where=name, expected="the file in the inbox, as it was read before",
                 found=f"no such file; {len(lost)} answered rows are gone with it",
                 do="put it back. To withdraw answers, empty them in the file; to forget the file "
                 f"for good, delete its entry in {path}")  # fmt: skip
