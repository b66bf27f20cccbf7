"""`whyguard train pipeline`: stages one after another, each saved, passed on by path, resumable.

    pipeline: 1
    model: hf:ORG/NAME
    data: starter-ast                       # dataset version, or a folder
    common: {languages: [ast_Latn], seed: 13}
    stages:
      sft: {epochs: 1}
      grpo: {max_steps: 200}
      pairs: {samples: 8}
      cao: {}
    evaluate: {modes: [no_think]}           # every model, before and after, on held-out rows

Stages run in the order written. A stage starts from the model of the training stage before it (or
of the one named by `after`); dpo, cao and none learn from the pairs made last. Each id is the name
of a stage, or has a key `stage`. Each folder OUT/ID is finished, or goes on where it was stopped.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import ENGLISH, known_languages
from whyguard.core.nearest import suggest
from whyguard.core.progress import Progress
from whyguard.core.refs import ModelRef
from whyguard.core.registry import load_object
from whyguard.train.board import BoardConfig, Contestant, score_board
from whyguard.train.board_table import (
    Board,
    card_scores,
    card_threshold,
    make_board,
    write_board,
)
from whyguard.train.config import LEARNS_FROM_PAIRS, STAGES, StageConfig
from whyguard.train.folder import add_scores, read_guard
from whyguard.train.pairs import PairsConfig
from whyguard.train.stages.data import find_data, read_examples
from whyguard.train.stages.files import (
    Written,
    overridden,
    stage_class,
    stage_config,
    with_known_names,
)
from whyguard.train.stages.inherit import planned as planned_after
from whyguard.train.stages.pairs_run import LEDGER, PairsJob, PairsResult, run_pairs
from whyguard.train.stages.run import MODEL, StageResult, is_first_process, run_stage

PAIRS, BASE, EVALUATION = "pairs", "base", "evaluation"
_KINDS = (*STAGES, PAIRS)
_CHECK = "whyguard.train.stages.arguments:check_passed"
_CHECKS = {"grpo": "whyguard.train.stages.grpo_arguments:check_passed"}
"""Stage -> "module:function" (config) that checks what it passes to TRL; it needs trl."""
_OWN_KEYS = ("stage", "after")
_PLACES = ("model", "data", "datasets", "stage")
"""Keys that `common` cannot say."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class PipelineFile(BaseModel):
    """A pipeline as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: int = Field(ge=1, le=1)
    name: str = ""
    description: str = ""
    model: ModelRef
    data: str
    datasets: str = "workspace/datasets"
    common: dict[str, Any] = {}
    """Keys for every stage that has them; a stage's own go before."""
    stages: dict[str, dict[str, Any] | None] = Field(min_length=1)
    evaluate: BoardConfig | None = None
    """Score every model of the pipeline; see `train/board.py`. null: none is scored."""


class Planned(NamedTuple):
    """One stage of a pipeline; places of models and pairs are still ids."""

    id: str
    kind: str
    config: StageConfig | PairsConfig
    after: str | None
    """Id of the stage whose model it starts from; None: the pipeline's model."""
    pairs: str | None
    """Id of the pairs it learns from."""


class Pipeline(NamedTuple):
    """A checked pipeline."""

    path: Path
    file: PipelineFile
    stages: tuple[Planned, ...]


Done = StageResult | PairsResult


def load_pipeline(path: Path, settings: Sequence[str] = ()) -> Pipeline:
    """Read and check a pipeline; every stage's config is checked before anything runs.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: an unknown key or stage, a value of the wrong kind, or stages in an order in
            which one would have no pairs.
    """
    written = Written(path, "a pipeline")
    raw = overridden(written.raw, settings)
    file = written.parse(PipelineFile, raw)
    kinds = {name: _kind(name, entry or {}, written) for name, entry in file.stages.items()}
    _check_common(file, kinds, written)
    for index, code in enumerate(file.evaluate.languages if file.evaluate else ()):
        known_languages().get(code, written.where(("evaluate", "languages", index)))
    planned: list[Planned] = []
    for name, entry in file.stages.items():
        planned.append(_planned(name, kinds[name], entry or {}, file, planned, written))
    return Pipeline(path, file, tuple(planned))


