"""The columns of a sheet's file, in the order in which they stand there."""

import re
from enum import StrEnum
from typing import NamedTuple

from whyguard.annotation.questions import BLIND, Question
from whyguard.annotation.views.base import Sheet, ShownField, ShownItem
from whyguard.core.errors import ConfigError, fail
from whyguard.generation.packs.check import direction_of

ITEM, ANNOTATOR, SUBMITTED = "item_id", "annotator", "submitted_at"
EXTRA = (ANNOTATOR, SUBMITTED)
"""Columns that nobody is sent and that may come back: who answered, and when."""
SUGGESTED = "suggested_"
_NAMED = re.compile(r"\[(\w+)\]\s*$")
_BLIND = frozenset(question.name for question in BLIND)


class Role(StrEnum):
    """What a column holds."""

    ITEM = "item"
    """The item's id."""
    FIELD = "field"
    """A text that is shown."""
    SUGGESTION = "suggestion"
    """A machine's answer, to be looked at."""
    ANSWER = "answer"
    """Where the annotator writes."""


class Column(NamedTuple):
    """One column: `name` is for machines, `title` for people; answers have their question."""

    name: str
    title: str
    role: Role
    question: Question | None = None
    right_to_left: bool = False

    @property
    def header(self) -> str:
        """What stands above the column."""
        return f"{self.title}\n[{self.name}]"


def columns_of(sheet: Sheet) -> tuple[Column, ...]:
    """Item, fields, answers, folded fields, suggestions.

    Raises:
        ConfigError: a name stands for two columns.
    """
    shown = [_field(field) for field in sheet.fields if not field.folded]
    folded = [_field(field) for field in sheet.fields if field.folded]
    rtl = direction_of(sheet.language) == "rtl"
    answers = [Column(q.name, q.title, Role.ANSWER, q, rtl) for q in sheet.questions]
    suggested = [Column(SUGGESTED + question.name, f"Suggested: {question.title}", Role.SUGGESTION,
                        question, rtl)
                 for question in sheet.questions
                 if any(question.name in suggestions_of(sheet, item) for item in sheet.items)
                 ]  # fmt: skip
    columns = (Column(ITEM, "Item", Role.ITEM), *shown, *answers, *folded, *suggested)
    names = [*(column.name for column in columns), *EXTRA]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        fail(ConfigError, where=f"sheet {sheet.name}", expected="each column's name once",
             found=f"{', '.join(twice)} twice",
             do="give the field or the question another name")  # fmt: skip
    return columns


def _field(field: ShownField) -> Column:
    return Column(field.name, field.title, Role.FIELD, None, field.right_to_left)


def is_blind(sheet: Sheet) -> bool:
    """Whether the sheet asks what must be answered without a machine's opinion in sight."""
    return any(question.name in _BLIND for question in sheet.questions)


def suggestions_of(sheet: Sheet, item: ShownItem) -> dict[str, str]:
    """Suggestions by question: none on a blind sheet, and none that only repeats a field."""
    if is_blind(sheet):
        return {}
    shown = set(item.fields.values())
    return {given.question: given.value for given in item.suggestions if given.value not in shown}


def cells_of(sheet: Sheet, item: ShownItem, columns: tuple[Column, ...]) -> list[str]:
    """The texts of an item's row; answers are empty. Metadata never leaves in a file."""
    suggested = suggestions_of(sheet, item)
    return [_cell(column, item, suggested) for column in columns]


def _cell(column: Column, item: ShownItem, suggested: dict[str, str]) -> str:
    if column.role is Role.ITEM:
        return item.item_id
    if column.role is Role.FIELD:
        return item.fields.get(column.name, "")
    if column.role is Role.SUGGESTION and column.question is not None:
        return suggested.get(column.question.name, "")
    return ""


def name_in(header: str) -> str:
    """The name of the column above which `header` stands."""
    found = _NAMED.search(header)
    return found[1] if found else header.strip()
