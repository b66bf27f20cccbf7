"""Hostile text is data: how to put a string where a reader's program might take it for code.

HTML is escaped by the templates (autoescape); this file serves markdown and csv.
"""

import re
import unicodedata

import polars as pl

_FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$]|^[-+=#])")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff]")
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")


def csv_cell(text: str) -> str:
    """The text with a leading ' where a spreadsheet would run it as a formula.

    Cells that begin (after blanks) with = + - @, or with a tab or a carriage return, are defused.
    Numbers never pass through here: a column of numbers keeps its minus signs.

    Source: OWASP, CSV Injection.
    """
    risky = text.lstrip().startswith(_FORMULA_STARTS) or text.startswith(("\t", "\r"))
    return f"'{text}" if risky else text


def csv_text(table: pl.DataFrame) -> str:
    """The table as csv with a header, its text cells (and column names) defused.

    Lists become one cell, their items joined by a space.
    """
    columns = []
    for column in table.get_columns():
        if isinstance(column.dtype, pl.List):
            column = column.cast(pl.List(pl.String)).list.join(" ")
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            texts = [None if value is None else csv_cell(str(value)) for value in column.to_list()]
            column = pl.Series(column.name, texts, dtype=pl.String)
        columns.append(column.alias(csv_cell(column.name)))
    return pl.DataFrame(columns).write_csv()


def one_line(text: str) -> str:
    """The text on one line: blanks, line ends and control characters become single spaces.

    Marks that turn the reading direction of what follows are taken out; joiners that scripts such
    as Bengali need stay.
    """
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join(_DIRECTION.sub("", kept).split())


def markdown_text(text: str) -> str:
    """The text on one line, with nothing left that markdown or HTML inside it would act on.

    Fit for running text, headings and table cells.
    """
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _AUTOLINK.sub(r"\1&#8203;\2", _MARKDOWN.sub(r"\\\1", plain))


def markdown_table(header: tuple[str, ...], rows: list[tuple[str | int | float, ...]]) -> str:
    """A markdown table; text cells are escaped, numbers stand on the right."""
    numeric = [bool(rows) and all(not isinstance(row[i], str) for row in rows)
               for i in range(len(header))]  # fmt: skip
    lines = ["| " + " | ".join(markdown_text(name) for name in header) + " |"]
    lines.append("|" + "|".join("---:" if right else "---" for right in numeric) + "|")
    for row in rows:
        cells = (markdown_text(cell) if isinstance(cell, str) else str(cell) for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