def run_pipeline(pipeline: Pipeline, out: Path, progress: Progress) -> Iterator[tuple[str, Done]]:
    """Run the stages; yields each as it is done. Fields for TRL are checked first, in all of them.

    Raises:
        ConfigError: a folder below `out` holds another stage (delete it, or name another `out`).
        PartialError: memory ran out; the next call goes on.
    """
    check_passed(pipeline)
    for stage in pipeline.stages:
        place = out / stage.id
        model = pipeline.file.model if stage.after is None else f"path:{out / stage.after / MODEL}"
        if isinstance(stage.config, PairsConfig):
            config = stage.config.model_copy(update={"model": model})
            job = PairsJob(config, pipeline.file.data, pipeline.file.datasets)
            yield stage.id, run_pairs(job, place, progress)
        else:
            data = str(out / stage.pairs) if stage.pairs else stage.config.data
            ready = stage.config.model_copy(update={"model": model, "data": data})
            yield stage.id, run_stage(ready, place, progress)


def check_passed(pipeline: Pipeline) -> None:
    """Check what each stage passes to TRL: the last stage's mistake is to cost no training.

    Raises:
        ConfigError, MissingExtraError: see `stages.arguments.check_fields`.
    """
    for stage in pipeline.stages:
        if isinstance(stage.config, StageConfig) and stage.kind != "none":
            load_object(_CHECKS.get(stage.kind, _CHECK))(stage.config)


def evaluate_pipeline(pipeline: Pipeline, out: Path, progress: Progress) -> Board | None:
    """Score the models of a pipeline that was run; OUT/evaluation and their cards tell of it.

    Returns:
        The board; None where the pipeline asks for none, and in processes but the first.

    Raises:
        ConfigError, DataError: see `score_board`.
    """
    config = pipeline.file.evaluate
    if config is None or not is_first_process():
        return None
    where = StageConfig(stage="evaluate", data=pipeline.file.data, datasets=pipeline.file.datasets)
    data = read_examples(find_data(where))
    contestants = _contestants(pipeline, out, base=config.base)
    folder = out / EVALUATION
    scores = score_board(contestants, data, config, folder / "chunks", progress)
    board = make_board(scores, contestants, _trained(contestants), data, config)
    write_board(board, folder)
    for each in contestants:
        if each.name != BASE:
            add_scores(out / each.name / MODEL, card_scores(board.metrics, each.name),
                       card_threshold(board.metrics, each.name))  # fmt: skip
    return board


def _contestants(pipeline: Pipeline, out: Path, *, base: bool) -> list[Contestant]:
    """The base model, then each stage's model, in order."""
    found = [Contestant(BASE, pipeline.file.model, None)] if base else []
    for stage in pipeline.stages:
        if stage.kind != PAIRS:
            start = stage.after or (BASE if base else None)
            found.append(Contestant(stage.id, f"path:{out / stage.id / MODEL}", start))
    return found


def _trained(contestants: Sequence[Contestant]) -> tuple[str, ...]:
    facts = [read_guard(Path(each.reference.removeprefix("path:"))) for each in contestants
             if each.name != BASE]  # fmt: skip
    return tuple(dict.fromkeys(code for each in facts if each for code in each.languages))


def _kind(name: str, entry: Mapping[str, Any], written: Written) -> str:
    if name in (BASE, EVALUATION, LEDGER) or not _ID.fullmatch(name):
        fail(ConfigError, where=written.where(("stages", name)), expected="an id of your own: "
             f"letters, digits, . _ -, not {BASE}, {EVALUATION} or {LEDGER}, which tables and "
             "folders use", found=f"'{name}'", do="name it otherwise")  # fmt: skip
    kind = str(entry.get("stage", name))
    if kind not in _KINDS:
        fail(ConfigError, where=written.where(("stages", name)), expected="the name of a stage, or "
             "a key 'stage' with one", found=f"'{kind}'", do=suggest(kind, _KINDS))  # fmt: skip
    return kind


