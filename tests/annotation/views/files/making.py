"""Sheets for the tests of review in files."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from openpyxl import load_workbook

from whyguard.annotation.questions import BLIND, RATIONALE, Q
from whyguard.annotation.views.base import Sheet, ShownField, ShownItem, Suggestion
from whyguard.annotation.views.files.layout import name_in

PEOPLE = {"Ana": "p-01", "p-01": "p-01", "Xuan": "p-02", "p-02": "p-02"}
T0 = 1_767_225_600  # 2026-01-01T00:00:00Z


def identify(name: str, space: str) -> str | None:
    return PEOPLE.get(name)


def blind(texts: Sequence[str] = ("uno", "dos", "tres"), language: str = "ast_Latn") -> Sheet:
    items = tuple(
        ShownItem(f"i{n}", {"prompt": text}, {"risk": 0.987, "reason": "giveaway"},
                  (Suggestion(Q.VERDICT, "harmful", 0.9, "giveaway"),))
        for n, text in enumerate(texts, 1)
    )  # fmt: skip
    return Sheet(f"pilot-{language}-blind", language, language, "Pilot: blind",
                 (ShownField("prompt", "The request, in it", right_to_left=False),), BLIND,
                 "# How to\n\nRead. Answer.", "g1", 2, items)  # fmt: skip


def rationale(language: str = "urd_Arab") -> Sheet:
    fields = (ShownField("source", "Source"), ShownField("prompt", "Prompt", right_to_left=True),
              ShownField("rationale", "Rationale", required=False, right_to_left=True),
              ShownField("trace", "Trace", required=False, folded=True))  # fmt: skip
    item = ShownItem("r1", {"source": "a request", "prompt": "درخواست", "rationale": "وجہ",
                            "trace": "so"}, {"reason": "near"},
                     (Suggestion(Q.CORRECTED_RATIONALE, "وجہ", 0.5, "m"),
                      Suggestion(Q.CORRECTED_TRANSLATION, "=other", 0.5, "m")))  # fmt: skip
    other = ShownItem("r2", {"source": "another", "prompt": "اور"})
    return Sheet(f"pilot-{language}-rationale", language, language, "Pilot: rationale", fields,
                 RATIONALE, "Read.", "g1", 1, (item, other))  # fmt: skip


def fill(path: Path, to: Path, answers: Mapping[str, Mapping[str, str | float]],
         at: float = T0) -> Path:  # fmt: skip
    """A copy of a written xlsx file in which `answers` (item -> column -> value) are filled in."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
    book = load_workbook(to)
    page = book["items"]
    column = {name_in(str(cell.value)): cell.column for cell in page[1]}
    rows = {page.cell(row, 1).value: row for row in range(2, page.max_row + 1)}
    for item, values in answers.items():
        for name, value in values.items():
            page.cell(rows[item], column[name] or 1, value)
    book.save(to)
    os.utime(to, (at, at))
    return to
