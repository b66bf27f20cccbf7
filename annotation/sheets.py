"""Items as they are shown: one sheet a language, kind of review and number of wanted answers."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import polars as pl

from whyguard.annotation.questions import QUESTIONS, Q
from whyguard.annotation.views.base import Sheet, ShownField, ShownItem, Suggestion
from whyguard.core.languages import known_languages, language_name
from whyguard.core.tables import Row
from whyguard.core.values import ReviewKind

USUAL_ANSWERS = {ReviewKind.BLIND: 2, ReviewKind.RATIONALE: 1}
"""Answers wanted of most items of a kind: sheets that want another number say so in their name."""
ADJUDICATE = "adjudicate"
_COLUMNS = {"source": "source_text", "prompt": "text", "rationale": "rationale", "trace": "think"}
_TITLES = {"source": "The request, in {source}", "prompt": "The request, in {language}",
           "rationale": "The rationale, in {language}",
           "trace": "How a machine reasoned (English)",
           "answers": "What annotators said"}  # fmt: skip
_FIELDS = {ReviewKind.BLIND: ("prompt",),
           ReviewKind.RATIONALE: ("source", "prompt", "rationale", "trace")}  # fmt: skip
_CORRECTED = (
    (Q.CORRECTED_TRANSLATION, "text", "translator"),
    (Q.CORRECTED_RATIONALE, "rationale", "rationale_generator"),
)


class Wording(NamedTuple):
    """Guidelines as a sheet carries them."""

    text: str
    version: str


Guide = Callable[[str, str], Wording]
"""(kind or `adjudicate`, language) -> guidelines."""


class Contested(NamedTuple):
    """An item for an adjudicator: what is to be settled, and what was said."""

    item_id: str
    questions: tuple[str, ...]
    said: str


def work_sheets(campaign: str, items: pl.DataFrame, guide: Guide) -> list[Sheet]:
    """The sheets of annotators, by language, kind and number of wanted answers."""
    sheets = []
    for part in items.partition_by("language", "kind", "wanted", maintain_order=True):
        rows = part.to_dicts()
        kind, wanted = ReviewKind(rows[0]["kind"]), int(rows[0]["wanted"])
        suffix = "" if wanted == USUAL_ANSWERS[kind] else f"-x{wanted}"
        shown = tuple(_shown(row, kind) for row in rows)
        sheets.append(_sheet(campaign, rows, kind, suffix, wanted, shown, guide))
    return sorted(sheets, key=_last_is_first)


def _last_is_first(sheet: Sheet) -> tuple[bool, str]:
    """Blind sheets last: Argilla lists what came last first, and they are to be done first."""
    return sheet.items[0].metadata.get("reason") is None, sheet.name


def adjudication_sheets(campaign: str, items: pl.DataFrame, contested: Sequence[Contested],
                        guide: Guide) -> list[Sheet]:  # fmt: skip
    """The sheets of adjudicators: contested items with what annotators said, names left out."""
    about = {entry.item_id: entry for entry in contested}
    sheets = []
    chosen = items.filter(pl.col("item_id").is_in(list(about)))
    for part in chosen.partition_by("language", "kind", maintain_order=True):
        rows = part.to_dicts()
        kind = ReviewKind(rows[0]["kind"])
        shown = tuple(_contested(row, kind, about[row["item_id"]]) for row in rows)
        sheets.append(_sheet(campaign, rows, kind, f"-{ADJUDICATE}", 1, shown, guide))
    return sorted(sheets, key=lambda sheet: sheet.name)


def _sheet(campaign: str, rows: Sequence[Row], kind: ReviewKind, suffix: str, wanted: int,
           shown: tuple[ShownItem, ...], guide: Guide) -> Sheet:  # fmt: skip
    language = str(rows[0]["language"])
    settles = suffix == f"-{ADJUDICATE}"
    wording = guide(ADJUDICATE if settles else kind.value, language)
    names = (*_FIELDS[kind], *(("answers",) if settles else ()))
    source = next((row["source_language"] for row in rows if row["source_language"]), None)
    return Sheet(
        name=f"{campaign}-{language}-{kind.value}{suffix}",
        space=f"{ADJUDICATE}-{language}" if settles else language,
        language=language,
        title=f"{campaign}: {language_name(language)}, {kind.value}{suffix.replace('-', ' ')}",
        fields=tuple(_field(name, language, source) for name in names),
        questions=QUESTIONS[kind],
        guidelines=wording.text,
        guideline_version=wording.version,
        wanted=wanted,
        items=shown,
    )


def _field(name: str, language: str, source: str | None) -> ShownField:
    shown_in = {"source": source, "trace": None, "answers": None}.get(name, language)
    title = _TITLES[name].format(language=language_name(language),
                                 source=language_name(source) if source else "English")  # fmt: skip
    table = known_languages()
    rtl = shown_in in table.codes and table.get(str(shown_in)).right_to_left
    return ShownField(name, title, required=name in ("prompt", "answers"),
                      folded=name == "trace", right_to_left=rtl)  # fmt: skip


def _shown(row: Row, kind: ReviewKind) -> ShownItem:
    texts = {name: row[_COLUMNS[name]] for name in _FIELDS[kind]}
    fields = {name: str(text) for name, text in texts.items() if text}
    return ShownItem(row["item_id"], fields, _metadata(row, kind), suggestions(row))


def _metadata(row: Row, kind: ReviewKind) -> dict[str, str | int | float]:
    """Why an item was chosen; of a blind one only what gives nothing away."""
    if kind is ReviewKind.BLIND:
        return {"round": row["round"]}
    risk = {} if row["risk"] is None else {"risk": round(float(row["risk"]), 3)}
    return {"round": row["round"], "purpose": row["purpose"], "reason": row["reason"], **risk}


def suggestions(row: Row) -> tuple[Suggestion, ...]:
    """The machine's own texts as answers to be corrected, where the item allows it."""
    if not row["suggest"] or row["kind"] != ReviewKind.RATIONALE:
        return ()
    score = None if row["risk"] is None else round(1.0 - float(row["risk"]), 3)
    return tuple(
        Suggestion(question, str(row[text]), score, str(row[agent] or "source"))
        for question, text, agent in _CORRECTED
        if row[text]
    )


def _contested(row: Row, kind: ReviewKind, entry: Contested) -> ShownItem:
    texts = {name: row[_COLUMNS[name]] for name in _FIELDS[kind]}
    fields = {name: str(text) for name, text in texts.items() if text}
    asked = ", ".join(entry.questions)
    return ShownItem(row["item_id"], fields | {"answers": f"To settle: {asked}\n{entry.said}"})


def said(answers: Iterable[tuple[str, str]]) -> str:
    """Answers (question, value) of several people as text, a line each, in a fixed order."""
    return "\n".join(f"{question}: {value}" for question, value in sorted(answers))