def _config_class(kind: str, where: str) -> Any:
    return PairsConfig if kind == PAIRS else stage_class(kind, where)


def _check_common(file: PipelineFile, kinds: Mapping[str, str], written: Written) -> None:
    """A key that no stage knows is a misspelt one."""
    classes = [_config_class(kind, written.where(("stages", name)))
               for name, kind in kinds.items()]  # fmt: skip
    known = {field for each in classes for field in each.model_fields}
    for key in file.common:
        if key in _PLACES:
            fail(ConfigError, where=written.where(("common", key)), expected="keys of stages",
                 found=f"'{key}'", do=f"write {key} beside `common`, or in a stage"
                 if key in PipelineFile.model_fields else "take it out")  # fmt: skip
        if key not in known:
            fail(ConfigError, where=written.where(("common", key)), expected="a key of some stage",
                 found=f"unknown key '{key}'", do=suggest(key, known))  # fmt: skip


def _planned(name: str, kind: str, entry: Mapping[str, Any], file: PipelineFile,
             before: Sequence[Planned], written: Written) -> Planned:  # fmt: skip
    at = ("stages", name)
    after = _after(entry, before, written, at)
    pairs = next((stage.id for stage in reversed(before) if stage.kind == PAIRS), None)
    own = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
    if "model" in own:
        fail(ConfigError, where=written.where((*at, "model")), expected="a stage that starts from "
             "the one before it, or from the one that `after` names", found="a model of its own",
             do="use after, or the pipeline's model")  # fmt: skip
    fields = _config_class(kind, written.where(at)).model_fields
    common = {key: value for key, value in file.common.items() if key in fields}
    if kind == PAIRS:
        raw = _pairs_defaults(common) | own | {"model": file.model}
        checked = with_known_names(written, written.parse(PairsConfig, raw, at), at)
        return Planned(name, kind, checked, after, None)
    places = {"data": file.data, "datasets": file.datasets} | own
    config = stage_config(written, kind, common | places | {"stage": kind}, at)
    if kind in LEARNS_FROM_PAIRS and pairs is None and "data" not in own:
        fail(ConfigError, where=written.where(at), expected="a stage 'pairs' before it, or data: "
             "FOLDER of pairs", found="neither", do="add a stage pairs")  # fmt: skip
    start = next((stage.config for stage in before if stage.id == after), None)
    if isinstance(start, StageConfig):
        config = planned_after(config, start, written.where(at))
    learns = kind in LEARNS_FROM_PAIRS and "data" not in own
    return Planned(name, kind, config, after, pairs if learns else None)


def _pairs_defaults(common: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs are for target languages: English, which the anchors are in, is left out."""
    languages = [code for code in common.get("languages", ()) if code != ENGLISH]
    return dict(common) | ({"languages": languages} if languages else {})


def _after(entry: Mapping[str, Any], before: Sequence[Planned], written: Written,
           at: tuple[str, ...]) -> str | None:  # fmt: skip
    """The stage whose model is gone on from: alignment stages stand side by side."""
    models = [stage for stage in before if stage.kind != PAIRS]
    if "after" in entry:
        names = [stage.id for stage in models]
        if entry["after"] not in names:
            fail(ConfigError, where=written.where((*at, "after")), expected="the id of a training "
                 "stage before this one", found=f"'{entry['after']}'",
                 do=suggest(str(entry["after"]), names))  # fmt: skip
        return str(entry["after"])
    chain = [stage.id for stage in models if stage.kind not in LEARNS_FROM_PAIRS]
    return chain[-1] if chain else None
