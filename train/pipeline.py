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

Stages run in the order written. A stage starts from the model of the training stage before it (or
of the one named by `after`); dpo, cao and none learn from the pairs made last. Each id is the name
of a stage, or has a key `stage`. Each folder OUT/ID is finished, or goes on where it was stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.nearest import suggest
from whyguard.core.progress import Progress
from whyguard.core.refs import ModelRef
from whyguard.train.config import LEARNS_FROM_PAIRS, STAGES, StageConfig
from whyguard.train.pairs import PairsConfig
from whyguard.train.stages.files import Written, overridden, stage_class, stage_config
from whyguard.train.stages.pairs_run import PairsJob, PairsResult, run_pairs
from whyguard.train.stages.run import MODEL, StageResult, run_stage

PAIRS = "pairs"
_KINDS = (*STAGES, PAIRS)
_OWN_KEYS = ("stage", "after")


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
    planned: list[Planned] = []
    for name, entry in file.stages.items():
        planned.append(_planned(name, kinds[name], entry or {}, file, planned, written))
    return Pipeline(path, file, tuple(planned))


def run_pipeline(pipeline: Pipeline, out: Path, progress: Progress) -> Iterator[tuple[str, Done]]:
    """Run the stages; yields each as it is done.

    Raises:
        ConfigError: a folder below `out` holds another stage (delete it, or name another `out`).
        PartialError: memory ran out; the next call goes on.
    """
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


def _kind(name: str, entry: Mapping[str, Any], written: Written) -> str:
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
        if key not in known:
            fail(ConfigError, where=written.where(("common", key)), expected="a key of some stage",
                 found=f"unknown key '{key}'", do=suggest(key, known))  # fmt: skip


def _planned(name: str, kind: str, entry: Mapping[str, Any], file: PipelineFile,
             before: Sequence[Planned], written: Written) -> Planned:  # fmt: skip
    at = ("stages", name)
    after = _after(entry, before, written, at)
    pairs = next((stage.id for stage in reversed(before) if stage.kind == PAIRS), None)
    own = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
    fields = _config_class(kind, written.where(at)).model_fields
    common = {key: value for key, value in file.common.items() if key in fields}
    if kind == PAIRS:
        raw = _pairs_defaults(common) | own | {"model": file.model}
        return Planned(name, kind, written.parse(PairsConfig, raw, at), after, None)
    places = {"data": file.data, "datasets": file.datasets} | own
    config = stage_config(written, kind, common | places | {"stage": kind}, at)
    if kind in LEARNS_FROM_PAIRS and pairs is None and "data" not in own:
        fail(ConfigError, where=written.where(at), expected="a stage 'pairs' before it, or data: "
             "FOLDER of pairs", found="neither", do="add a stage pairs")  # fmt: skip
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
