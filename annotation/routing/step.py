"""Step `annotation.route`: which rows of a version people are asked about, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from whyguard.annotation.campaign import publish_items
from whyguard.annotation.routing.answers import answers
from whyguard.annotation.routing.choose import Budget, Candidate, Chosen, choose
from whyguard.annotation.routing.features import Features, features_of
from whyguard.annotation.routing.fitting import Model, fit
from whyguard.annotation.routing.gold import read_gold
from whyguard.annotation.routing.items import (
    Source,
    Why,
    blind_item,
    item_ids,
    rationale_item,
    sources_of,
)
from whyguard.annotation.routing.risk import Assessed, assess
from whyguard.annotation.routing.rows import (
    CampaignConfig,
    check_languages,
    optional_rows,
    shown_rows,
)
from whyguard.core.refs import DataFile
from whyguard.core.schemas import Decision, Example, Explanation, Prompt, ReviewItem, Trace
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepResult, always
from whyguard.core.tables import Row, drops_frame, frame
from whyguard.core.values import Purpose

_BY_CHANCE = "drawn by chance"


class RouteConfig(CampaignConfig):
    """The budget of each language, and what it is spent on."""

    minutes: float | None = Field(default=None, gt=0)
    """Budget of each language in minutes of all annotators together."""
    items: int | None = Field(default=None, ge=1)
    """Budget of each language in answers: an item that two people answer counts twice."""
    seconds_blind: float = Field(default=20.0, gt=0)
    """Seconds an answer to a blind item takes; replace by what was measured."""
    seconds_rationale: float = Field(default=75.0, gt=0)
    random_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the budget for rows by chance: what the risk is calibrated on."""
    overlap_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the riskiest rows that `overlap_answers` people answer, without suggestions."""
    overlap_answers: int = Field(default=2, ge=2)
    per_group: int = Field(default=2, ge=1)
    """Most risky rows of one group in a language and round."""
    gold: DataFile | None = None
    """CSV with columns example_id and verdict: rows whose verdict is known."""
    gold_share: float = Field(default=0.1, ge=0, le=1)
    """Most of the budget for gold items."""

    @model_validator(mode="after")
    def _one_budget(self) -> "RouteConfig":
        if (self.minutes is None) == (self.items is None):
            raise ValueError("'minutes' or 'items', one of them")
        if self.random_share + self.gold_share > 1.0:
            raise ValueError("random_share and gold_share of at most 1 together")
        return self

    def budget(self) -> Budget:
        """What each language may spend."""
        counted = self.items is not None
        return Budget(
            amount=float(self.items) if self.items is not None else 60.0 * (self.minutes or 0.0),
            blind=1.0 if counted else self.seconds_blind,
            rationale=1.0 if counted else self.seconds_rationale,
            answers=self.overlap_answers, random_share=self.random_share,
            gold_share=self.gold_share if self.gold else 0.0, overlap_share=self.overlap_share,
            per_group=self.per_group,
        )  # fmt: skip


class Routing(NamedTuple):
    """What is known before anything is chosen: rows, their risks, what was asked before."""

    examples: list[Row]
    sources: dict[str, Source]
    ids: dict[str, tuple[str, str]]
    """Example id -> ids of its blind and its rationale item."""
    assessed: Assessed
    asked: frozenset[str]
    gold: dict[str, str]


def run(inputs: Inputs, config: RouteConfig, runtime: Runtime, room: Room) -> StepResult:
    """Items of each language; rows of categories that are never released are dropped.

    Raises:
        ConfigError: a language has no rows.
        DataError: the gold file is not one.
    """
    examples, drops = shown_rows(inputs["examples"].rows.to_dicts())
    check_languages(examples, config.languages, "annotation.route: languages")
    sources = sources_of(examples, optional_rows(inputs, "prompts"))
    earlier = optional_rows(inputs, "items")
    features = features_of(examples, optional_rows(inputs, "traces"),
                           optional_rows(inputs, "explanations"))  # fmt: skip
    ids = {row["example_id"]: item_ids(row, sources.get(row["example_id"])) for row in examples}
    model, facts = _fitted(features, examples, earlier, optional_rows(inputs, "decisions"), ids)
    routing = Routing(examples, sources, ids, assess(features, model),
                      frozenset(item["item_id"] for item in earlier),
                      read_gold(Path(config.gold), examples) if config.gold else {})  # fmt: skip
    rows: list[Row] = []
    notes: dict[str, Any] = {"campaign": config.campaign, "fit": facts, "languages": {}}
    for language in config.languages:
        made, told = _of_language(routing, language, config)
        rows += made
        notes["languages"][language] = told
    return StepResult(frame(ReviewItem, rows), drops_frame(drops), notes=notes)


def _fitted(features: Features, examples: Sequence[Row], earlier: Sequence[Row],
            decisions: Sequence[Row], ids: Mapping[str, tuple[str, str]]
            ) -> tuple[Model | None, dict[str, Any]]:  # fmt: skip
    """The regression on earlier answers, and what it was fitted to."""
    places = {str(row["example_id"]): number for number, row in enumerate(examples)}
    current = frozenset(name for both in ids.values() for name in both)
    known = answers(earlier, decisions, places, current)
    model = fit(features, known)
    counts = Counter((item.random, item.wrong) for item in known)
    facts = {"how": "answers" if model else "no answers: by what stands out",
             "wrong": counts[True, True] + counts[False, True],
             "right": counts[True, False] + counts[False, False],
             "by_chance": {"wrong": counts[True, True], "right": counts[True, False]}}  # fmt: skip
    return model, facts


def _of_language(routing: Routing, language: str, config: RouteConfig
                 ) -> tuple[list[Row], dict[str, Any]]:  # fmt: skip
    """Items of one language, and what to tell of them."""
    places = {row["example_id"]: number for number, row in enumerate(routing.examples)
              if row["language"] == language}  # fmt: skip
    pool, gold = [], []
    for name, place in places.items():
        blind, rationale = routing.ids[name]
        if name in routing.gold:
            gold += [name] if blind not in routing.asked else []
        elif rationale not in routing.asked:
            pool.append(_candidate(routing, place))
    seed = f"{config.seed} {config.campaign} {config.round} {language}"
    chosen = choose(pool, gold, config.budget(), seed)
    items = [item for one in chosen for item in _items(one, routing, places, config)]
    return items, _told(chosen, items, len(pool), config)


def _candidate(routing: Routing, place: int) -> Candidate:
    row = routing.examples[place]
    category = row["categories"][0] if row["categories"] else ""
    return Candidate(row["example_id"], row["group_id"], category, routing.assessed.aspects[place],
                     float(routing.assessed.score[place]))  # fmt: skip


def _items(one: Chosen, routing: Routing, places: dict[str, int], config: RouteConfig
           ) -> list[Row]:  # fmt: skip
    """A row's rationale item, and a blind one where several people are to answer."""
    place = places[one.example_id]
    row, work = routing.examples[place], one.purpose is Purpose.WORK
    why = Why(one.purpose, config.round, weight=one.weight,
              gold=routing.gold.get(one.example_id))  # fmt: skip
    items = []
    if one.purpose is not Purpose.GOLD:
        told = why._replace(
            risk=float(routing.assessed.risk[place]),
            reason=routing.assessed.reasons[place] if work else _BY_CHANCE,
        )
        wanted = config.overlap_answers if work and one.overlap else 1
        items.append(rationale_item(row, routing.sources.get(one.example_id), told, wanted,
                                    suggest=work and not one.overlap))  # fmt: skip
    if one.overlap:
        blind = blind_item(row, why, config.overlap_answers)
        items += [blind] if blind["item_id"] not in routing.asked else []
    return items


def _told(chosen: Sequence[Chosen], items: Sequence[Row], pool: int, config: RouteConfig
          ) -> dict[str, Any]:  # fmt: skip
    seconds = {"blind": config.seconds_blind, "rationale": config.seconds_rationale}
    spent = sum(item["wanted"] * seconds[item["kind"]] for item in items)
    return {
        "pool": pool,
        "chosen": len(chosen),
        "by_purpose": dict(sorted(Counter(one.purpose.value for one in chosen).items())),
        "overlap": sum(one.overlap and one.purpose is Purpose.WORK for one in chosen),
        "items": len(items),
        "answers": sum(item["wanted"] for item in items),
        "minutes": round(spent / 60.0, 1),
    }


ROUTE = Step(
    name="annotation.route",
    version="1",
    summary="choosing what people look at",
    config=RouteConfig,
    inputs={
        "examples": Example,
        "prompts": Prompt,
        "traces": Trace,
        "explanations": Explanation,
        "items": ReviewItem,
        "decisions": Decision,
    },
    output=ReviewItem,
    run=run,
    optional=frozenset({"prompts", "traces", "explanations", "items", "decisions"}),
    publish=publish_items,
    light=always,
)
