"""Answers in a file that came back: what can be taken over, and what is refused and why.

A row is one person's response to one item. A row without an answer says nothing; one that lacks an
answer that must be given is a draft; a value that is no answer is refused by itself.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from whyguard.annotation.questions import Answering, Question, stored
from whyguard.annotation.views.base import Refused, Sheet, ShownItem
from whyguard.annotation.views.files.layout import (
    ANNOTATOR,
    EXTRA,
    ITEM,
    SUBMITTED,
    SUGGESTED,
    Role,
    columns_of,
)
from whyguard.annotation.views.files.tables import Line, Table
from whyguard.core.errors import DataError, fail
from whyguard.core.text_safety import one_line

Identify = Callable[[str, str], str | None]
"""(name or pseudonym, the sheet's space) -> pseudonym; None where nobody there is called so."""
_WHOLE = re.compile(r"(\d+)(?:[.,]0+)?")


class Source(NamedTuple):
    """Where a table came from."""

    file: str
    """Its path below the inbox."""
    who: str | None
    """The name in the file's name."""
    modified: datetime.datetime


@dataclass(frozen=True, slots=True)
class Response:
    """One row that somebody began to answer."""

    item_id: str
    annotator: str
    at: datetime.datetime
    source: Source
    row: int
    values: Mapping[str, str]
    """Question -> answer in stored form; empty for a draft."""
    draft: bool


@dataclass(slots=True)
class Responses:
    """What a file gave."""

    rows: list[Response] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class _No(Exception):  # noqa: N818 - an answer to a row, not an error of the program
    """A row, or a cell, that cannot be taken over."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


def responses(sheet: Sheet, table: Table, source: Source, identify: Identify) -> Responses:
    """The responses in a table that came back for a sheet.

    Raises:
        DataError: columns are missing, or there are others than were sent.
    """
    _check_columns(sheet, table, source)
    items = {item.item_id: item for item in sheet.items}
    read = Responses()
    for line in table.lines:
        answers = [q for q in sheet.questions if line.cells.get(q.name, "").strip()]
        if not answers:
            continue
        try:
            _take(sheet, line, answers, items, source, identify, read)
        except _No as no:
            _refuse(read, line, source, no)
    return _without_contradictions(read)


def _check_columns(sheet: Sheet, table: Table, source: Source) -> None:
    sent = columns_of(sheet)
    needed = {column.name for column in sent if column.role is not Role.SUGGESTION}
    known = needed | set(EXTRA) | {SUGGESTED + question.name for question in sheet.questions}
    missing, strange = sorted(needed - set(table.names)), sorted(set(table.names) - known)
    if missing or strange:
        found = [f"no {', '.join(missing)}"] if missing else []
        found += [f"also {', '.join(strange)}"[:200]] if strange else []
        fail(DataError, where=source.file, expected=f"the columns that {sheet.name} was sent with",
             found="; ".join(found),
             do="put the columns back; move remarks to a note")  # fmt: skip


def _take(sheet: Sheet, line: Line, answers: Iterable[Question], items: Mapping[str, ShownItem],
          source: Source, identify: Identify, read: Responses) -> None:  # fmt: skip
    item = items.get(line.cells[ITEM].strip())
    if item is None:
        raise _No(ITEM, f"no item of {sheet.name}")
    for shown in sheet.fields:
        if _plain(line.cells[shown.name]) != _plain(item.fields.get(shown.name, "")):
            raise _No(shown.name, "the text is not the one that was sent: the answers may speak "
                      "of another")  # fmt: skip
    annotator = _annotator(sheet, line, source, identify)
    at = _submitted(line, source)
    values: dict[str, str] = {}
    for question in answers:
        try:
            values[question.name] = _value(question, line.cells[question.name])
        except _No as no:
            _refuse(read, line, source, no)
    draft = any(q.required and q.name not in values for q in sheet.questions)
    read.rows.append(Response(item.item_id, annotator, at, source, line.number,
                              {} if draft else values, draft))  # fmt: skip


def _plain(text: str) -> str:
    """A text without what programs change on the way: kinds of line end, blanks at the ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _annotator(sheet: Sheet, line: Line, source: Source, identify: Identify) -> str:
    name = line.cells.get(ANNOTATOR, "").strip() or source.who
    if not name:
        raise _No(ANNOTATOR, "nobody is named, neither here nor in the file's name")
    pseudonym = identify(name, sheet.space)
    if pseudonym is None:
        raise _No(ANNOTATOR, f"nobody who answers {sheet.space} is called "
                  f"'{one_line(name)[:60]}'")  # fmt: skip
    return pseudonym


def _submitted(line: Line, source: Source) -> datetime.datetime:
    text = line.cells.get(SUBMITTED, "").strip()
    if not text:
        return source.modified
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise _No(SUBMITTED, f"expected a time such as 2026-01-31T12:00:00Z, found "
                  f"'{one_line(text)[:60]}'") from None  # fmt: skip
    return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)


def _value(question: Question, text: str) -> str:
    try:
        value = stored(question, _typed(question, text.strip()), question.name)
    except DataError as error:
        raise _No(question.name, one_line(str(error))) from error
    if value is None:
        raise _No(question.name, "no answer")
    return value


def _typed(question: Question, text: str) -> object:
    """The answer behind what was typed: options in any case, whole numbers in any digits."""
    if question.answering is Answering.LABEL:
        return _option(question, text)
    if question.answering is Answering.LABELS:
        parts = [part.strip() for part in re.split(r"[,;\n]", text)]
        return [_option(question, part) for part in parts if part]
    whole = _WHOLE.fullmatch(text)
    if question.answering is Answering.RATING and whole:
        return int(whole[1])
    return text


def _option(question: Question, text: str) -> str:
    known = {option.casefold(): option for option in question.options}
    return known.get(text.casefold(), text)


def _refuse(read: Responses, line: Line, source: Source, no: _No) -> None:
    where = f"{source.file}: row {line.number}, column '{no.column}'"
    read.refused.append(Refused(line.cells[ITEM].strip()[:120], where, no.reason))


def _without_contradictions(read: Responses) -> Responses:
    """One person's two unlike rows for one item in one file: which is meant cannot be told."""
    by_key: dict[tuple[str, str], list[Response]] = {}
    for row in read.rows:
        by_key.setdefault((row.item_id, row.annotator), []).append(row)
    kept = Responses(refused=list(read.refused))
    for rows in by_key.values():
        if all(row.values == rows[0].values for row in rows):
            kept.rows.append(rows[0])
            continue
        numbers = ", ".join(str(row.row) for row in rows)
        where = f"{rows[0].source.file}: rows {numbers}, column '{ITEM}'"
        kept.refused.append(Refused(rows[0].item_id, where, "answered twice, not alike"))
    return kept


def newest(rows: Iterable[Response]) -> list[Response]:
    """Of each person and item the row that was submitted last; then the file changed last."""
    latest: dict[tuple[str, str], Response] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.source.modified, row.source.file)):
        latest[row.item_id, row.annotator] = row
    return sorted(latest.values(), key=lambda row: (row.item_id, row.annotator))
