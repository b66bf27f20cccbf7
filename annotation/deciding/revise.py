"""Step `annotation.revise`: decisions become row revisions, each with its lineage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from pydantic import Field

from whyguard.annotation.deciding.rules import folded
from whyguard.annotation.questions import Issue, Q, labels_of
from whyguard.core.errors import DataError, fail
from whyguard.core.schemas import Decision, Example, ReviewItem
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import Label, Purpose

_OF_REFUSALS = ("explanation", "explanation_english", "explanation_template", "reply")
"""Columns that speak of a harmful request: nothing is left of them on a harmless one."""
_OF_VERDICTS = ("explanation_generator", "explanation_translator", "reply_generator")
"""Who wrote texts that are gone with a verdict."""


class ReviseConfig(StepConfig):
    """What becomes of rows that people found wrong and did not mend."""

    reject_at: int = Field(default=2, ge=1, le=4)
    """Ratings up to this one reject a translation or a rationale, unless it is rewritten."""
    require_explanation: bool = True
    """Drop rows that become harmful without a rationale, so that every arm has the same rows."""


class Settled(NamedTuple):
    """What was decided on one question of one example; `value` is None where nothing was."""

    value: str | None
    row: Row
    shown: Row
    """The item that was answered."""


class Change(NamedTuple):
    """A new value of one field, and the decision that it comes from."""

    field: str
    value: Any
    why: Settled


_Decided = Mapping[str, Settled]


def run(inputs: Inputs, config: ReviseConfig, runtime: Runtime, room: Room) -> StepResult:
    """All examples, changed where people decided so; those that they rejected are dropped.

    Raises:
        DataError: a decision speaks of an example that is not there.
    """
    examples = inputs["examples"].rows
    items = {row["item_id"]: row for row in inputs["items"].rows.to_dicts()}
    decided = _by_example(inputs["decisions"].rows, items)
    _check_known(decided, examples)
    rows, drops, counts = [], [], dict[str, int]()
    for row in examples.to_dicts():
        settled = decided.get(row["example_id"], {})
        changes = _changes(row, settled)
        revised = _revised(row, changes, settled)
        reason = _rejected(row, revised, settled, config)
        if reason:
            drops.append(drop(revised, row["example_id"], *reason))
            continue
        rows.append(revised)
        for change in changes:
            counts[change.field] = counts.get(change.field, 0) + 1
    notes = {"changed": dict(sorted(counts.items())),
             "reviewed": sum(row["reviewed"] for row in rows)}  # fmt: skip
    return StepResult(frame(Example, rows), drops_frame(drops), notes=notes, read=examples.height)


def _by_example(decisions: pl.DataFrame, items: Mapping[str, Row]) -> Mapping[str, _Decided]:
    """What came of each question, by example. Gold items ask about people, not about rows."""
    found: dict[str, dict[str, Settled]] = {}
    for row in decisions.sort("decided_at", "item_id").to_dicts():
        if row["purpose"] == Purpose.GOLD:
            continue
        item = items.get(row["item_id"])
        if item is None:
            fail(DataError, where=f"annotation.revise: decision on {row['item_id']}",
                 expected="an item among the input 'items'", found="none",
                 do="give the items that annotation.decide was given")  # fmt: skip
        of_row = found.setdefault(row["example_id"], {})
        if row["value"] is not None or row["question"] not in of_row:
            of_row[row["question"]] = Settled(row["value"], row, item)
    return found


def _check_known(decided: Mapping[str, _Decided], examples: pl.DataFrame) -> None:
    unknown = sorted(decided.keys() - set(examples["example_id"]))
    if unknown:
        fail(DataError, where="annotation.revise: input 'examples'",
             expected="the examples that the items were made of",
             found=f"{len(unknown)} decisions on others, first {unknown[0]}",
             do="give annotation.route and annotation.revise the same examples")  # fmt: skip


def _changes(row: Row, settled: _Decided) -> list[Change]:
    changes = []
    verdict = _decided(settled, Q.VERDICT)
    label = verdict.value if verdict else row["label"]
    if verdict and verdict.value != row["label"]:
        changes.append(Change("label", verdict.value, verdict))
        if label == Label.UNHARMFUL:
            changes += [Change(name, None, verdict) for name in _OF_REFUSALS if row[name]]
            changes += [Change("categories", [], verdict)] if row["categories"] else []
        elif row["reply"]:
            changes.append(Change("reply", None, verdict))  # help with what is refused now
        changes += [Change("think", None, verdict)] if row["think"] else []
    text = _decided(settled, Q.CORRECTED_TRANSLATION)
    if text and folded(str(text.value)) != folded(row["text"]):
        changes.append(Change("text", text.value, text))
    rationale = _decided(settled, Q.CORRECTED_RATIONALE)
    before = ("", folded(row["explanation"] or ""))
    written = rationale and folded(str(rationale.value)) not in before
    if rationale and written and label == Label.HARMFUL:
        changes.append(Change("explanation", rationale.value, rationale))
    return changes


def _revised(row: Row, changes: Sequence[Change], settled: _Decided) -> Row:
    """The row with its changes, each recorded. Signals of a text that is gone say nothing."""
    new = row | {change.field: change.value for change in changes}
    kept = list(row["revisions"]) + [_revision(row, change) for change in changes]
    if any(change.field == "text" for change in changes):
        new["signals"] = []
    if any(change.field == "label" for change in changes):
        new |= {name: None for name in _OF_VERDICTS if name in new}
    return new | {"revisions": kept, "reviewed": row["reviewed"] or _is_reviewed(new, settled)}


def _revision(row: Row, change: Change) -> Row:
    before = row[change.field]
    decision = change.why.row
    return {
        "field": change.field,
        "before": ", ".join(before) if isinstance(before, list) else before,
        "by": decision["annotators"], "rule": decision["rule"], "item": decision["item_id"],
        "at": decision["decided_at"],
    }  # fmt: skip


def _decided(settled: _Decided, question: Q) -> Settled | None:
    found = settled.get(question)
    return found if found is not None and found.value is not None else None


def _open(settled: _Decided, question: Q) -> bool:
    """Whether people answered and came to nothing."""
    return question in settled and settled[question].value is None


def _is_reviewed(row: Row, settled: _Decided) -> bool:
    """Whether people judged the row's request and, where there is one, its rationale."""
    if not _decided(settled, Q.TRANSLATION_ADEQUACY) or _open(settled, Q.CORRECTED_TRANSLATION):
        return False
    rated = _decided(settled, Q.RATIONALE_QUALITY) and not _open(settled, Q.CORRECTED_RATIONALE)
    return row["explanation"] is None or bool(rated)


