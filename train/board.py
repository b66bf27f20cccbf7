"""Guards side by side: every model of a pipeline, before and after each stage, on held-out rows.

Each model is scored in each mode (`thinking.ScoringMode`) on dev rows of the languages it was
trained in, where its threshold is fixed, and on test rows of all languages asked for. Scores are
stored by model, mode and language under a key of their content: a rerun, or one after a kill,
scores only what is missing, and a model that is another's copy (stage `none`) costs nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.drafts import replacing
from whyguard.core.errors import ConfigError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.progress import Progress
from whyguard.core.schemas import Score
from whyguard.core.tables import frame, validated
from whyguard.core.values import Label, Reasoning, Split
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import Loaded, Precision, load_located, locate_model
from whyguard.train.decode import Explaining, explained_rows
from whyguard.train.folder import (
    BASE_ARM,
    GuardFacts,
    check_held_out,
    plain_facts,
    read_guard,
)
from whyguard.train.sampling import THINK_OPEN
from whyguard.train.stages.data import StageData
from whyguard.train.stages.run import model_content
from whyguard.train.thinking import ScoringMode, Thinking, thoughtful_probabilities

CLOSED = "closed"
"""Signal: share of a row's reasonings that came to a verdict by themselves (modes that think)."""
_VERSION = "2"
"""Changes whenever scores could change; part of every chunk's key."""


class BoardConfig(BaseModel):
    """What is measured of each model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[LanguageCode, ...] = ()
    """Languages of the test rows; empty: all of the data."""
    modes: tuple[ScoringMode, ...] = (ScoringMode.NO_THINK, ScoringMode.THINK_GREEDY)
    """Modes; a model that was not taught to reason is scored in no_think alone."""
    base: bool = True
    """Score the model that the pipeline starts from, too."""
    explain: bool = False
    """Let each model write rationales of the harmful test rows under the forced prefix."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens of a reasoning."""
    explanation_tokens: int = Field(default=64, ge=1)
    samples: int = Field(default=8, ge=1)
    """Reasonings a prompt in think_k."""
    temperature: float = Field(default=0.7, gt=0)
    """In think_k."""
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=32, ge=1)
    """Prompts at once; no part of what is stored."""
    draws: int = Field(default=1000, ge=1)
    """Bootstrap draws of an interval."""


class Contestant(NamedTuple):
    """A model on the board."""

    name: str
    """What tables call it: `base`, or the id of its stage."""
    reference: str
    start: str | None
    """Name of the model it was trained from."""


class _Subject(NamedTuple):
    """A contestant that was found."""

    name: str
    reference: str
    content: str
    folder: Path
    facts: GuardFacts
    start: str | None


def score_board(contestants: Sequence[Contestant], data: StageData, config: BoardConfig,
                folder: Path, progress: Progress) -> pl.DataFrame:  # fmt: skip
    """Scores (schema Score; `model` and `arm` are the contestant's name) of all on the board.

    All have the same rows: thresholds are fixed on dev rows in every language that one of them was
    trained in.

    Args:
        contestants: the models.
        data: the examples of which dev and test rows are used.
        config: what is measured.
        folder: chunks are kept in it.
        progress: shows rows.

    Raises:
        ConfigError: no test row is in the languages asked for, or there are no dev rows to fix a
            threshold on.
        DataError: a model was trained on a group of these rows.
    """
    subjects = _asked_alike([_subject(each, progress) for each in contestants])
    trained = tuple(dict.fromkeys(code for each in subjects for code in each.facts.languages))
    rows, tables = _wanted(data.rows, config, trained), []
    for subject in subjects:
        check_held_out(subject.folder, subject.facts, rows["group_id"], f"board: {subject.name}")
        job = _Job(subject, data.sha256, config, folder, progress)
        tables += [table for mode in _modes(subject, config) for table in job.scores(rows, mode)]
    return pl.concat(tables)


def board_languages(data: StageData, config: BoardConfig) -> tuple[str, ...]:
    """The languages of the board's test rows, in order."""
    there = data.rows.filter(pl.col("split") == Split.TEST.value)["language"].unique().sort()
    return config.languages or tuple(there)


