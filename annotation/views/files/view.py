"""Review without a network: files go out in `outbox/`, and come back answered in `inbox/`."""

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from whyguard.annotation.views.base import Given, Pulled, Pushed, Sheet, ShownItem
from whyguard.annotation.views.files.layout import ITEM
from whyguard.annotation.views.files.reading import (
    Identify,
    Response,
    Responses,
    Source,
    newest,
    responses,
)
from whyguard.annotation.views.files.record import (
    ReadFile,
    load_record,
    refuse_losses,
    save_record,
)
from whyguard.annotation.views.files.tables import (
    LIMITS,
    Limits,
    modified_at,
    read_table,
    write_csv,
)
from whyguard.annotation.views.files.workbook import how_answered, write_workbook
from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail
from whyguard.core.progress import Progress

OUTBOX, INBOX, RECORD = "outbox", "inbox", "record.json"
ROWS = 300
"""Items of one file, unless the caller says otherwise."""
_SAFE_NAME = re.compile(r"\w[\w.+-]*")
_ENDS_IN_NUMBER = re.compile(r"\.\d+$")
_REST = re.compile(r"(?:\.(?P<part>\d+))?(?:\.(?P<who>.+?))?(?:\s*\(\d+\))?")
"""What follows the sheet in a name: part, person, and what mail programs add to a second copy."""


class Format(StrEnum):
    """Kinds of files that are written; both are read."""

    XLSX = "xlsx"
    """Guidelines and items as worksheets, with drop-downs and locked texts."""
    CSV = "csv"
    """Items alone, guidelines beside them as markdown."""


class _Received(NamedTuple):
    """A file of the inbox."""

    path: Path
    name: str
    """Its path below the inbox."""
    sheet: str
    who: str | None


class _Read(NamedTuple):
    received: _Received
    answered: Responses


class FilesView:
    """The view for a linguist with no network (see `views.base.View`).

    Out: `outbox/SHEET.xlsx`, and `SHEET.2.xlsx` and so on where items do not fit or came later. A
    file that is there is never written again: somebody may have begun to fill it in.

    Back: `inbox/SHEET.WHO.xlsx` or `inbox/SHEET.2.WHO.csv`, at any depth; `identify` turns WHO, or
    what stands in a column `annotator`, into a pseudonym. An answer was submitted when its file was
    last modified, unless a column `submitted_at` says otherwise. Where one person answers an item
    in several files, the row that was submitted last holds, as a whole. Rows without an answer say
    nothing: to withdraw one, empty it in the file in which it was given.
    """

    def __init__(self, folder: Path, identify: Identify, *,
                 formats: Sequence[Format] = (Format.XLSX,), rows: int = ROWS,
                 limits: Limits = LIMITS) -> None:  # fmt: skip
        if rows < 1:
            fail(ConfigError, where="files: rows", expected="1 or more", found=str(rows),
                 do="say how many items a file may hold")  # fmt: skip
        self._folder, self._identify = folder, identify
        self._formats, self._rows, self._limits = tuple(formats), rows, limits

    @property
    def _record(self) -> Path:
        return self._folder / RECORD

    @property
    def outbox(self) -> Path:
        """Files to be sent."""
        return self._folder / OUTBOX

    @property
    def inbox(self) -> Path:
        """Files that came back."""
        return self._folder / INBOX

    def push(self, sheets: Sequence[Sheet], progress: Progress) -> Pushed:
        """Write the items that stand in no file of the outbox yet; nothing where all do.

        Raises:
            ConfigError: a sheet's name cannot be a file's.
            DataError: a text does not fit into a cell, or a file of the outbox cannot be read.
            MissingExtraError: openpyxl is not installed.
        """
        _check_names(sheets)
        self.outbox.mkdir(parents=True, exist_ok=True)
        self.inbox.mkdir(parents=True, exist_ok=True)
        written = present = 0
        for sheet in progress.track(sheets, "files", len(sheets)):
            new = {item for form in self._formats for item in self._push(sheet, form)}
            written, present = written + len(new), present + len(sheet.items) - len(new)
        record = load_record(self._record)
        sent = tuple(sorted({*record.sent, *(sheet.name for sheet in sheets)}))
        name = record.name or secrets.token_hex(4)
        save_record(self._record, record.model_copy(update={"name": name, "sent": sent}))
        return Pushed(written, present)

    def _push(self, sheet: Sheet, form: Format) -> list[str]:
        """Write what is missing in one format; returns the ids of what was written."""
        parts = self._parts(sheet, form)
        tables = [read_table(path, self._limits) for path in parts.values()]
        sent = {line.cells[ITEM].strip() for table in tables for line in table.lines}
        new = [item for item in sheet.items if item.item_id not in sent]
        number = max(parts, default=0)
        for start in range(0, len(new), self._rows):
            number += 1
            suffix = "" if number == 1 else f".{number}"
            path = self.outbox / f"{sheet.name}{suffix}.{form}"
            _write(path, sheet, new[start : start + self._rows], form)
        return [item.item_id for item in new]

    def _parts(self, sheet: Sheet, form: Format) -> dict[int, Path]:
        """Files of a sheet that are in the outbox, by number."""
        pattern = re.compile(rf"{re.escape(sheet.name)}(?:\.(\d+))?\.{form}")
        found = [(pattern.fullmatch(path.name), path) for path in sorted(self.outbox.iterdir())]
        return {int(name[1] or 1): path for name, path in found if name}

    def pull(self, sheets: Sequence[Sheet], progress: Progress) -> Pulled:
        """The answers that stand in the inbox.

        Raises:
            ConfigError: a sheet's name cannot be a file's.
            DataError: a file cannot be read or belongs to no sheet, or one that was read before is
                gone and answers with it.
            MissingFileError: a sheet was never sent from this folder.
        """
        _check_names(sheets)
        self._check_sent(sheets)
        by_name = {sheet.name: sheet for sheet in sheets}
        files = [file for file in self._received(by_name) if file.sheet in by_name]
        read = [
            self._read(file, by_name[file.sheet])
            for file in progress.track(files, "files", len(files))
        ]
        self._remember(read, tuple(by_name))
        folder = load_record(self._record).name
        return _pulled(read, {name: f"files:{folder}:{name}" for name in by_name})

    def _check_sent(self, sheets: Sequence[Sheet]) -> None:
        """An empty folder is no sign that everybody withdrew: it is the wrong folder."""
        unsent = sorted({sheet.name for sheet in sheets} - set(load_record(self._record).sent))
        if unsent or not self.inbox.is_dir():
            fail(MissingFileError, where=str(self._folder),
                 expected="the folder that the sheets were pushed to",
                 found=f"not sent from here: {', '.join(unsent[:3]) or 'no inbox'}",
                 do="name the right folder with --files, or push to this one first")  # fmt: skip

    def _read(self, file: _Received, sheet: Sheet) -> _Read:
        source = Source(file.name, file.who, modified_at(file.path))
        table = read_table(file.path, self._limits)
        return _Read(file, responses(sheet, table, source, self._identify))

    def _received(self, sheets: Iterable[str]) -> Iterator[_Received]:
        """Files of the inbox; what programs keep beside open files is passed over."""
        names = {*sheets, *load_record(self._record).sent}
        for path in sorted(self.inbox.rglob("*")):
            if path.is_file() and not path.name.startswith((".", "~$")):
                yield _named(path, path.relative_to(self.inbox).as_posix(), names)

    def _remember(self, read: Sequence[_Read], sheets: Sequence[str]) -> None:
        before = load_record(self._record)
        now = before.model_copy(update={"read": {
            name: file for name, file in before.read.items() if file.sheet not in sheets
        } | {
            item.received.name: ReadFile(
                sheet=item.received.sheet,
                rows=tuple((row.item_id, row.annotator) for row in item.answered.rows),
            )
            for item in read
        }})  # fmt: skip
        refuse_losses(self._record, before, now, sheets)
        save_record(self._record, now)


