"""Run pair building (`train/pairs.py`) outside a recipe: into a folder of its own."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.artefact import (
    MANIFEST,
    Artefact,
    ArtefactDraft,
    Counts,
    InputUse,
    load_artefact,
)
from whyguard.core.drafts import sweep_drafts
from whyguard.core.errors import ConfigError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.progress import Progress
from whyguard.core.provenance import collect_provenance
from whyguard.core.refs import parse_model_ref
from whyguard.core.steps import Input, Room
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.train.config import StageConfig
from whyguard.train.pairs import PAIRS, PairsConfig, PreferencePair, asking_of
from whyguard.train.stages.data import StageData, find_data, read_examples
from whyguard.train.stages.run import is_first_process, model_content, together

LEDGER = "ledger"
"""Folder beside the pairs' in which samples are kept: a wider run pays only for what is new."""


class PairsFile(PairsConfig):
    """The config of `whyguard train pairs`: PairsConfig, and where the examples are."""

    data: str
    datasets: str = "workspace/datasets"

    def job(self) -> "PairsJob":
        """The two apart."""
        inner = self.model_dump(exclude={"data", "datasets"})
        return PairsJob(PairsConfig.model_validate(inner), self.data, self.datasets)


class PairsJob(NamedTuple):
    """What is sampled for which examples."""

    config: PairsConfig
    data: str
    datasets: str


class PairsResult(NamedTuple):
    """Pairs that are stored."""

    out: Path
    artefact: Artefact
    reused: bool


class _Table(Input):
    """A step's input that is a table in memory."""

    def __init__(self, data: StageData) -> None:
        super().__init__(())
        self._data = data

    @property
    def rows(self) -> Any:
        """The table."""
        return self._data.rows


def run_pairs(job: PairsJob, out: Path, progress: Progress) -> PairsResult:
    """Sample and store pairs, or reuse those of the same key; the first process does the work.

    Raises:
        ConfigError: `out` holds other pairs.
        DataError: no train rows in the target languages.
    """
    data = examples_of(job)
    if is_first_process():
        found = _stored(out, pairs_key(job, data))
        return found or _made(job, data, out, progress)
    together()
    return PairsResult(out, load_artefact(out), reused=True)


def examples_of(job: PairsJob) -> StageData:
    """The examples that a job names."""
    where = StageConfig(stage="pairs", data=job.data, datasets=job.datasets)
    return read_examples(find_data(where))


def pairs_key(job: PairsJob, data: StageData) -> str:
    """Content key: config, weights, how the guard is asked, and rows.

    A folder's facts say how it is asked where the config does not; what else they say is left out.
    A model from elsewhere is its reference.
    """
    config = job.config.model_dump(mode="json") | {"model": model_content(job.config.model)}
    if parse_model_ref(job.config.model).kind == "path":
        asking = asking_of(job.config)
        config |= {"prompt": asking.template.name, "prefill_think": bool(asking.prefill)}
    return sha256_json([PAIRS.name, PAIRS.version, config, data.sha256])


def _stored(out: Path, key: str) -> PairsResult | None:
    if not (out / MANIFEST).is_file():
        _check_free(out)
        return None
    artefact = load_artefact(out)
    if artefact.manifest.key != key:
        fail(ConfigError, where=str(out), expected="a new folder, or these very pairs",
             found="pairs of another config, model or data",
             do="name another --out, or delete the folder")  # fmt: skip
    together()
    return PairsResult(out, artefact, reused=True)


def _check_free(out: Path) -> None:
    """Pairs take the place of nothing; beside them stand the samples they are made of."""
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if there or out.name == LEDGER or (out.exists() and not out.is_dir()):
        fail(ConfigError, where=str(out), expected="a new or empty folder, not called "
             f"'{LEDGER}' (samples are kept in one beside it)",
             found=", ".join(there[:3]) or f"'{out.name}'", do="name another --out")  # fmt: skip


def _made(job: PairsJob, data: StageData, out: Path, progress: Progress) -> PairsResult:
    out.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(out.parent, deep=False)
    scratch = out.parent / f".{out.name}-scratch"
    for folder in (scratch, out.parent / LEDGER):
        folder.mkdir(exist_ok=True)
    draft = ArtefactDraft(out)
    room = Room(draft.files, scratch, progress, out.parent / LEDGER)
    try:
        artefact = _filled(draft, job, data, room)
        shutil.rmtree(scratch, ignore_errors=True)
    except BaseException:
        draft.discard()
        with suppress(OSError):  # what a later run goes on from stays
            scratch.rmdir()
        raise
    together()
    return PairsResult(out, artefact, reused=False)


def _filled(draft: ArtefactDraft, job: PairsJob, data: StageData, room: Room) -> Artefact:
    found = PAIRS.run({"examples": _Table(data)}, job.config, TeacherRuntime(), room)
    dropped = dict(found.drops["rule"].value_counts().iter_rows())
    use = InputUse(step=data.name, key=data.sha256, content_sha256=data.sha256)
    return draft.commit(PreferencePair, found.rows, found.drops, {
        "step": PAIRS.name, "step_version": PAIRS.version, "key": pairs_key(job, data),
        "counts": Counts(kept=found.rows.height, dropped=dropped, read=found.read),
        "config": job.config.model_dump(mode="json"), "inputs": {"examples": (use,)},
        "models": found.models, "licences": found.licences, "notes": found.notes,
        "provenance": collect_provenance()})  # fmt: skip
