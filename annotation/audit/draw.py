"""Step `annotation.audit`: freezes the rows that nobody reviews, and draws from them uniformly."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, field_validator, model_validator

from whyguard.annotation.audit.bound import ALPHA, sample_size, shared_alpha, upper_rate
from whyguard.annotation.audit.questions import AuditQuestion, asked_by
from whyguard.annotation.campaign import publish_items
from whyguard.annotation.routing.choose import hashed
from whyguard.annotation.routing.items import (
    Source,
    Why,
    blind_item,
    item_ids,
    rationale_item,
    sources_of,
)
from whyguard.annotation.routing.rows import (
    CampaignConfig,
    check_languages,
    optional_rows,
    shown_rows,
)
from whyguard.core.errors import ConfigError, MissingFileError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.schemas import Example, Prompt, ReviewItem
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepResult, always
from whyguard.core.tables import Row, drops_frame, frame
from whyguard.core.values import Purpose, ReviewKind

POOL = "pool.parquet"
_REASON = "drawn uniformly"
_POOL_COLUMNS = {"example_id": pl.String, "language": pl.String, "content": pl.String,
                 "rationale": pl.Boolean}  # fmt: skip


class AuditConfig(CampaignConfig):
    """How many rows are drawn, and what they are asked."""

    size: int | None = Field(default=None, ge=1)
    """Rows a language; a smaller pool is drawn whole."""
    target_rate: float | None = Field(default=None, gt=0, lt=1)
    """Instead of a size: as many rows as bound the error rate here if none of them is wrong."""
    questions: tuple[AuditQuestion, ...] = Field(default=tuple(AuditQuestion), min_length=1)
    """What is to be stated: it decides which items there are, and all that these ask share the
    level (a rationale item asks of translation and rationale)."""
    blind_answers: int = Field(default=2, ge=1)
    """People who give a verdict on each drawn row."""

    @field_validator("questions")
    @classmethod
    def _sorted(cls, questions: tuple[AuditQuestion, ...]) -> tuple[AuditQuestion, ...]:
        return tuple(question for question in AuditQuestion if question in questions)

    @model_validator(mode="after")
    def _one_size(self) -> "AuditConfig":
        if (self.size is None) == (self.target_rate is None):
            raise ValueError("'size' or 'target_rate', one of them")
        return self

    def drawn(self, pool: int) -> int:
        """Rows to draw from a pool."""
        if self.size is not None:
            return min(self.size, pool)
        return sample_size(pool, self.target_rate or 1.0, 0, self.alpha)

    @property
    def kinds(self) -> frozenset[ReviewKind]:
        """Kinds of items that the questions need."""
        return frozenset(question.kind for question in self.questions)

    @property
    def alpha(self) -> float:
        """Level of each question's bound, so that all hold together with 95 %."""
        return shared_alpha(len(asked_by(self.kinds)), ALPHA)


def run(inputs: Inputs, config: AuditConfig, runtime: Runtime, room: Room) -> StepResult:
    """A blind item and a rationale item (or what the questions need) of each drawn row.

    The pool of a language is its rows that no review item covers and nobody has revised: those that
    would be released unread. It is written to `files/pool.parquet`. Of a language whose rows are
    all reviewed nothing is drawn: there is nothing to state.

    Raises:
        ConfigError: a language has no rows, or a later round has no items of an earlier audit.
    """
    examples, drops = shown_rows(inputs["examples"].rows.to_dicts())
    check_languages(examples, config.languages, "annotation.audit: languages")
    earlier = optional_rows(inputs, "items")
    _check_round(earlier, config)
    sources = sources_of(examples, optional_rows(inputs, "prompts"))
    covered = {item["example_id"] for item in earlier}
    items: list[Row] = []
    frozen: list[Row] = []
    notes: dict[str, Any] = {"campaign": config.campaign, "languages": {}}
    for language in config.languages:
        pool = [row for row in examples if row["language"] == language
                and row["example_id"] not in covered and not row["reviewed"]]  # fmt: skip
        facts = pool_rows(pool, sources)
        names = draw(facts, config, language)
        frozen += facts
        items += audit_items(pool, names, sources, config)
        notes["languages"][language] = _told(facts, names, config)
    pl.DataFrame(frozen, schema=_POOL_COLUMNS).write_parquet(room.files / POOL)
    return StepResult(frame(ReviewItem, items), drops_frame(drops), notes=notes)


