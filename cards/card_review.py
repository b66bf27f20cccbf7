"""The card's section on what people said: revisions, agreement, audit."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from whyguard.cards.card_tables import Cells
from whyguard.cards.layout import UpstreamStep
from whyguard.core.languages import language_name
from whyguard.core.text_safety import markdown_table, markdown_text

DECIDE = "annotation.decide"
_ALL = "all"
_SHOWN = ("raw", "alpha", "ac1", "changed", "chrf_original", "chrf_between")


def review_section(lineage: Sequence[UpstreamStep], rows: pl.DataFrame) -> str:
    """Revisions by field, agreement by language and question, and what the audit can say.

    Empty where no step of the version asked people. Figures are those of the step's notes.
    """
    notes = [item.notes for item in lineage if item.step == DECIDE]
    if not notes:
        return ""
    parts = ["## What people said", *_revisions(rows)]
    for found in notes:
        parts += [*_agreement(found.get("agreement", ())), *_audit(found.get("audit", ())),
                  *_open(found.get("open", {}))]  # fmt: skip
    return "\n\n".join(parts)


def _revisions(rows: pl.DataFrame) -> list[str]:
    each = rows.select("language", "revisions").explode("revisions").drop_nulls("revisions")
    if not each.height:
        return ["No row was changed by people."]
    counted = (
        each.select("language", pl.col("revisions").struct.field("field"))
        .group_by("language", "field")
        .len()
        .sort("language", "field")
    )
    body: list[Cells] = [(language_name(code), field, n) for code, field, n in counted.iter_rows()]
    note = ("Changed by people; `revisions` holds what was there, whose answers changed it "
            "(pseudonyms), when, and by which rule.")  # fmt: skip
    return [note, markdown_table(("language", "field", "changes"), body)]


def _agreement(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    body: list[Cells] = [
        (language_name(f["language"]), f["question"], f["measure"], _number(f["value"]),
         _interval(f), f["n"], f["annotators"], f["reason"] or "")
        for f in figures if f["who"] == _ALL and f["measure"] in _SHOWN
    ]  # fmt: skip
    if not body:
        return ["Agreement: no item was answered by two people."]
    header = ("language", "question", "measure", "value", "95 %", "items", "people", "note")
    return ["Agreement of annotators (intervals by group bootstrap):", markdown_table(header, body)]


def _audit(statements: Sequence[Mapping[str, Any]]) -> list[str]:
    if not statements:
        return ["No audit: nothing is known of the rows that nobody looked at."]
    lines = [f"- {markdown_text(language_name(s['language']))}, {markdown_text(s['question'])}: "
             f"{markdown_text(s['sentence'])}" for s in statements]  # fmt: skip
    return ["Audit of the rows that nobody had looked at:", "\n".join(lines)]


def _open(rows: Mapping[str, int]) -> list[str]:
    """Rows that were chosen for review and not answered: in no pool, so no audit covers them."""
    if not rows:
        return []
    each = ", ".join(f"{markdown_text(language_name(code))} {n}" for code, n in rows.items())
    return [f"Chosen for review and without an answer (the audit does not speak of them): {each}."]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None or figure["high"] is None:
        return "-"
    return f"{figure['low']:.2f} to {figure['high']:.2f}"