def related_languages(languages: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Languages that no model was trained in: what is pooled as `related`; English is not one."""
    return tuple(code for code in languages if code not in (*trained, ENGLISH))


def _subject(each: Contestant, progress: Progress) -> _Subject:
    located = locate_model(each.reference, role="evaluated", progress=progress)
    facts = read_guard(located.folder) or plain_facts(located.use)
    return _Subject(each.name, each.reference, model_content(each.reference), located.folder,
                    facts, each.start)  # fmt: skip


def _asked_alike(subjects: Sequence[_Subject]) -> list[_Subject]:
    """A base model is asked in the words of the guards trained from it."""
    told = [each.facts.prompt_template for each in subjects if each.facts.arm != BASE_ARM]
    words = {"prompt_template": told[0]} if told else {}
    return [each._replace(facts=each.facts.model_copy(update=words))
            if each.facts.arm == BASE_ARM else each for each in subjects]  # fmt: skip


def _modes(subject: _Subject, config: BoardConfig) -> list[ScoringMode]:
    reasons = subject.facts.reasoning != Reasoning.NONE.value
    return [mode for mode in config.modes if reasons or mode is ScoringMode.NO_THINK]


def _wanted(examples: pl.DataFrame, config: BoardConfig, trained: Sequence[str]) -> pl.DataFrame:
    split, language = pl.col("split").cast(pl.String), pl.col("language")
    dev = examples.filter((split == Split.DEV.value) & language.is_in(list(trained)))
    test = examples.filter(split == Split.TEST.value)
    if config.languages:
        test = test.filter(language.is_in(list(config.languages)))
    for rows, what in ((dev, f"dev rows in {', '.join(trained)}"), (test, "test rows")):
        if rows.is_empty():
            fail(ConfigError, where="evaluate", expected=what, found="none in the data",
                 do="check evaluate.languages, and the splits of the data")  # fmt: skip
    return pl.concat([dev, test])


class _Job:
    """Scores of one model; it is loaded when something is missing."""

    def __init__(self, subject: _Subject, data: str, config: BoardConfig, folder: Path,
                 progress: Progress) -> None:  # fmt: skip
        self._subject, self._data, self._config = subject, data, config
        self._folder, self._progress = folder, progress
        self._loaded: Loaded | None = None

    def scores(self, rows: pl.DataFrame, mode: ScoringMode) -> Iterator[pl.DataFrame]:
        """A table a language."""
        for language in rows["language"].unique().sort():
            own = rows.filter(pl.col("language") == language)
            path = self._folder / f"{self._key(own, mode)[:24]}.parquet"
            if not path.is_file():
                self._store(frame(Score, self._rows(own, language, mode)), path)
            table = validated(Score, pl.read_parquet(path), str(path))
            name = pl.lit(self._subject.name)
            yield table.with_columns(model=name, arm=name)

    def _key(self, rows: pl.DataFrame, mode: ScoringMode) -> str:
        facts, config = self._subject.facts, self._config
        asked: dict[str, Any] = {"template": facts.prompt_template, "labels": facts.labels}
        if mode is not ScoringMode.NO_THINK:
            asked |= self._thinking(mode)._asdict()
        if self._explains(mode):
            asked |= {"explanation_tokens": config.explanation_tokens}
        return sha256_json([_VERSION, self._subject.content, self._data, mode.value, asked,
                            facts.seed, rows["example_id"].to_list()])  # fmt: skip

    def _store(self, table: pl.DataFrame, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            table.write_parquet(draft)

    def _rows(self, rows: pl.DataFrame, language: str, mode: ScoringMode) -> list[dict[str, Any]]:
        facts = self._subject.facts
        scores, closed = self._measure(rows, language, mode)
        written = self._explanations(rows, language, mode)
        return [
            {"model": self._subject.name, "arm": self._subject.name, "seed": facts.seed,
             "example_id": row["example_id"], "mode": mode.value, "group_id": row["group_id"],
             "split": row["split"], "language": language, "label": row["label"], "score": score,
             **_with_closed(written.get(row["example_id"], {"signals": []}), share)}
            for row, score, share in zip(rows.to_dicts(), scores, closed, strict=True)
        ]  # fmt: skip

    def _measure(self, rows: pl.DataFrame, language: str,
                 mode: ScoringMode) -> tuple[list[float], Sequence[float | None]]:  # fmt: skip
        loaded, facts = self._model(), self._subject.facts
        template, texts = prompt_template(facts.prompt_template), rows["text"].to_list()
        size, thinks = self._config.batch_size, self._thinking(mode)
        total = rows.height * (thinks.samples if mode is ScoringMode.THINK_K else 1)
        label = f"{self._subject.name} {mode.value} {language}"
        with self._progress.task(label, total) as task:
            if mode is ScoringMode.NO_THINK:
                plain = harmful_probabilities(loaded, template, texts, facts.labels, size, task)
                return plain.tolist(), [None] * len(texts)
            found = thoughtful_probabilities(loaded, template, texts, facts.labels, thinks, size,
                                             task)  # fmt: skip
        return found.scores.tolist(), found.closed.tolist()

    def _explanations(self, rows: pl.DataFrame, language: str,
                      mode: ScoringMode) -> Mapping[str, dict[str, Any]]:  # fmt: skip
        asked = rows.filter((pl.col("split").cast(pl.String) == Split.TEST.value)
                            & (pl.col("label").cast(pl.String) == Label.HARMFUL.value))  # fmt: skip
        if not self._explains(mode) or asked.is_empty():
            return {}
        how = Explaining(self._config.explanation_tokens, self._config.batch_size)
        with self._progress.task(f"{self._subject.name} explains {language}", asked.height) as task:
            return explained_rows(self._model(), self._subject.facts, asked, how, task)

    def _explains(self, mode: ScoringMode) -> bool:
        """The forced prefix has no reasoning: one mode carries the rationales."""
        return self._config.explain and mode is ScoringMode.NO_THINK

    def _thinking(self, mode: ScoringMode) -> Thinking:
        config = self._config
        prefill = THINK_OPEN if self._subject.facts.prefill_think else ""
        return Thinking(mode, prefill, config.max_new_tokens, config.samples, config.temperature,
                        config.seed)  # fmt: skip

    def _model(self) -> Loaded:
        if self._loaded is None:
            located = locate_model(self._subject.reference, role="evaluated")
            self._loaded = load_located(located, Precision.FP32, "auto")
        return self._loaded


def _with_closed(facts: dict[str, Any], share: float | None) -> dict[str, Any]:
    if share is None:
        return facts
    return facts | {"signals": [*facts["signals"], {"name": CLOSED, "value": share}]}
