"""Which two samples become a preference pair: pure functions, without a model.

A pair of a family has y_w, a sample on the English prompt with the right verdict (the anchor), and
y_l, a sample on the target-language prompt with the wrong one.

Source: ConsistentGuard (arXiv 2510.10677), section on CAO.

Differences from the paper: 1. the verdict is read by the grammar's own parser, so that a sample
with a part out of place counts neither as right nor as wrong; 2. both are cut at `</judge>`, or the
local explanation is spliced into y_w: an English explanation pushed up on the target prompt would
undo localisation; 3. among several candidates one is drawn by seed; 4. what names a category that
is never written is not taken.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from whyguard.core.errors import DataError
from whyguard.core.hashing import seed_of, sha256_json
from whyguard.core.tables import Row
from whyguard.core.values import NOT_WRITTEN, Label
from whyguard.generation.grammar import holds_tag, parse_guard, render_explanation
from whyguard.train.sampling import cut_after


class NoPair(StrEnum):
    """Why a family has no pair in a language."""

    NO_ENGLISH = "no_english_prompt"
    """The family has no English prompt to take the anchor from."""
    NO_TARGET = "no_target_prompt"
    """The family has no prompt in any target language."""
    LABELS_DIFFER = "labels_differ"
    """The English row and the local one are labelled differently: neither verdict is right."""
    SECOND_ROW = "another_row_of_its_family"
    """A row of its family and language stands before it: a family has one pair a language."""
    NOT_WRITTEN = "category_not_written"
    """Its category is never written."""
    NO_EXPLANATION = "no_local_explanation"
    """To be spliced in, and missing, blank, unreviewed where that is asked for, or with a tag."""
    UNREADABLE_ENGLISH = "unreadable_on_english"
    """No sample on the English prompt can be read up to its verdict."""
    UNREADABLE_TARGET = "unreadable_on_target"
    """No sample on the local prompt can be read up to its verdict."""
    NONE_RIGHT = "none_right_on_english"
    """Samples on the English prompt could be read; none has the right verdict."""
    NONE_WRONG = "none_wrong_on_target"
    """Samples on the local prompt could be read; none has the wrong verdict."""
    CAPPED = "language_cap"
    """It has a pair; its language has enough of them."""


class Sample(NamedTuple):
    """One completion that a model wrote; `text` is None where it could not answer."""

    number: int
    text: str | None
    call_id: str | None = None


class Reading(NamedTuple):
    """A sample that can be read, cut behind its verdict."""

    sample: Sample
    cut: str
    verdict: Label


class Slot(NamedTuple):
    """A family in one target language; either row may be missing."""

    english: Row | None
    target: Row | None
    second: bool = False
    """Whether another row of the family and language stands before the target."""

    @property
    def row(self) -> Row:
        """The row that a drop speaks of."""
        return self.target or self.english or {}


class Both(NamedTuple):
    """A family in one target language with both of its prompts."""

    english: Row
    target: Row


class Chosen(NamedTuple):
    """The two samples of a pair, and how many there were to choose from."""

    right: Reading
    wrong: Reading
    right_of: int
    wrong_of: int


class Rejected(NamedTuple):
    """Why there is no pair."""

    rule: NoPair
    reason: str


def slots_of(rows: Sequence[Row], english: str, languages: Sequence[str]) -> list[Slot]:
    """One slot a row in a target language, and one a family that has none, in table order.

    Of several rows of one family and language, all but the first are `second`.
    """
    of_family: dict[str, Row] = {}
    for row in rows:
        if row["language"] == english:
            of_family.setdefault(row["family_id"], row)
    targets = [row for row in rows if row["language"] in languages]
    slots, seen = [], set[tuple[str, str]]()
    for row in targets:
        key = (row["family_id"], row["language"])
        slots.append(Slot(of_family.get(row["family_id"]), row, second=key in seen))
        seen.add(key)
    with_target = {row["family_id"] for row in targets}
    return slots + [Slot(row, None) for family, row in of_family.items()
                    if family not in with_target]  # fmt: skip


def askable(slot: Slot, *, splice: bool, reviewed_only: bool) -> Both | Rejected:
    """The two rows to sample on, or why none is needed: known before any sample is paid for."""
    english, target = slot.english, slot.target
    if english is None:
        return Rejected(NoPair.NO_ENGLISH, "the family has no English train prompt")
    if target is None:
        return Rejected(NoPair.NO_TARGET, "the family has no train prompt in a target language")
    if slot.second:
        return Rejected(NoPair.SECOND_ROW, f"its family has another row in {target['language']}")
    if english["label"] != target["label"]:
        return Rejected(NoPair.LABELS_DIFFER, f"{english['label']} in English, "
                        f"{target['label']} in {target['language']}")  # fmt: skip
    never = {*english["categories"], *target["categories"]}.intersection(NOT_WRITTEN)
    if never:
        return Rejected(NoPair.NOT_WRITTEN, f"rows of {', '.join(sorted(never))} are never written")
    lacking = _lacking(target, reviewed_only=reviewed_only) if splice else ""
    if lacking:
        return Rejected(NoPair.NO_EXPLANATION, f"the local explanation is {lacking}")
    return Both(english, target)


def _lacking(row: Row, *, reviewed_only: bool) -> str:
    """What is wrong with the explanation of a harmful row; nothing where there is none to be."""
    if row["label"] != Label.HARMFUL:
        return ""
    text = row["explanation"] or ""
    if not text.strip():
        return "missing"
    if holds_tag(text):
        return "holding a tag"
    return "not reviewed" if reviewed_only and not row["reviewed"] else ""


def read_sample(sample: Sample) -> Reading | None:
    """The sample behind its verdict; None where it is not of the grammar up to there."""
    if sample.text is None:
        return None
    cut = cut_after(sample.text).strip()
    try:
        found = parse_guard(cut)
    except DataError:
        return None
    if set(found.violations or ()).intersection(NOT_WRITTEN):
        return None
    return Reading(sample, cut, found.verdict)


def choose(slot_key: Sequence[str], label: Label, on_english: Sequence[Sample],
           on_target: Sequence[Sample], seed: int) -> Chosen | Rejected:  # fmt: skip
    """The pair of a slot, drawn by seed and slot alone among the candidates.

    Args:
        slot_key: what names the slot (family and language).
        label: the right verdict.
        on_english: samples on the English prompt, all languages of a family may share them.
        on_target: samples on the local prompt.
        seed: another seed draws another pair, where there is a choice.
    """
    english, target = _readings(on_english), _readings(on_target)
    right = [reading for reading in english if reading.verdict == label]
    wrong = [reading for reading in target if reading.verdict != label]
    asked, local = len(on_english), len(on_target)
    if not english:
        return Rejected(NoPair.UNREADABLE_ENGLISH, f"none of {asked} samples can be read")
    if not right:
        return Rejected(NoPair.NONE_RIGHT, f"none of {len(english)} readable samples is right")
    if not target:
        return Rejected(NoPair.UNREADABLE_TARGET, f"none of {local} samples can be read")
    if not wrong:
        return Rejected(NoPair.NONE_WRONG, f"none of {len(target)} readable samples is wrong")
    return Chosen(_drawn(right, [seed, "right", *slot_key]),
                  _drawn(wrong, [seed, "wrong", *slot_key]), len(right), len(wrong))  # fmt: skip


def with_explanation(cut: str, explanation: str) -> str:
    """A completion that was cut behind its verdict, with the local explanation."""
    return cut + render_explanation(explanation)


def over_cap(pairs: Sequence[Row], cap: int | None, seed: int) -> set[str]:
    """Ids of the pairs that are too many in their language: the last in an order of the seed."""
    if cap is None:
        return set()
    by_language: dict[str, list[str]] = {}
    for row in pairs:
        by_language.setdefault(row["language"], []).append(row["pair_id"])

    def place(pair: str) -> str:
        return sha256_json([seed, "cap", pair])

    return {pair for ids in by_language.values() for pair in sorted(ids, key=place)[cap:]}


def _readings(samples: Sequence[Sample]) -> list[Reading]:
    found = [read_sample(sample) for sample in sorted(samples, key=lambda sample: sample.number)]
    return [reading for reading in found if reading is not None]


def _drawn(candidates: Sequence[Reading], facts: list[Any]) -> Reading:
    return candidates[seed_of(facts) % len(candidates)]
