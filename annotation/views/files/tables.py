"""Reads a file that came back, xlsx or csv, as rows of plain texts; writes csv.

What comes back is not trusted: an xlsx file is looked at as an archive first (size, macros, links
to other files), formulas are texts, and nothing is ever worked out or fetched.
"""

import csv
import datetime
import io
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from whyguard.annotation.views.base import Sheet, ShownItem
from whyguard.annotation.views.files.cells import as_text, csv_escaped, from_csv
from whyguard.annotation.views.files.layout import ITEM, cells_of, columns_of, name_in
from whyguard.annotation.views.files.workbook import ITEMS, check_length
from whyguard.core.csv_fields import longest_field
from whyguard.core.errors import DataError, explain, fail
from whyguard.core.optional import require

XLSX, CSV = ".xlsx", ".csv"
_ACTIVE = {
    "vbaproject": "macros", "macrosheets": "macros", "dialogsheets": "macros",
    "activex": "controls", "ctrlprops": "controls", "embeddings": "embedded files",
    "externallinks": "links to other files", "connections.xml": "links to data",
    "querytables": "links to data", "webextensions": "add-ins",
}  # fmt: skip
"""Parts of an archive's names -> what they bring."""


class Limits(NamedTuple):
    """How much a file may hold."""

    unpacked: int = 64 * 2**20
    """Bytes, unpacked."""
    parts: int = 500
    """Files in an xlsx archive."""
    rows: int = 20_000
    columns: int = 200
    cell: int = 100_000
    """Characters, in csv."""


LIMITS = Limits()


class Line(NamedTuple):
    """One row: its number in the file, and texts by column name."""

    number: int
    cells: dict[str, str]


class Table(NamedTuple):
    """The items of a file."""

    names: tuple[str, ...]
    lines: tuple[Line, ...]


def write_csv(path: Path, sheet: Sheet, items: Sequence[ShownItem]) -> None:
    """Write `items` of a sheet to `path`: UTF-8 with the mark by which Excel knows it.

    Raises:
        DataError: a text is longer than a spreadsheet's cell can hold.
    """
    columns = columns_of(sheet)
    for item in items:
        for column, text in zip(columns, cells_of(sheet, item, columns), strict=True):
            check_length(csv_escaped(text), f"item {item.item_id}, {column.name}")
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow([column.name for column in columns])
        for item in items:
            writer.writerow([csv_escaped(text) for text in cells_of(sheet, item, columns)])


def read_table(path: Path, limits: Limits = LIMITS) -> Table:
    """The items' rows of a file; rows without any text are left out.

    Raises:
        DataError: it is no xlsx or csv file, holds macros, links or more than `limits` allow, or
            its columns cannot be told apart.
        MissingExtraError: openpyxl is not installed, and the file is xlsx.
    """
    kind = path.suffix.lower()
    if kind == XLSX:
        rows = _xlsx_rows(path, limits)
    elif kind == CSV:
        rows = _csv_rows(path, limits)
    else:
        _refuse(path, "an xlsx or csv file", f"'{path.suffix}'", "save it as .xlsx")
    return _table(path, rows, limits)


def _table(path: Path, rows: Iterable[Sequence[str]], limits: Limits) -> Table:
    numbered = enumerate(rows, 1)
    _, header = next(numbered, (1, ()))
    names = tuple(name_in(text) for text in header)
    named = [name for name in names if name]
    if ITEM not in names or len(set(named)) < len(named):
        _refuse(path, f"one '{ITEM}' and each other name once in the first row",
                f"{', '.join(names)[:200] or 'nothing'}",
                "put the first row back as it was sent")  # fmt: skip
    lines = []
    for number, row in numbered:
        if number > limits.rows:
            _refuse(path, f"at most {limits.rows} rows", "more", "delete empty rows at the end")
        if any(text.strip() for text in row):
            lines.append(_line(path, number, names, row))
    return Table(tuple(named), tuple(lines))


def _line(path: Path, number: int, names: Sequence[str], row: Sequence[str]) -> Line:
    cells: dict[str, str] = {}
    for at, text in enumerate(row):
        name = names[at] if at < len(names) else ""
        if name:
            cells[name] = text
        elif text.strip():
            _refuse(path, "cells below a name in the first row only",
                    f"row {number}, column {at + 1}: a text without one",
                    "move it to a column that has one, such as a note")  # fmt: skip
    return Line(number, cells)


def _csv_rows(path: Path, limits: Limits) -> list[list[str]]:
    if path.stat().st_size > limits.unpacked:
        _refuse(path, f"at most {limits.unpacked} bytes", f"{path.stat().st_size}", "split it")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        with longest_field(limits.cell):
            return [[from_csv(cell) for cell in row] for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        message = explain(str(path), "csv in UTF-8", str(error)[:200],
                          "save it as 'CSV UTF-8', or send the xlsx file")  # fmt: skip
        raise DataError(message) from error


def _delimiter(text: str) -> str:
    """The comma, or what a spreadsheet program of another country put in its place."""
    for delimiter in ",;\t":
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        if ITEM in [name_in(cell) for cell in first]:
            return delimiter
    return ","


def _xlsx_rows(path: Path, limits: Limits) -> list[list[str]]:
    _inspect(path, limits)
    require("openpyxl", "annotate")
    # a hostile or broken file can fail anywhere inside the reader, with any type of error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of looks that would be lost on saving
            return _sheet_rows(path, limits)
    except DataError:
        raise
    except Exception as error:
        message = explain(str(path), "a readable xlsx file", _first_cause(error),
                          "open it in a spreadsheet program and save it anew")  # fmt: skip
        raise DataError(message) from error


def _first_cause(error: BaseException) -> str:
    """The type of the error that began it: openpyxl wraps most, and messages may hold texts."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _sheet_rows(path: Path, limits: Limits) -> list[list[str]]:
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=False, keep_links=False)
    try:
        if ITEMS not in book.sheetnames:
            _refuse(path, f"a worksheet '{ITEMS}'", ", ".join(book.sheetnames)[:200],
                    "send back the file that was sent, with its answers")  # fmt: skip
        rows = book[ITEMS].iter_rows(
            max_row=limits.rows + 1, max_col=limits.columns, values_only=True
        )
        return [[as_text(value) for value in row] for row in rows]
    finally:
        book.close()


def _inspect(path: Path, limits: Limits) -> None:
    """Refuse what is no plain workbook before anything in it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        message = explain(str(path), "an xlsx file", "another kind of file, or a broken one",
                          "save it as .xlsx, without a password")  # fmt: skip
        raise DataError(message) from error
    size = sum(part.file_size for part in parts)
    if size > limits.unpacked or len(parts) > limits.parts:
        _refuse(path, f"at most {limits.unpacked} bytes in {limits.parts} parts, unpacked",
                f"{size} bytes in {len(parts)} parts",
                "delete pictures and empty rows, or ask for smaller files")  # fmt: skip
    for part in parts:
        for mark, what in _ACTIVE.items():
            if mark in part.filename.lower():
                _refuse(path, "a workbook of texts", f"{what} ({part.filename})",
                        "save the answers in the file that was sent")  # fmt: skip


def _refuse(path: Path, expected: str, found: str, do: str) -> NoReturn:
    fail(DataError, where=str(path), expected=expected, found=found, do=do)


def modified_at(path: Path) -> datetime.datetime:
    """When a file was last changed (UTC)."""
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