def _rejected(row: Row, revised: Row, settled: _Decided,
              config: ReviseConfig) -> tuple[str, str] | None:  # fmt: skip
    """Rule and reason where people found a row unfit and nobody mended it.

    Mended is a text that is not what they were shown, in this round or since; where they mended it
    differently and came to no decision, the row stays as it is.
    """
    adequacy = _low(settled, Q.TRANSLATION_ADEQUACY, config)
    if adequacy and _stands(revised["text"], adequacy, "text", settled, Q.CORRECTED_TRANSLATION):
        return "translation_rejected", f"adequacy {adequacy.value} of 5"
    if revised["label"] != Label.HARMFUL:
        return None
    for rule, why, found in _against_rationale(settled, config):
        if _stands(revised["explanation"], found, "rationale", settled, Q.CORRECTED_RATIONALE):
            return rule, why
    bare = revised["explanation"] is None and row["label"] != revised["label"]
    if bare and config.require_explanation:
        return "no_explanation", "people call it harmful, and nobody wrote a rationale"
    return None


def _against_rationale(settled: _Decided, config: ReviseConfig
                       ) -> Iterator[tuple[str, str, Settled]]:  # fmt: skip
    quality, issues = _low(settled, Q.RATIONALE_QUALITY, config), _decided(settled, Q.ISSUES)
    if quality:
        yield "rationale_rejected", f"quality {quality.value} of 5", quality
    named = labels_of(str(issues.value)) if issues else frozenset()
    if issues and Issue.HELPS_THE_HARM in named:
        yield "rationale_helps", "annotators say that the rationale helps the harm", issues
    if issues and Issue.CONTRADICTS_THE_VERDICT in named:
        yield "rationale_contradicts", "annotators say that it argues for another verdict", issues


def _stands(now: str | None, found: Settled, shown: str, settled: _Decided, mending: Q) -> bool:
    """Whether what people found wrong is what the row says now."""
    before = found.shown[shown]
    if now is None or before is None or _open(settled, mending):
        return False
    return folded(now) == folded(before)


def _low(settled: _Decided, question: Q, config: ReviseConfig) -> Settled | None:
    found = _decided(settled, question)
    return found if found and int(str(found.value)) <= config.reject_at else None


REVISE = Step(
    name="annotation.revise",
    version="1",
    summary="writing what people decided into the examples",
    config=ReviseConfig,
    inputs={"examples": Example, "items": ReviewItem, "decisions": Decision},
    output=Example,
    run=run,
    light=always,
)
