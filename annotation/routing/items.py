"""Review items: what people are shown of a row, under a name that holds a hash of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from whyguard.core.hashing import canonical_json, sha256_text
from whyguard.core.languages import ENGLISH
from whyguard.core.tables import Row
from whyguard.core.values import NOT_WRITTEN, Purpose, ReviewKind

_DIGITS = 8
_SHARED = ("example_id", "family_id", "group_id", "split", "language", "text", "label",
           "categories", "translator")  # fmt: skip


class Source(NamedTuple):
    """The text that a row was translated from."""

    language: str
    text: str


class Why(NamedTuple):
    """Why a row is shown: columns of its items."""

    purpose: Purpose
    round: int
    risk: float | None = None
    reason: str = ""
    weight: float | None = None
    gold: str | None = None
    pool: int | None = None


def sources_of(examples: Sequence[Row], prompts: Sequence[Row] = ()) -> dict[str, Source]:
    """Example id -> source: what its prompt was translated from.

    For rows without a prompt at hand it is the family's English example.
    """
    known = {row["prompt_id"]: row for row in prompts}
    english = {row["family_id"]: Source(ENGLISH, row["text"])
               for row in examples if row["language"] == ENGLISH}  # fmt: skip
    found: dict[str, Source] = {}
    for row in examples:
        prompt = known.get(row["example_id"])
        if prompt is not None and prompt["translation_of"] is None:
            continue
        source = known.get(prompt["translation_of"]) if prompt else None
        if source is not None:
            found[row["example_id"]] = Source(source["language"], source["text"])
        elif row["language"] != ENGLISH and row["family_id"] in english:
            found[row["example_id"]] = english[row["family_id"]]
    return found


def blind_item(row: Row, why: Why, wanted: int) -> Row:
    """The prompt alone. It tells nothing of what a machine thinks: no risk, no reason.

    Source and rationale are left out of the item, so that no view can show them by mistake.
    """
    shown = {"text": row["text"], "language": row["language"]}
    told = why._replace(risk=None, reason="")
    return _item(row, ReviewKind.BLIND, shown, told, wanted, suggest=False)


def rationale_item(row: Row, source: Source | None, why: Why, wanted: int, *, suggest: bool
                   ) -> Row:  # fmt: skip
    """Source, translation, rationale and trace."""
    shown = {
        "text": row["text"], "language": row["language"],
        "source_language": source.language if source else None,
        "source_text": source.text if source else None,
        "rationale": row["explanation"], "think": row["think"],
    }  # fmt: skip
    item = _item(row, ReviewKind.RATIONALE, shown, why, wanted, suggest=suggest)
    return item | {"rationale_generator": row["explanation_generator"]}


def _item(row: Row, kind: ReviewKind, shown: Mapping[str, str | None], why: Why, wanted: int, *,
          suggest: bool) -> Row:  # fmt: skip
    name = sha256_text(canonical_json(dict(shown)))[:_DIGITS]
    return {key: row[key] for key in _SHARED} | dict(shown) | {
        "item_id": f"{row['example_id']}#{kind.value}#{name}",
        "kind": kind.value, "purpose": why.purpose.value, "wanted": wanted, "suggest": suggest,
        "gold": why.gold, "risk": why.risk, "reason": why.reason, "weight": why.weight,
        "pool": why.pool, "round": why.round,
    }  # fmt: skip


def item_ids(row: Row, source: Source | None) -> tuple[str, str]:
    """Ids of a row's blind and rationale items as the row is now."""
    why = Why(Purpose.WORK, 1)
    return (str(blind_item(row, why, 1)["item_id"]),
            str(rationale_item(row, source, why, 1, suggest=False)["item_id"]))  # fmt: skip


def releasable(row: Row) -> bool:
    """Whether the row may be shown at all: some categories are never written, kept or printed."""
    return not set(row["categories"]) & set(NOT_WRITTEN)
