"""Texts in spreadsheet cells: written so that nothing in them runs, read back as they were.

A cell of an xlsx file is written as a string, never as a formula, so its text needs no mark; what
XML cannot hold is escaped in the form that spreadsheet programs themselves use (`_x000D_`). A cell
of a csv file has no type: `core.text_safety.csv_cell` puts a ' before what would run, and this
file makes that reversible.
"""

import datetime
import re

from whyguard.core.text_safety import csv_cell

_UNSAFE = "\x00-\x08\x0b-\x1f\ufffe\uffff"
"""What XML cannot hold, and the carriage return, which its readers turn into a line feed."""
_LITERAL = re.compile(f"_(?=x[0-9A-Fa-f]{{4}}[_{_UNSAFE}])")
_CONTROL = re.compile(f"[{_UNSAFE}]")
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")


def xlsx_text(text: str) -> str:
    """The text as it stands in the XML of a cell.

    Source: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
    """
    literal = _LITERAL.sub("_x005F_", text)
    return _CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", literal)


def from_xlsx(text: str) -> str:
    """What `xlsx_text` was given; halves of surrogate pairs stay escaped, as no text holds them."""
    return _ESCAPE.sub(_char, text)


def _char(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code <= 0xDFFF else chr(code)


def csv_escaped(text: str) -> str:
    """The text with one more ' in front where, but for the 's it begins with, it would run."""
    return f"'{text}" if _runs(text.lstrip("'")) else text


def from_csv(text: str) -> str:
    """What `csv_escaped` was given; a text that was typed without a ' is left as it is."""
    return text[1:] if text.startswith("'") and _runs(text.lstrip("'")) else text


def _runs(text: str) -> bool:
    return csv_cell(text) != text


def needs_quote(text: str) -> bool:
    """Whether a spreadsheet would take the text for a formula if it were typed in."""
    return _runs(text)


def as_text(value: object) -> str:
    """A cell's value, as a spreadsheet's reader gives it, as text; a formula is its own text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return from_xlsx(value)
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    formula = getattr(value, "text", None)  # formulas of arrays and of tables are objects
    return formula if isinstance(formula, str) else str(value)
