"""Checkpoints that are whole or not there, and that belong to one training."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from whyguard.core.drafts import flush_to_disk
from whyguard.core.errors import ConfigError, fail

SEAL = "whole.json"
"""Written last, after everything else of a checkpoint is on the disk."""
_STATE = "trainer_state.json"


class Seal(BaseModel):
    """What a checkpoint belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    key: str
    """Content key of the stage: config, model and data."""
    processes: int


class Checkpoint(NamedTuple):
    """A whole checkpoint."""

    folder: Path
    step: int
    history: list[dict[str, Any]]
    """What was logged up to it."""


def seal(folder: Path, facts: Seal) -> None:
    """Flush a checkpoint to the disk, then mark it as whole."""
    for path in (*folder.rglob("*"), folder):
        flush_to_disk(path)
    draft = folder / f".{SEAL}"
    draft.write_text(facts.model_dump_json(), "utf-8")
    flush_to_disk(draft)
    draft.rename(folder / SEAL)
    flush_to_disk(folder)


def newest(folder: Path, key: str) -> Checkpoint | None:
    """The newest whole checkpoint; what was not written to its end is deleted.

    Raises:
        ConfigError: it belongs to a training with another config, model or data.
    """
    for path in sorted(folder.glob("checkpoint-*"), key=lambda p: -_number(p)):
        try:
            facts = Seal.model_validate_json((path / SEAL).read_bytes())
            history = json.loads((path / _STATE).read_text("utf-8"))["log_history"]
        except (FileNotFoundError, ValidationError, ValueError, KeyError):
            shutil.rmtree(path)
            continue
        if facts.key != key:
            fail(ConfigError, where=str(path), expected="a checkpoint of this config, model and "
                 "data", found=f"one of another training (key {facts.key[:12]})",
                 do="name another --out, or delete this folder to train anew")  # fmt: skip
        return Checkpoint(path, facts.step, history)
    return None


def any_whole(folder: Path) -> bool:
    """Whether a stage, of whatever key, left a whole checkpoint here."""
    return any(folder.glob(f"checkpoint-*/{SEAL}"))


def rotate(folder: Path, best_step: int | None) -> None:
    """Keep the newest whole checkpoint and the best one."""
    whole = sorted((p for p in folder.glob("checkpoint-*") if (p / SEAL).is_file()), key=_number)
    for path in whole[:-1]:
        if _number(path) != best_step:
            (path / SEAL).unlink()  # first: a half-deleted checkpoint must not look whole
            shutil.rmtree(path)


def clear(folder: Path) -> None:
    """Delete all checkpoints; curves stay."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _number(path: Path) -> int:
    text = path.name.rpartition("-")[2]
    return int(text) if text.isdigit() else -1
