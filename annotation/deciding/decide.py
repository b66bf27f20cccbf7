"""Step `annotation.decide`: one value for each question that people answered, by a named rule."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
from pydantic import Field

from whyguard.annotation.agreement.gold import gold
from whyguard.annotation.agreement.ratings import COMPARED, NO_ISSUES
from whyguard.annotation.agreement.report import agreement, figures_table
from whyguard.annotation.audit.draw import POOL, rationale_pools
from whyguard.annotation.audit.statement import statements
from whyguard.annotation.deciding.rules import Answer, Decided, LeftOut, decide
from whyguard.annotation.questions import CORRECTIONS, QUESTIONS, YES, Q, Question
from whyguard.core.artefact import Artefact
from whyguard.core.schemas import Decision, Review, ReviewItem
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import Row, frame
from whyguard.core.values import Purpose, ReviewKind

_CHOSEN = [Purpose.WORK.value, Purpose.RANDOM.value, Purpose.GOLD.value]
_Answers = Mapping[str, Sequence[Answer]]
"""Answers by question."""


class DecideConfig(StepConfig):
    """How agreement is measured beside the decisions."""

    draws: int = Field(default=1000, ge=0, le=100_000)
    """Bootstrap draws of the intervals; 0: none."""
    seed: int = 0


def decisions(items: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Decision rows of all questions on which people can agree, by item and question.

    Verdicts count where they were given blind. Notes and glossary proposals are nothing to decide.
    """
    answered = _by_item(reviews)
    rows = [row for item in items.sort("item_id").to_dicts()
            for row in _of_item(item, answered.get(item["item_id"], {}))]  # fmt: skip
    return frame(Decision, rows)


def _by_item(reviews: pl.DataFrame) -> dict[str, dict[str, list[Answer]]]:
    found: dict[str, dict[str, list[Answer]]] = {}
    for row in reviews.to_dicts():
        answer = Answer(row["annotator"], row["adjudicator"], row["value"], row["submitted_at"])
        if row["question"] != Q.VERDICT or row["blind"] or row["adjudicator"]:
            found.setdefault(row["item_id"], {}).setdefault(row["question"], []).append(answer)
    return found


def _of_item(item: Row, answers: _Answers) -> Iterator[Row]:
    questions = QUESTIONS[ReviewKind(item["kind"])]
    required = next(asked.name for asked in questions if asked.required)
    present = answers.get(required, ())
    unsure = any(answer.value == YES for answer in answers.get(Q.UNSURE, ()))
    for asked in questions:
        given = answers.get(asked.name, ())
        default = _default(asked, item, present)
        answered = given or (present and _expected(asked, item, default))
        if asked.name not in COMPARED or not answered:
            continue
        settled = decide(asked, given, item["wanted"], default=default,
                         unsure=unsure and asked.name == Q.VERDICT)  # fmt: skip
        yield _row(item, asked, settled, [*given, *present])


def _expected(asked: Question, item: Row, default: LeftOut | None) -> bool:
    """Whether leaving it out says something: what is there should have been rated."""
    rated = asked.name == Q.RATIONALE_QUALITY and item["rationale"] is not None
    return default is not None or rated


def _default(asked: Question, item: Row, present: Sequence[Answer]) -> LeftOut | None:
    """What leaving it out stands for: the text as it is, no issues; a rating stands for nothing."""
    if asked.name in CORRECTIONS:
        return LeftOut(str(item[CORRECTIONS[Q(asked.name)]] or ""), present)
    return LeftOut(NO_ISSUES, present) if asked.name == Q.ISSUES else None


def _row(item: Row, asked: Question, settled: Decided, answers: Sequence[Answer]) -> Row:
    return {
        "item_id": item["item_id"], "question": asked.name, "example_id": item["example_id"],
        "language": item["language"], "purpose": item["purpose"], "value": settled.value,
        "rule": settled.rule.value, "annotators": list(settled.annotators),
        "decided_at": _last(settled, answers),
    }  # fmt: skip


def _last(settled: Decided, answers: Sequence[Answer]) -> datetime.datetime:
    ours = [answer.submitted_at for answer in answers if answer.annotator in settled.annotators]
    return max(ours or [answer.submitted_at for answer in answers])


def run(inputs: Inputs, config: DecideConfig, runtime: Runtime, room: Room) -> StepResult:
    """Decisions; agreement, records on gold items and what the audit says stand in the notes."""
    items, reviews = inputs["items"].rows, inputs["reviews"].rows
    table = decisions(items, reviews)
    notes = figures(items, reviews, table, config) | {"open": _open(items, table)}
    said = statements(items, table, rationales=_pools(inputs["items"].artefacts))
    return StepResult(table, notes=notes | {"audit": [asdict(one) for one in said]},
                      read=reviews.height)  # fmt: skip


def _open(items: pl.DataFrame, table: pl.DataFrame) -> dict[str, int]:
    """Language -> rows that were chosen for review and are not judged as a whole yet.

    They stand outside the audit's pool: it says nothing of them. Gold rows are among them: people
    are asked for their verdict alone.
    """
    chosen = items.filter(pl.col("purpose").cast(pl.String).is_in(_CHOSEN))
    settled = table.filter(pl.col("value").is_not_null())
    judged = chosen.join(_deciding(settled, Q.TRANSLATION_ADEQUACY), on="item_id", how="semi")
    rated = pl.col("item_id").is_in(_deciding(settled, Q.RATIONALE_QUALITY)["item_id"].implode())
    judged = judged.filter(rated | pl.col("rationale").is_null())
    left = chosen.join(judged, on="example_id", how="anti").unique("example_id")
    return dict(left.group_by("language").len().sort("language").iter_rows())


def _deciding(settled: pl.DataFrame, asked: Q) -> pl.DataFrame:
    return settled.filter(pl.col("question") == asked.value).select("item_id")


def _pools(artefacts: Sequence[Artefact]) -> dict[tuple[str, int], int]:
    """(language, round) -> rows with a rationale in the frozen pools of audits."""
    frozen = [(artefact.files / POOL, int(artefact.manifest.config["round"]))
              for artefact in artefacts if (artefact.files / POOL).is_file()]  # fmt: skip
    return {(language, number): rows for path, number in frozen
            for language, rows in rationale_pools(path).items()}  # fmt: skip


def not_gold(items: pl.DataFrame) -> pl.DataFrame:
    """Items that agreement is measured on: gold ones are picked by hand."""
    return items.filter(pl.col("purpose").cast(pl.String) != Purpose.GOLD.value)


def figures(items: pl.DataFrame, reviews: pl.DataFrame, table: pl.DataFrame,
            config: DecideConfig) -> dict[str, Any]:  # fmt: skip
    """What is said of the people beside the decisions, as plain values."""
    found = agreement(reviews, not_gold(items), draws=config.draws, seed=config.seed)
    rules = table["rule"].cast(pl.String).value_counts().sort("rule").iter_rows()
    return {
        "rules": dict(rules),
        "agreement": figures_table(found).to_dicts(),
        "gold": [asdict(figure) for figure in gold(reviews, items)],
    }


DECIDE = Step(
    name="annotation.decide",
    version="1",
    summary="deciding what people's answers come to",
    config=DecideConfig,
    inputs={"items": ReviewItem, "reviews": Review},
    output=Decision,
    run=run,
    light=always,
)
