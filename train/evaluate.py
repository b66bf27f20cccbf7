"""The step `train.evaluate`: scores and forced-prefix rationales of several guards."""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
from pydantic import Field

from whyguard.core.artefact import Artefact
from whyguard.core.drafts import draft_folder, replacing, sweep_drafts
from whyguard.core.engine import find_artefact
from whyguard.core.errors import ConfigError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.optional import require
from whyguard.core.refs import ModelRef
from whyguard.core.schemas import Example, Score, TrainLog
from whyguard.core.steps import (
    Input,
    Inputs,
    Published,
    Room,
    Runtime,
    Step,
    StepConfig,
    StepResult,
    Workspace,
)
from whyguard.core.tables import frame, validated
from whyguard.core.values import Label, Split
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import (
    Loaded,
    Located,
    Precision,
    load_located,
    locate_model,
    trimmed_model,
)
from whyguard.train.decode import Explaining, explained_rows
from whyguard.train.folder import (
    GuardFacts,
    check_held_out,
    plain_facts,
    read_guard,
    write_guard,
)
from whyguard.train.metrics import thresholds
from whyguard.train.segments import corpus_texts
from whyguard.train.sft import MODEL_FOLDER

KEY = "artefact.key"
"""In a published guard: the key of the evaluation that its threshold comes from."""


class EvaluateConfig(StepConfig):
    """What is scored, and in which languages."""

    languages: tuple[str, ...] = Field(min_length=1)
    """Languages of the test rows."""
    splits: tuple[Split, ...] = (Split.DEV, Split.TEST)
    dev_languages: tuple[str, ...] | None = None
    """Languages of the dev rows, on which thresholds are fixed; None: the training languages."""
    explain_languages: tuple[str, ...] = ()
    """Languages in which harmful test prompts get a rationale under the forced prefix."""
    max_new_tokens: int = Field(default=64, ge=1)
    mode: Literal["no_think"] = "no_think"
    also_base: ModelRef | None = None
    """An untrained model, scored beside the guards as arm `base`."""
    precision: Precision = Precision.FP32


class _Subject(NamedTuple):
    """A model to evaluate; `name` tells apart models of one arm and seed."""

    name: str
    located: Located
    facts: GuardFacts


class _Job(NamedTuple):
    """What every chunk of one run shares."""

    config: EvaluateConfig
    batch_size: int
    device: str
    room: Room


def run_evaluate(inputs: Inputs, config: EvaluateConfig, runtime: Runtime,
                 room: Room) -> StepResult:  # fmt: skip
    """One row a model and example. Each model x language is stored before the next begins.

    Raises:
        ConfigError: no model is given, or there is no row to score.
        DataError: a guard was trained on a group of the dev or test rows.
    """
    torch = require("torch", "train")
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    examples = inputs["examples"].rows
    subjects = _subjects(inputs.get("models"), examples, config, room)
    job = _Job(config, runtime.batch_size, runtime.device, room)
    wanted = _wanted(examples, config, subjects)
    for subject in subjects:
        _check_held_out(subject, wanted)
    tables = [table for subject in subjects for table in _evaluate(subject, wanted, job)]
    used = tuple(subject.located.use for subject in subjects)
    return StepResult(pl.concat(tables), models=used, notes={"mode": config.mode})


def _subjects(models: Input | None, examples: pl.DataFrame, config: EvaluateConfig,
              room: Room) -> list[_Subject]:  # fmt: skip
    found = []
    for artefact in models.artefacts if models else ():
        folder = artefact.files / MODEL_FOLDER
        located = locate_model(f"path:{folder}", role="evaluated")
        facts = read_guard(folder) or plain_facts(located.use)
        # a path would differ between machines: the artefact's key stands for it
        name = _name(artefact.manifest.key)
        use = located.use.model_copy(update={"reference": name, "licence": facts.licence})
        found.append(_Subject(name, Located(folder, use), facts))
    if config.also_base is not None:
        template = found[0].facts.prompt_template if found else DEFAULT_TEMPLATE
        base = locate_model(config.also_base, role="evaluated", progress=room.progress)
        texts = corpus_texts(examples.to_dicts(), prompt_template(template))
        located = trimmed_model(base, texts, room.progress)
        found.append(_Subject(base.use.reference, located, plain_facts(base.use, template)))
    if not found:
        fail(ConfigError, where="train.evaluate: inputs", expected="models, or also_base",
             found="neither", do="name train.sft steps under inputs.models")  # fmt: skip
    return found


def _wanted(examples: pl.DataFrame, config: EvaluateConfig,
            subjects: list[_Subject]) -> pl.DataFrame:  # fmt: skip
    trained = sorted({code for subject in subjects for code in subject.facts.languages})
    dev = config.dev_languages if config.dev_languages is not None else tuple(trained)
    is_dev = pl.col("split") == Split.DEV.value
    chosen = (is_dev & pl.col("language").is_in(dev)) | (
        ~is_dev & pl.col("language").is_in(config.languages)
    )
    splits = [split.value for split in config.splits]
    table = examples.filter(chosen & pl.col("split").cast(pl.String).is_in(splits))
    if table.is_empty():
        fail(ConfigError, where="train.evaluate: config",
             expected=f"rows of {', '.join(splits)} in {', '.join(config.languages)}",
             found="none in the input", do="check languages and splits")  # fmt: skip
    return table


def _name(key: str) -> str:
    return f"sft-{key[:12]}"


