"""Run one stage: key, what is finished, what is resumed, what is written; no heavy imports.

A stage's folder holds `model/` (the guard), `train_log.parquet`, `dropped.parquet`, and, written
last, `stage.json`. Until that is there, `checkpoints/` holds what a later run goes on from, and
`.whyguard-stage` says that the folder is a stage's; the process that trains holds a lock on it.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from whyguard.core.drafts import sweep_drafts, write_whole
from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.hashing import sha256_folder, sha256_json
from whyguard.core.optional import require
from whyguard.core.progress import Progress
from whyguard.core.refs import Resolver, parse_model_ref
from whyguard.core.registry import load_object
from whyguard.train.config import LEARNS_FROM_PAIRS, RUNNERS, StageConfig
from whyguard.train.folder import CARD_FILE, GuardFacts, StageFacts, read_guard
from whyguard.train.stages.checkpoints import any_whole, clear
from whyguard.train.stages.data import StageData, find_data, read_examples, read_pairs
from whyguard.train.stages.inherit import inherited

VERSION = "3"
"""Changes whenever a stage's results could change; part of every key."""
STAGE_FILE = "stage.json"
MARK = ".whyguard-stage"
"""Written first, gone when the stage is finished: what lies beside it may be written over."""
MODEL, LOG, DROPS, CHECKPOINTS, REFERENCE = ("model", "train_log.parquet", "dropped.parquet",
                                             "checkpoints", "reference")  # fmt: skip
_NOT_WEIGHTS = (CARD_FILE, "guard.json", "trained_groups.json")
"""Files of a model folder that say things about it and do not change what it computes."""


class StageRecord(BaseModel):
    """What a finished stage leaves for the next run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    stage: str
    key: str
    steps: int
    best_step: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    metrics: dict[str, float] = {}
    config: dict[str, Any] = {}


class StageJob(NamedTuple):
    """What a stage's runner is given."""

    config: StageConfig
    """Its `model` is set."""
    data: StageData
    out: Path
    key: str
    progress: Progress

    @property
    def reference(self) -> str:
        """The reference of the model to start from."""
        return self.config.model or ""

    @property
    def previous(self) -> GuardFacts | None:
        """Facts of the guard to start from; None where it is a base model."""
        return guard_at(self.reference)


class Outcome(NamedTuple):
    """What a runner hands back; the model is in `out/model`."""

    log: pl.DataFrame
    drops: pl.DataFrame
    facts: StageFacts
    tokens: int = 0
    seconds: float = 0.0


class StageResult(NamedTuple):
    """A finished stage."""

    folder: Path
    """The model's folder."""
    out: Path
    record: StageRecord
    reused: bool


def run_stage(config: StageConfig, out: Path, progress: Progress | None = None,
              previous: Path | None = None) -> StageResult:  # fmt: skip
    """Run a stage, go on with one that was stopped, or reuse one that is finished.

    On several processes (`accelerate launch`), all call this; the first writes.

    Args:
        config: of the stage.
        out: the stage's folder.
        progress: shows steps; silent in all processes but the first.
        previous: a model's folder to start from, where the config names none.

    Raises:
        ConfigError: no model or data is named; `out` holds another stage, or files that no stage
            wrote; or another run is training there.
        DataError: the data cannot be used, or a loss was not finite.
        PartialError: memory ran out; a later run goes on.
    """
    job = prepare_job(config, out, progress, previous)
    found = finished(job)
    if found is None:
        with _alone(job):
            found = finished(job) or _train(job)  # another run may have ended just now
    _tidy(out)
    together()
    return found


def together() -> None:
    """Wait for the other processes of a launcher: what the first wrote is there for all."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        require("accelerate", "train")
        from whyguard.train.stages.arguments import process_state

        process_state().wait_for_everyone()


def _train(job: StageJob) -> StageResult:
    config, out = job.config, job.out
    outcome: Outcome = load_object(RUNNERS[config.stage])(job)
    record = StageRecord(stage=config.stage, key=job.key, steps=outcome.facts.steps,
                         best_step=outcome.facts.best_step, seconds=round(outcome.seconds, 1),
                         tokens=outcome.tokens, metrics=outcome.facts.metrics,
                         config=config.model_dump(mode="json"))  # fmt: skip
    if is_first_process():
        outcome.log.write_parquet(out / LOG)
        outcome.drops.write_parquet(out / DROPS)
        write_whole(out / STAGE_FILE, record.model_dump_json(indent=2) + "\n")
    return StageResult(out / MODEL, out, record, reused=False)


def guard_at(reference: str) -> GuardFacts | None:
    """Facts of the guard that a reference names; None of a base model."""
    found = parse_model_ref(reference)
    return read_guard(Path(found.name)) if found.kind == "path" else None


def prepare_job(config: StageConfig, out: Path, progress: Progress | None,
                previous: Path | None) -> StageJob:  # fmt: skip
    """Find model and data, and make the stage's key of their content; writes nothing."""
    model = config.model or (f"path:{previous}" if previous else None)
    if model is None:
        fail(ConfigError, where=f"stage {config.stage}: model", expected="a model to start from",
             found="nothing", do="set model (or --set model=path:FOLDER)")  # fmt: skip
    whole = inherited(config.model_copy(update={"model": model}), guard_at(model))
    folder = find_data(whole)
    data = (read_pairs if config.stage in LEARNS_FROM_PAIRS else read_examples)(folder)
    shown = progress if progress is not None and is_first_process() else Progress.silent()
    return StageJob(whole, data, out, stage_key(whole, data.sha256), shown)