def _named(path: Path, name: str, sheets: Iterable[str]) -> _Received:
    """The file with the sheet it belongs to (the longest name that fits) and who is named."""
    stem = path.name.removesuffix(path.suffix)
    for sheet in sorted(sheets, key=len, reverse=True):
        rest = _REST.fullmatch(stem.removeprefix(sheet)) if stem.startswith(sheet) else None
        if rest is not None:
            return _Received(path, name, sheet, rest["who"])
    fail(DataError, where=name, expected="SHEET.WHO.xlsx, SHEET as in the outbox",
         found=f"'{path.name}'", do="rename it, or move it out of the inbox")  # fmt: skip


def _check_names(sheets: Sequence[Sheet]) -> None:
    names = [sheet.name for sheet in sheets]
    for name in names:
        if not _SAFE_NAME.fullmatch(name) or _ENDS_IN_NUMBER.search(name) or names.count(name) > 1:
            fail(ConfigError, where=f"sheet '{name}'",
                 expected="a name of its own: letters, digits, . _ + -, no number after a dot",
                 found=f"'{name}'", do="name the campaign otherwise")  # fmt: skip


def _write(path: Path, sheet: Sheet, items: Sequence[ShownItem], form: Format) -> None:
    """Write a file that is not there yet, by a rename: it is whole or it is not there."""
    part = path.with_name(f".{path.name}.part")
    if form is Format.XLSX:
        write_workbook(part, sheet, items)
    else:
        write_csv(part, sheet, items)
        path.with_name(f"{sheet.name}.md").write_text(_guidelines(sheet), "utf-8")
    part.replace(path)


def _guidelines(sheet: Sheet) -> str:
    asked = [f"- `{question.name}`: {question.title} {question.description} "
             f"{how_answered(question)}".rstrip() for question in sheet.questions]  # fmt: skip
    return "\n".join([sheet.guidelines.rstrip(), "", *asked, ""])


def _pulled(read: Sequence[_Read], places: dict[str, str]) -> Pulled:
    by_sheet: dict[str, list[Response]] = {}
    for item in read:
        by_sheet.setdefault(item.received.sheet, []).extend(item.answered.rows)
    standing = [row for rows in by_sheet.values() for row in newest(rows)]
    given = tuple(
        Given(row.item_id, question, row.annotator, value, row.at)
        for row in standing
        for question, value in sorted(row.values.items())
    )
    refused = tuple(refusal for item in read for refusal in item.answered.refused)
    return Pulled(given, places, sum(row.draft for row in standing), refused)