def _check_held_out(subject: _Subject, wanted: pl.DataFrame) -> None:
    held_out = wanted.filter(pl.col("split").cast(pl.String) != Split.TRAIN.value)
    check_held_out(subject.located.folder, subject.facts, held_out["group_id"],
                   f"train.evaluate: {subject.facts.arm}, seed {subject.facts.seed}")  # fmt: skip


def _evaluate(subject: _Subject, wanted: pl.DataFrame, job: _Job) -> Iterator[pl.DataFrame]:
    loaded: Loaded | None = None
    for language in wanted["language"].unique().sort():
        rows = wanted.filter(pl.col("language") == language)
        path = _chunk_path(subject, rows, language, job)
        if not path.is_file():
            loaded = loaded or load_located(subject.located, job.config.precision, job.device)
            table = frame(Score, _score_rows(subject, loaded, rows, language, job))
            with replacing(path) as draft:
                table.write_parquet(draft)
        yield validated(Score, pl.read_parquet(path), str(path))


def _chunk_path(subject: _Subject, rows: pl.DataFrame, language: str, job: _Job) -> Path:
    # scratch belongs to one step key already; the hash guards against a model trained anew
    facts = [subject.name, subject.facts.model_dump(mode="json"), rows["example_id"].to_list()]
    folder = job.room.scratch / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{sha256_json(facts)[:16]}-{language}.parquet"


def _score_rows(subject: _Subject, loaded: Loaded, rows: pl.DataFrame, language: str,
                job: _Job) -> list[dict[str, Any]]:  # fmt: skip
    facts, template = subject.facts, prompt_template(subject.facts.prompt_template)
    with job.room.progress.task(f"{facts.arm} scores {language}", rows.height) as task:
        scores = harmful_probabilities(loaded, template, rows["text"].to_list(), facts.labels,
                                       job.batch_size, task)  # fmt: skip
    written = _explanations(subject, loaded, rows, language, job)
    return [
        {
            "model": subject.name, "arm": facts.arm, "seed": facts.seed,
            "example_id": row["example_id"], "mode": job.config.mode,
            "group_id": row["group_id"], "split": row["split"], "language": language,
            "label": row["label"], "score": float(score),
            **written.get(row["example_id"], {"signals": []}),
        }
        for row, score in zip(rows.to_dicts(), scores, strict=True)
    ]  # fmt: skip


def _explanations(subject: _Subject, loaded: Loaded, rows: pl.DataFrame, language: str,
                  job: _Job) -> Mapping[str, dict[str, Any]]:  # fmt: skip
    """Explanation, reference and signals of each harmful test row, by example id."""
    if language not in job.config.explain_languages:
        return {}
    asked = rows.filter(
        (pl.col("split") == Split.TEST.value) & (pl.col("label") == Label.HARMFUL.value)
    )
    if asked.is_empty():
        return {}
    with job.room.progress.task(f"{subject.facts.arm} explains {language}", asked.height) as task:
        return explained_rows(loaded, subject.facts, asked,
                              Explaining(job.config.max_new_tokens, job.batch_size),
                              task)  # fmt: skip


def publish_guards(artefact: Artefact, config: EvaluateConfig,
                   workspace: Workspace) -> tuple[Published, ...]:  # fmt: skip
    """Lay each guard out as models/ARM-seedSEED, with its threshold where dev rows were scored.

    A guard that shows this evaluation already stays; one of another is replaced.
    """
    laid: list[Published] = []
    sweep_drafts(workspace.models)
    for use in artefact.manifest.inputs.get("models", ()):
        trained = find_artefact(workspace.store, use)
        facts = read_guard(trained.files / MODEL_FOLDER) if trained else None
        if trained is None or facts is None:
            continue
        target = workspace.models / f"{facts.arm}-seed{facts.seed}"
        if target in [other.path for other in laid]:  # of one arm and seed, trained otherwise
            target = target.with_name(f"{target.name}-{use.key[:8]}")
        key = f"{artefact.manifest.key} {use.key}"
        cut = _threshold(artefact, _name(use.key), config.dev_languages or facts.languages)
        note = "no threshold" if cut is None else f"threshold {cut:.4g}"
        if not (target / KEY).is_file() or (target / KEY).read_text("utf-8") != key:
            _lay_out(trained.files / MODEL_FOLDER, target, facts, cut, key)
        laid.append(Published("guard", target, note))
    return tuple(laid)


def _threshold(artefact: Artefact, name: str, languages: Sequence[str]) -> float | None:
    fixed = thresholds(artefact.rows().filter(pl.col("model") == name), languages)
    cut = fixed["threshold"][0] if fixed.height else math.nan
    return None if math.isnan(cut) else float(cut)


def _lay_out(model: Path, target: Path, facts: GuardFacts, cut: float | None, key: str) -> None:
    draft = draft_folder(target.parent)
    try:
        shutil.copytree(model, draft / "new", copy_function=_link_weights)
        write_guard(draft / "new", facts.model_copy(update={"threshold": cut}))
        (draft / "new" / KEY).write_text(key, "utf-8")
        if target.exists():
            target.rename(draft / "old")
        (draft / "new").rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _link_weights(source: str, target: str) -> None:
    # weights are large and never written in place; the small files are, so they are copied
    if source.endswith(".safetensors"):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


EVALUATE = Step(
    name="train.evaluate",
    version="2",
    summary="scoring guards and letting them explain",
    config=EvaluateConfig,
    inputs={"examples": Example, "models": TrainLog},
    output=Score,
    run=run_evaluate,
    optional=frozenset({"models"}),
    publish=publish_guards,
)
