"""Reads csv, tsv, jsonl(.gz) and parquet into raw rows that know their place.

A bad file is an error; a bad row is a reject with its reason (`rejects.py` draws the line).
"""

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import polars as pl

from whyguard.core.csv_fields import longest_field
from whyguard.core.errors import DataError, MissingFileError, fail
from whyguard.core.nearest import nearest
from whyguard.curation.rejects import RawRow, Reject, RowError, refuse_bad_file, rejected, shown

_LISTED_COLUMNS = 20
_LONGEST_FIELD = 2**31 - 1
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class RawFile(NamedTuple):
    """What a file holds. `read` = rows + rejects; columns in the order they first appear."""

    path: Path
    columns: tuple[str, ...]
    rows: list[RawRow]
    rejects: list[Reject]

    @property
    def read(self) -> int:
        """Data rows of the file, bad ones too (blank lines are not rows)."""
        return len(self.rows) + len(self.rejects)


def read_raw(path: Path, required: Iterable[str] = ()) -> RawFile:
    """Read a file whose columns must include `required`.

    Blank lines are no rows. In parquet files the row number stands for the line. tsv is csv with
    tabs: fields may be quoted.

    Raises:
        MissingFileError: there is no such file.
        DataError: the ending is unknown, the file is empty or holds a header only, is not UTF-8,
            gzip or parquet, lacks a required column, or more than half of its rows break one rule.
    """
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="a data file",
             found="a folder" if path.is_dir() else "no such file",
             do="check the path")  # fmt: skip
    reader = _reader_of(path)
    if path.stat().st_size == 0:
        _empty(path, "0 bytes")
    file = reader(path)
    _check_columns(file, tuple(required))
    refuse_bad_file(path, file.read, file.rejects)
    return file


def _reader_of(path: Path) -> Callable[[Path], RawFile]:
    for ending, reader in _READERS.items():
        if path.name.lower().endswith(ending):
            return reader
    fail(DataError, where=str(path), expected=f"a file ending in {', '.join(_READERS)}",
         found=f"'{''.join(path.suffixes[-2:]) or path.name}'",
         do="convert the file, or rename it after what it holds")  # fmt: skip


def _read_csv(path: Path, delimiter: str = ",") -> RawFile:
    records = list(_csv_records(path, _decoded(path, path.read_bytes()), delimiter))
    if not records:
        _empty(path, "blank lines only")
    header = _header(path, records[0])
    if len(records) == 1:
        _empty(path, "a header and no rows")
    rows: list[RawRow] = []
    rejects: list[Reject] = []
    for number, record in enumerate(records[1:], 1):
        raw = RawRow(number, record.line, {"fields": record.fields})
        problem = record.problem or _wrong_count(record.fields, header)
        if problem:
            rejects.append(rejected(raw, f"line-{record.line}", problem))
        else:
            rows.append(raw._replace(values=dict(zip(header, record.fields, strict=True))))
    return RawFile(path, header, rows, rejects)


class _CsvRecord(NamedTuple):
    line: int
    fields: list[str]
    problem: RowError | None = None


def _csv_records(path: Path, text: str, delimiter: str) -> Iterator[_CsvRecord]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            # Python's limit of 131,072 characters would refuse long but honest texts
            with longest_field(_LONGEST_FIELD):
                fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                fail(DataError, where=f"{path}:{line}",
                     expected="every quote that opens a field to be closed",
                     found="a quote that opens on this line (or later in its row) and never closes",
                     do="close the quote, or double the quotes inside quoted fields")  # fmt: skip
            yield _CsvRecord(line, [], _broken_csv(str(error), line, reader.line_num))
            continue
        if fields:
            yield _CsvRecord(line, fields)


def _broken_csv(message: str, first: int, last: int) -> RowError:
    place = f"line {first}" if first == last else f"lines {first} to {last}, which one row took up"
    return RowError("broken_csv", "row", "quotes only around whole fields", f"{message} in {place}",
                   "double the quotes inside quoted fields")  # fmt: skip


def _wrong_count(fields: Sequence[str], header: Sequence[str]) -> RowError | None:
    if len(fields) == len(header):
        return None
    return RowError("wrong_field_count", "row", f"{len(header)} fields, as in the header",
                   f"{len(fields)} fields",
                   "quote fields that hold the separator or line breaks")  # fmt: skip