def stage_key(config: StageConfig, data_sha256: str) -> str:
    """Content key of a stage's result: config, weights and rows; not where they lie."""
    facts = config.keyed() | {"model": model_content(config.model or ""), "data": data_sha256}
    return sha256_json([VERSION, facts])


def model_content(reference: str) -> str:
    """What stands for a model in a key: the content of a folder, else the pinned reference."""
    parsed = parse_model_ref(reference)
    if parsed.kind != "path":
        return Resolver(Path()).model_hash(reference, "model")
    files = sha256_folder(Path(parsed.name))
    return sha256_json({name: sha for name, sha in files.items() if name not in _NOT_WEIGHTS})


def finished(job: StageJob) -> StageResult | None:
    """The stage in `out`, where it is finished and of this key.

    Raises:
        ConfigError: another stage is there.
    """
    record = read_record(job.out)
    if record is None:
        return None
    if record.key != job.key:
        changed = _changed(record.config, job.config.model_dump(mode="json"))
        fail(ConfigError, where=f"{job.out}", expected="an empty folder, or this very stage",
             found=f"a finished stage {record.stage} of another "
             f"{', '.join(changed) or 'model or data'}",
             do="name another --out, or delete the folder")  # fmt: skip
    return StageResult(job.out / MODEL, job.out, record, reused=True)


def read_record(out: Path) -> StageRecord | None:
    """The record of a finished stage; None where none is finished.

    Raises:
        DataError: a record is there that cannot be read.
    """
    try:
        return StageRecord.model_validate_json((out / STAGE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        fail(DataError, where=f"{out / STAGE_FILE}", expected="the record of a stage, of this "
             "version of whyguard", found=error.errors()[0]["msg"],
             do="name another --out, or delete the folder to train anew")  # fmt: skip


def is_first_process() -> bool:
    """Whether this process writes: the only one, or the launcher's first."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def _alone(job: StageJob) -> Iterator[None]:
    """Mark `out` as this stage's and keep other runs off it; the system lets go at a kill.

    Raises:
        ConfigError: files lie there that no stage wrote, or another run has it.
    """
    if not is_first_process():
        yield
        return
    _check_ours(job.out)
    job.out.mkdir(parents=True, exist_ok=True)
    with (job.out / MARK).open("a", encoding="utf-8") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(ConfigError, where=f"{job.out}", expected="a folder to train in alone",
                 found="another run is training here",
                 do="wait until it is done, or name another --out")  # fmt: skip
        except OSError:
            pass  # a file system without locks
        mark.truncate(0)
        mark.write(job.key + "\n")
        mark.flush()
        sweep_drafts(job.out)
        yield


def _check_ours(out: Path) -> None:
    """Stages delete and write over what lies in `out`: that must not be somebody's own."""
    if out.is_dir():
        names = sorted(path.name for path in out.iterdir())
        if not names or {MARK, STAGE_FILE} & set(names) or any_whole(out / CHECKPOINTS):
            return
    elif not out.exists():
        return
    else:
        names = ["a file of that name"]
    fail(ConfigError, where=f"{out}", expected="an empty or new folder, or a stage's own",
         found=f"what no stage wrote: {', '.join(names[:3])}",
         do="name another --out (or delete the folder: to train a finished stage anew, "
         "all of it goes)")  # fmt: skip


def _tidy(out: Path) -> None:
    """Remove what a finished stage, or one killed at its very end, does not need."""
    if is_first_process():
        clear(out / CHECKPOINTS)
        sweep_drafts(out)
        with suppress(OSError):  # of somebody else: the stage is finished all the same
            (out / MARK).unlink(missing_ok=True)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in new if old.get(name) != new[name])
