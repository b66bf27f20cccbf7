"""Raw rows -> records: columns, labels, languages, categories, ids.

`read_records` reads any generic file; presets bring their own conversion of rows (`presets.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import UnknownLanguageError
from whyguard.core.languages import ENGLISH, known_languages
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN, Label
from whyguard.curation.normalise import is_blank, normalise
from whyguard.curation.readers import RawFile, read_raw
from whyguard.curation.rejects import (
    S4_RULE,
    RawRow,
    RowError,
    drop_of,
    refuse_bad_file,
    rejected,
    shown,
)
from whyguard.curation.screen import looks_like_s4

IDENTITY_LABELS: Mapping[str, str] = {label.value: label.value for label in Label}


class Columns(BaseModel):
    """Names of a file's columns; None: the file has no such column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = "text"
    label: str | None = None
    id: str | None = None
    language: str | None = None
    category: str | None = None
    family: str | None = None
    group: str | None = None

    def named(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return tuple(name for name in self.model_dump().values() if name is not None)


GENERIC = Columns(label="label", id="id", language="language", category="category",
                  family="family", group="group")  # fmt: skip
"""The columns of a generic file, such as `whyguard eval --data` takes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows of one file become records."""

    columns: Columns
    language: str | None = None
    """Language of rows in files without a language column."""
    label: str | None = None
    """Label of every row, for files without a label column."""
    labels: Mapping[str, str] | None = None
    """Raw label -> harmful | unharmful; None: those two words themselves."""
    categories: Mapping[str, tuple[str, ...]] | None = None
    """Raw category -> S codes; None: the codes themselves."""
    any_flag: bool = False
    """Evaluation only: an unknown label counts as unharmful (the published rule)."""
    languages: frozenset[str] = frozenset()
    """Accepted language codes; empty: every code of the packaged table."""


class Record(NamedTuple):
    """One prompt of a file. `family` and `group` are ids within the file; `where` is "file:line".

    `translation_of` is the (id, language) of the record that this one translates.
    """

    id: str
    text: str
    language: str
    label: str
    categories: tuple[str, ...]
    family: str
    group: str
    where: str = ""
    translation_of: tuple[str, str] | None = None
    translator: str | None = None


class Records(NamedTuple):
    """What was read: `read` = len(rows) + len(drops)."""

    rows: list[Record]
    drops: list[dict[str, str]]
    read: int
    ids: str
    """Where ids come from: "column 'id'" or "row numbers (why)"."""


Convert = Callable[[RawRow, str, Reading], Sequence[Record]]
"""(raw row, its id, how to read) -> records; raises `RowError` where the row cannot be used."""


def read_records(
    path: Path,
    columns: Columns = GENERIC,
    *,
    labels: Mapping[str, str] | None = None,
    label: str | None = None,
    language: str | None = None,
    categories: Mapping[str, tuple[str, ...]] | None = None,
    optional: Iterable[str] = ("id", "category", "family", "group"),
    source: str | None = None,
) -> Records:
    """Read a generic csv, tsv, jsonl(.gz) or parquet file.

    Args:
        path: the file.
        columns: names of its columns.
        labels: raw label -> harmful | unharmful; by default those two words themselves.
        label: label of every row; the label column is then not read.
        language: language of every row in files without the language column.
        categories: raw category -> S codes; by default the codes themselves.
        optional: fields of `columns` whose column may be absent.
        source: prefix of drop ids; by default the file's name up to its first dot.

    Raises:
        MissingFileError: there is no such file.
        DataError: the file is a bad file (see `readers.read_raw` and `rejects.refuse_bad_file`).
    """
    absent_ok = set(optional) | ({"language"} if language else set())
    if label is not None:
        columns = columns.model_copy(update={"label": None})
    must = [name for field, name in columns.model_dump().items()
            if name is not None and field not in absent_ok]  # fmt: skip
    raw = read_raw(path, must)
    present = {field: name if name in raw.columns else None
               for field, name in columns.model_dump().items()}  # fmt: skip
    reading = Reading(Columns(**present), language, label, labels, categories)
    return convert_file(raw, reading, convert_generic, source or path.name.split(".")[0])


def convert_file(raw: RawFile, reading: Reading, convert: Convert, source: str) -> Records:
    """Turn a raw file into records and drops.

    Raises:
        DataError: more than half of the rows break one rule.
    """
    ids = _Ids(raw, reading.columns)
    records: list[Record] = []
    rejects = list(raw.rejects)
    for row in raw.rows:
        row_id = ids.of(row)
        try:
            drafts = convert(row, row_id, reading)
        except RowError as problem:
            rejects.append(rejected(row, row_id, problem))
            continue
        for draft in drafts:
            try:
                records.append(_admitted(draft, row, raw.path, reading))
            except RowError as problem:
                rejects.append(rejected(row, f"{draft.id}:{draft.language}", problem))
    read = len(records) + len(rejects)
    rejects.sort(key=lambda reject: reject.raw.line)
    refuse_bad_file(raw.path, read, rejects)
    return Records(records, [drop_of(r, source, raw.path) for r in rejects], read, ids.origin)


def convert_generic(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """The conversion of a file with one prompt a row."""
    columns, values = reading.columns, row.values
    family = scalar(values.get(columns.family or "")) or row_id
    return [Record(
        id=row_id,
        text=text_of(values, columns.text),
        language=language_of(values, reading),
        label=label_of(values, reading),
        categories=categories_of(values, reading),
        family=family,
        group=scalar(values.get(columns.group or "")) or family,
    )]  # fmt: skip


def text_of(values: Mapping[str, Any], column: str) -> str:
    """The raw text of a column; empty where it holds nothing."""
    value = values.get(column)
    if value is not None and not isinstance(value, str):
        raise RowError("text_not_string", column, "a text", f"a {type(value).__name__}",
                       "name the column that holds the prompt under 'columns: text:'")  # fmt: skip
    return value or ""


def label_of(values: Mapping[str, Any], reading: Reading) -> str:
    """The label of a row: the constant, or its mapped value."""
    if reading.label is not None:
        return reading.label
    labels = IDENTITY_LABELS if reading.labels is None else reading.labels
    column = reading.columns.label or "label"
    value = scalar(values.get(column))
    if value not in labels:
        known = ", ".join(f"'{name}'" for name in labels)
        raise RowError("label_not_mapped", column, f"a mapped label value: {known}",
                       shown(value or None),
                       "map each value to harmful or unharmful under 'labels:' (quote yes, no, "
                       "true and false there)")  # fmt: skip
    return labels[value]


def language_of(values: Mapping[str, Any], reading: Reading) -> str:
    """The language of a row: its column's value, or the file's."""
    column = reading.columns.language
    if column is None:
        return reading.language or ENGLISH
    return scalar(values.get(column))


def categories_of(values: Mapping[str, Any], reading: Reading) -> tuple[str, ...]:
    """S codes of a row: a code, codes with commas or semicolons between, a list, or mapped values.

    An empty field is no category.
    """
    column = reading.columns.category
    if column is None:
        return ()
    value = values.get(column)
    codes: list[str] = []
    for name in _category_names(value, reading.categories):
        codes.extend(codes_of(name, reading.categories, column))
    return tuple(dict.fromkeys(codes))


def codes_of(
    name: str, mapping: Mapping[str, tuple[str, ...]] | None, column: str
) -> tuple[str, ...]:
    """The S codes that one raw category stands for."""
    if mapping is not None and name in mapping:
        return mapping[name]
    if mapping is None and name in CATEGORY_CODES:
        return (name,)
    known = "one of S1..S14" if mapping is None else f"one of {', '.join(map(shown, mapping))}"
    raise RowError("unknown_category", column, known, shown(name),
                   "map each value to S codes under 'categories:'")  # fmt: skip


def _category_names(value: Any, mapping: Mapping[str, tuple[str, ...]] | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [scalar(item) for item in value]
    name = scalar(value)
    if mapping is not None and name in mapping:
        return [name]
    return [part.strip() for part in name.replace(";", ",").split(",") if part.strip()]


def scalar(value: Any) -> str:
    """A value of any file type as text: null is empty, 1.0 is "1", true is "true"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _admitted(draft: Record, row: RawRow, path: Path, reading: Reading) -> Record:
    """The record in normalised form, if it may pass."""
    _check_language(draft.language, reading)
    if any("\ud800" <= char <= "\udfff" for char in draft.text):
        raise RowError("lone_surrogate", reading.columns.text, "text that UTF-8 can hold",
                       "half of a surrogate pair", "repair the escapes in the file")  # fmt: skip
    text = normalise(draft.text)
    if is_blank(text):
        raise RowError("empty_text", reading.columns.text, "a text", "no visible character",
                       "name the column that holds the prompt under 'columns: text:'")  # fmt: skip
    if set(draft.categories) & set(NOT_WRITTEN):
        raise s4_error("categories", "category S4")
    if draft.label == Label.HARMFUL and looks_like_s4(text):
        raise s4_error(reading.columns.text, "words of minors and sexual matters together")
    return draft._replace(text=text, where=f"{path.name}:{row.line}")


def s4_error(field: str, found: str) -> RowError:
    """The planned refusal of a row that is, or may be, of category S4."""
    return RowError(S4_RULE, field, "no row of S4, which is never carried", found,
                    "nothing: such rows are left out on purpose", planned=True)  # fmt: skip


def _check_language(code: str, reading: Reading) -> None:
    if code in reading.languages:
        return
    field = reading.columns.language or "language"
    if reading.languages:
        raise RowError("unknown_language", field, f"one of {', '.join(sorted(reading.languages))}",
                       shown(code), "correct the code, or list it under 'languages:'")  # fmt: skip
    try:
        known_languages().get(code)
    except UnknownLanguageError as error:
        hint = str(error).rpartition("to do:")[2].strip()
        raise RowError("unknown_language", field, "a known code such as ast_Latn",
                       shown(code or None), hint) from error  # fmt: skip


class _Ids:
    """The id of each row: its id column's value where that is filled and unique, else its number.

    One id may stand once a language: rows of one id are then one family.
    """

    def __init__(self, raw: RawFile, columns: Columns) -> None:
        self._column = columns.id
        self.origin = f"column '{self._column}'"
        if self._column is None:
            self._fall_back("no id column")
            return
        seen: set[tuple[str, str]] = set()
        for row in raw.rows:
            value = scalar(row.values.get(self._column))
            key = (value, scalar(row.values.get(columns.language or "")))
            if not value or key in seen:
                problem = f"repeats {shown(value)}" if value else "is empty"
                self._fall_back(f"column '{self._column}' {problem} at line {row.line}")
                return
            seen.add(key)

    def of(self, row: RawRow) -> str:
        """The id of a row."""
        return str(row.number) if self._column is None else scalar(row.values[self._column])

    def _fall_back(self, why: str) -> None:
        self._column = None
        self.origin = f"row numbers ({why})"