def _header(path: Path, record: _CsvRecord) -> tuple[str, ...]:
    names = tuple(name.strip() for name in record.fields)
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if record.problem or repeated:
        found = record.problem.found if record.problem else f"{shown(repeated[0])} twice"
        fail(DataError, where=f"{path}:{record.line}", expected="a header of distinct names",
             found=found, do="repair the header")  # fmt: skip
    # Nameless columns (an index that a tool wrote) may repeat; give each a name of its own.
    return tuple(name or f"column {index}" for index, name in enumerate(names, 1))


def _read_jsonl(path: Path, data: bytes | None = None) -> RawFile:
    text = _decoded(path, path.read_bytes() if data is None else data)
    rows: list[RawRow] = []
    rejects: list[Reject] = []
    number = 0
    # "\n" only: str.splitlines() would also break rows at U+2028, which JSON strings may hold.
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        number += 1
        try:
            rows.append(RawRow(number, line, _json_object(content)))
        except RowError as problem:
            raw = RawRow(number, line, {"line": content})
            rejects.append(rejected(raw, f"line-{line}", problem))
    if not number:
        _empty(path, "blank lines only")
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    return RawFile(path, columns, rows, rejects)


def _json_object(content: str) -> dict[str, Any]:
    try:
        value = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        found = str(error) if isinstance(error, ValueError) else "nesting too deep to read"
        raise RowError("broken_json", "line", "one JSON object", found,
                      "write one complete JSON object a line") from error  # fmt: skip
    if not isinstance(value, dict):
        raise RowError("json_not_object", "line", "one JSON object",
                      f"JSON of type {type(value).__name__}",
                      "write one JSON object a line, with a key for each column")  # fmt: skip
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which JSON does not have")


def _read_jsonl_gz(path: Path) -> RawFile:
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        fail(DataError, where=str(path), expected="a complete gzip file", found=str(error),
             do="fetch it again, or drop .gz from its name if it is not packed")  # fmt: skip
    if not data:
        _empty(path, "0 bytes once unpacked")
    return _read_jsonl(path, data)


def _read_parquet(path: Path) -> RawFile:
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        fail(DataError, where=str(path), expected="a parquet file",
             found=str(error).splitlines()[0][:200],
             do="write the file again with a parquet writer")  # fmt: skip
    if table.height == 0:
        _empty(path, "columns and no rows")
    rows = [RawRow(n, n, values) for n, values in enumerate(table.iter_rows(named=True), 1)]
    return RawFile(path, tuple(table.columns), rows, [])


_READERS: dict[str, Callable[[Path], RawFile]] = {
    ".csv": _read_csv,
    ".tsv": lambda path: _read_csv(path, "\t"),
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl_gz,
    ".parquet": _read_parquet,
}


def _decoded(path: Path, data: bytes) -> str:
    """UTF-8 text without a byte-order mark.

    Bytes that are not UTF-8 are always a bad file: dropping the rows that hold them would drop
    rows with accents only, and so bias the data.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the byte-order mark.
        start = error.start + len(data) - len(error.object)
        line = data[:start].count(b"\n") + 1
        guess = "UTF-16" if data.startswith(_UTF16) else "WINDOWS-1252"
        fail(DataError, where=f"{path}:{line}", expected="UTF-8 text",
             found=f"byte 0x{data[start]:02x} at offset {start} (from 0), which is not UTF-8",
             do=f"convert the whole file, for example: iconv -f {guess} -t UTF-8")  # fmt: skip


def _check_columns(file: RawFile, required: Sequence[str]) -> None:
    missing = [name for name in required if name not in file.columns]
    if not missing or not file.rows:
        return
    name = missing[0]
    listed = ", ".join(shown(column) for column in file.columns[:_LISTED_COLUMNS])
    more = " ..." if len(file.columns) > _LISTED_COLUMNS else ""
    close = nearest(name, file.columns)
    hint = f"did you mean {shown(close)}? " if close else ""
    fail(DataError, where=f"{file.path}:1", expected=f"a column '{name}'",
         found=f"columns {listed}{more}",
         do=f"{hint}Name the right column under 'columns:', or rename it in the file")  # fmt: skip


def _empty(path: Path, found: str) -> NoReturn:
    fail(DataError, where=str(path), expected="at least one row", found=f"an empty file: {found}",
         do="check that the file was written or downloaded completely")  # fmt: skip