def pool_rows(rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
    """Rows of the pool file: ids, what would be shown, and whether there is a rationale."""
    return [
        {"example_id": row["example_id"], "language": row["language"],
         "content": sha256_json(item_ids(row, sources.get(row["example_id"]))),
         "rationale": row["explanation"] is not None}
        for row in sorted(rows, key=lambda row: str(row["example_id"]))
    ]  # fmt: skip


def draw(pool: Sequence[Row], config: AuditConfig, language: str) -> set[str]:
    """Ids drawn uniformly without replacement.

    The order of chance depends on the seed, the round and all of the pool: another routing leaves
    another pool, and so another draw.
    """
    frozen = sha256_json([[row["example_id"], row["content"]] for row in pool])
    seed = f"audit {config.seed} {config.campaign} {config.round} {language} {frozen}"
    names = sorted((str(row["example_id"]) for row in pool), key=lambda name: hashed(seed, name))
    return set(names[: config.drawn(len(pool))])


def rationale_pools(path: Path) -> dict[str, int]:
    """Language -> rows of the frozen pool that have a rationale: the harmful ones.

    Args:
        path: `pool.parquet` of an audit's artefact.

    Raises:
        MissingFileError: it is not there.
    """
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="the frozen pool of an audit",
             found="no such file", do="run the step annotation.audit first")  # fmt: skip
    counted = pl.read_parquet(path).group_by("language").agg(pl.col("rationale").sum())
    return {str(language): int(count) for language, count in sorted(counted.iter_rows())}


def _check_round(earlier: Sequence[Row], config: AuditConfig) -> None:
    rounds = {item["round"] for item in earlier if item["purpose"] == Purpose.AUDIT}
    if config.round in rounds:
        fail(ConfigError, where="annotation.audit: round", expected="a round of its own",
             found=f"round {config.round}, which the items have an audit of",
             do="count the round up")  # fmt: skip
    if config.round > 1 and not rounds:
        fail(ConfigError, where="annotation.audit: input 'items'",
             expected=f"the items of all rounds before round {config.round}",
             found="none of an earlier audit",
             do="add the earlier annotation.audit to 'items'")  # fmt: skip


def audit_items(pool: Sequence[Row], names: set[str], sources: Mapping[str, Source],
                config: AuditConfig) -> list[Row]:  # fmt: skip
    """What is asked about the drawn rows, without suggestions."""
    if not names:
        return []
    why = Why(Purpose.AUDIT, config.round, reason=_REASON, pool=len(pool),
              weight=len(pool) / len(names))  # fmt: skip
    items = []
    for row in pool:
        if row["example_id"] not in names:
            continue
        if ReviewKind.BLIND in config.kinds:
            items.append(blind_item(row, why, config.blind_answers))
        if ReviewKind.RATIONALE in config.kinds:
            source = sources.get(row["example_id"])
            items.append(rationale_item(row, source, why, 1, suggest=False))
    return items


def _told(pool: Sequence[Row], names: set[str], config: AuditConfig) -> dict[str, Any]:
    bound = upper_rate(len(pool), len(names), 0, config.alpha) if pool else 0.0
    return {
        "pool": len(pool),
        "with_rationale": sum(row["rationale"] for row in pool),
        "drawn": len(names),
        "questions": [question.value for question in asked_by(config.kinds)],
        "bound_if_none_is_wrong": round(bound, 4),
    }


AUDIT = Step(
    name="annotation.audit",
    version="1",
    summary="drawing an audit",
    config=AuditConfig,
    inputs={"examples": Example, "items": ReviewItem, "prompts": Prompt},
    output=ReviewItem,
    run=run,
    optional=frozenset({"items", "prompts"}),
    publish=publish_items,
    light=always,
)
