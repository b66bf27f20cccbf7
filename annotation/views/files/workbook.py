"""Writes a sheet as an xlsx file: guidelines first, then the items with room for the answers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whyguard.annotation.questions import RATINGS, Answering, Question
from whyguard.annotation.views.base import Sheet, ShownItem
from whyguard.annotation.views.files.cells import needs_quote, xlsx_text
from whyguard.annotation.views.files.layout import Column, Role, cells_of, columns_of
from whyguard.core.errors import DataError, fail
from whyguard.core.optional import require
from whyguard.generation.packs.check import direction_of

if TYPE_CHECKING:
    from openpyxl.cell.cell import Cell
    from openpyxl.worksheet.datavalidation import DataValidation
    from openpyxl.worksheet.worksheet import Worksheet

GUIDELINES, ITEMS = "guidelines", "items"
LONGEST = 32_767
"""Characters that a cell can hold; a longer text would be cut without a word."""
_LONGEST_LIST, _LONGEST_PROMPT, _LONGEST_PROMPT_TITLE = 250, 255, 32
_WIDTHS = {Role.ITEM: 14, Role.FIELD: 55, Role.SUGGESTION: 40, Role.ANSWER: 22}
_TEXT_WIDTH, _GUIDELINES_WIDTH = 45, 110
_HEADER_FILL, _ANSWER_FILL = "FFE8EDF3", "FFFFF4D6"


def write_workbook(path: Path, sheet: Sheet, items: Sequence[ShownItem]) -> None:
    """Write `items` of a sheet to `path`.

    Every cell is a string; only cells of answers can be changed while the sheet is protected
    (there is no password: it is against slips).

    Raises:
        DataError: a text is longer than a cell can hold.
        MissingExtraError: openpyxl is not installed.
    """
    require("openpyxl", "annotate")
    from openpyxl import Workbook

    book = Workbook()
    book.properties.creator = "whyguard"
    first = book.active or book.create_sheet()
    first.title = GUIDELINES
    _write_guidelines(first, sheet)
    _write_items(book.create_sheet(ITEMS), sheet, items)
    book.save(path)


def _write_guidelines(page: "Worksheet", sheet: Sheet) -> None:
    from openpyxl.styles import Font

    page.column_dimensions["A"].width = _GUIDELINES_WIDTH
    for number, (text, strong) in enumerate(_guideline_lines(sheet), 1):
        cell = _put(page, number, 1, text, sheet.name)
        cell.font = Font(bold=strong)
        _lay(cell)
    _protect(page)
    page.sheet_view.rightToLeft = direction_of(sheet.language) == "rtl"


def _guideline_lines(sheet: Sheet) -> Iterable[tuple[str, bool]]:
    yield sheet.title, True
    yield "", False
    for line in sheet.guidelines.splitlines():
        yield line.lstrip("# ") if line.startswith("#") else line, line.startswith("#")
    yield "", False
    yield "Columns to fill in", True
    for question in sheet.questions:
        need = "must be answered" if question.required else "may be left empty"
        yield f"{question.title} [{question.name}] ({need})", True
        yield f"{question.description} {how_answered(question)}".strip(), False
    yield "", False
    yield f"{sheet.name}, guidelines {sheet.guideline_version}", False


def how_answered(question: Question) -> str:
    """What may be written in a cell, in words; nothing for free text."""
    if question.answering is Answering.RATING:
        return f"A whole number from {RATINGS[0]} to {RATINGS[-1]}."
    if question.answering is Answering.LABEL:
        return f"One of: {', '.join(question.options)}."
    if question.answering is Answering.LABELS:
        return f"Any of these, with commas between: {', '.join(question.options)}."
    return ""


def _write_items(page: "Worksheet", sheet: Sheet, items: Sequence[ShownItem]) -> None:
    columns = columns_of(sheet)
    for at, column in enumerate(columns, 1):
        _write_header(page, at, column, sheet.name)
        if column.question is not None and column.role is Role.ANSWER:
            _validate(page, at, column.question, len(items) + 1)
    for row, item in enumerate(items, 2):
        for at, text in enumerate(cells_of(sheet, item, columns), 1):
            _write_cell(page, row, at, columns[at - 1], text, item.item_id)
    page.freeze_panes = "B2"
    page.sheet_view.rightToLeft = direction_of(sheet.language) == "rtl"
    _protect(page)


def _write_header(page: "Worksheet", at: int, column: Column, sheet: str) -> None:
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter

    cell = _put(page, 1, at, column.header, sheet)
    color = _ANSWER_FILL if column.role is Role.ANSWER else _HEADER_FILL
    cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=color)
    _lay(cell)
    is_text = column.question is not None and column.question.answering is Answering.TEXT
    width = _TEXT_WIDTH if is_text else _WIDTHS[column.role]
    page.column_dimensions[get_column_letter(at)].width = width


def _write_cell(page: "Worksheet", row: int, at: int, column: Column, text: str,
                item_id: str) -> None:  # fmt: skip
    from openpyxl.styles import Protection

    cell = _put(page, row, at, text, f"item {item_id}, {column.name}")
    _lay(cell, right_to_left=column.right_to_left)
    if column.role is Role.ANSWER and column.question is not None:
        cell.protection = Protection(locked=False)
        if column.question.answering is not Answering.RATING:
            cell.number_format = "@"  # text: what is typed stays as it is typed


def _put(page: "Worksheet", row: int, at: int, text: str, where: str) -> "Cell":
    """Write a text as a string, whatever it begins with."""
    from openpyxl.cell.cell import Cell

    escaped = xlsx_text(text)
    check_length(escaped, where)
    cell = page.cell(row, at)
    if not isinstance(cell, Cell):
        raise TypeError(f"a merged cell in row {row} of a sheet that has none")
    if escaped:
        cell.value = escaped
        cell.data_type = "s"
        cell.quotePrefix = needs_quote(text)
    return cell


def check_length(text: str, where: str) -> None:
    """Refuse what a cell cannot hold.

    Raises:
        DataError: the text is longer than `LONGEST`, as spreadsheets count (UTF-16 units).
    """
    length = len(text.encode("utf-16-le")) // 2
    if length > LONGEST:
        fail(DataError, where=where, expected=f"at most {LONGEST} characters for a cell",
             found=f"{length}", do="leave the item out, or have it reviewed elsewhere")  # fmt: skip


def _lay(cell: "Cell", *, right_to_left: bool = False) -> None:
    from openpyxl.styles import Alignment

    order = 2 if right_to_left else 0  # 0: as the text itself says
    cell.alignment = Alignment(wrap_text=True, vertical="top", readingOrder=order)


def _validate(page: "Worksheet", at: int, question: Question, last: int) -> None:
    """A drop-down where one of few values is asked for, and the description as a hint."""
    from openpyxl.utils import get_column_letter

    if last < 2:
        return
    rule = _rule(question)
    letter = get_column_letter(at)
    rule.add(f"{letter}2:{letter}{last}")
    page.add_data_validation(rule)


def _rule(question: Question) -> "DataValidation":
    from openpyxl.worksheet.datavalidation import DataValidation

    choices = ",".join(_choices(question))
    listed = bool(choices) and len(choices) <= _LONGEST_LIST and '"' not in choices
    rule = DataValidation(allow_blank=True, showInputMessage=True, showErrorMessage=listed)
    if listed:
        rule.type, rule.formula1 = "list", f'"{choices}"'
        rule.errorTitle, rule.error = "Not an answer", how_answered(question)[:_LONGEST_PROMPT]
    rule.promptTitle = question.title[:_LONGEST_PROMPT_TITLE]
    hint = f"{question.description} {how_answered(question)}".strip()
    rule.prompt = hint[:_LONGEST_PROMPT]
    return rule


def _choices(question: Question) -> tuple[str, ...]:
    """What a drop-down offers; nothing where an option would be torn at its comma."""
    if question.answering is Answering.RATING:
        return tuple(str(rating) for rating in RATINGS)
    if question.answering is Answering.LABEL and not any("," in text for text in question.options):
        return question.options
    return ()


def _protect(page: "Worksheet") -> None:
    page.protection.sheet = True
    page.protection.formatColumns = False  # False: allowed, as widths are a matter of taste
    page.protection.formatRows = False
