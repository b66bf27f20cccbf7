"""train/stages/run.py: what a stage may write over, who may write there, and what is swept."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.train.stages.making import stored_examples

from whyguard.core.drafts import TEMP_PREFIX
from whyguard.core.errors import ConfigError, MissingFileError
from whyguard.train.config import SftStage
from whyguard.train.stages.checkpoints import Seal, seal
from whyguard.train.stages.run import CHECKPOINTS, MARK, STAGE_FILE, run_stage

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[3]
GONE = 2**22 + 1
"""No process has this id: it is above the greatest one of Linux."""
KILLED = """
import os, signal, sys
from pathlib import Path

import torch
from whyguard.train.config import SftStage
from whyguard.train.stages import engine
from whyguard.train.stages.run import run_stage

torch.set_num_threads(1)
engine.save_guard = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run_stage(SftStage.model_validate_json(sys.argv[1]), Path("out"))
"""
"""Runs a stage into `out`, killed between the last step and the model's folder."""


@pytest.fixture(scope="module")
def config(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> SftStage:
    """One step on stored examples."""
    data = stored_examples(tmp_path_factory.mktemp("data") / "examples")
    return SftStage(model=f"path:{llama}", data=str(data), max_steps=1, languages=())


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip


@pytest.mark.parametrize("name", ["model/notes.txt", "completions/mine.parquet",
                                  "train_log.parquet",
                                  "checkpoints/checkpoint-5/weights.bin"])  # fmt: skip
def test_a_folder_that_no_stage_wrote_is_refused_untouched(name: str, config: SftStage,
                                                           tmp_path: Path) -> None:  # fmt: skip
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(ConfigError, match=r"an empty or new folder[\s\S]*what no stage wrote"):
        run_stage(config, out)
    assert all_bytes(out) == {name: b"mine"}


def test_a_file_is_refused(config: SftStage, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="a file of that name"):
        run_stage(config, tmp_path / "out")


def test_an_empty_folder_is_taken_and_the_mark_goes(config: SftStage, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert not run_stage(config, tmp_path / "out").reused
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model", "train_log.parquet", "dropped.parquet", STAGE_FILE}


def test_a_second_run_on_a_folder_is_refused_while_one_trains(config: SftStage,
                                                              tmp_path: Path) -> None:  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    with (out / MARK).open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another run is training here"):
            run_stage(config, out)
        assert [path.name for path in out.iterdir()] == [MARK]
    assert not run_stage(config, out).reused


def test_a_run_that_fails_lets_go(config: SftStage, tmp_path: Path) -> None:
    left = tmp_path / "out" / CHECKPOINTS / "checkpoint-2"
    left.mkdir(parents=True)
    (left / "trainer_state.json").write_text('{"log_history": []}')
    seal(left, Seal(step=2, key="another", processes=1))
    with pytest.raises(ConfigError, match="another training"):
        run_stage(config, tmp_path / "out")
    assert (tmp_path / "out" / MARK).read_text().strip()
    with (tmp_path / "out" / MARK).open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_drafts_of_killed_runs_are_swept(config: SftStage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dead, alive = (out / f"{TEMP_PREFIX}{pid}-0" for pid in (GONE, os.getpid()))
    for draft in (dead, alive):
        draft.mkdir(parents=True)
    (out / MARK).touch()
    run_stage(config, out)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_what_a_kill_at_the_very_end_left_goes_at_the_next_run(config: SftStage,
                                                               tmp_path: Path) -> None:  # fmt: skip
    out = tmp_path / "out"
    run_stage(config, out)
    names = {path.name for path in out.iterdir()}
    for left in (out / CHECKPOINTS / "checkpoint-1", out / f"{TEMP_PREFIX}{GONE}-0"):
        left.mkdir(parents=True)
    (out / MARK).touch()
    assert run_stage(config, out).reused
    assert {path.name for path in out.iterdir()} == names


@pytest.fixture(scope="module")
def killed(config: SftStage, tmp_path_factory: pytest.TempPathFactory) -> tuple[SftStage, Path]:
    """A run that was killed behind its last step, its best one before that; `out` is relative."""
    values = {"max_steps": 4, "learning_rate": 3.0, "warmup": 0, "schedule": "constant",
              "evaluate_every": 1, "rows_a_step": 4}  # fmt: skip
    worse = SftStage.model_validate(config.model_dump() | values)
    place = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}
    command = [sys.executable, "-c", KILLED, worse.model_dump_json()]
    child = subprocess.run(command, cwd=place, env=environment, check=False, capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    return worse, place / "out"


def test_a_moved_folder_keeps_the_best_weights(killed: tuple[SftStage, Path],
                                               tmp_path: Path) -> None:  # fmt: skip
    config, left = killed
    whole = run_stage(config, tmp_path / "whole")
    assert whole.record.best_step
    assert whole.record.best_step < whole.record.steps
    moved = run_stage(config, Path(shutil.copytree(left, tmp_path / "moved")))
    assert moved.record.best_step == whole.record.best_step
    first, second = (load_file(each.folder / "model.safetensors") for each in (whole, moved))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_best_weights_that_are_gone_are_an_error(killed: tuple[SftStage, Path],
                                                 tmp_path: Path) -> None:  # fmt: skip
    config, left = killed
    out = Path(shutil.copytree(left, tmp_path / "out"))
    best = min((out / CHECKPOINTS).iterdir(), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(best)
    with pytest.raises(MissingFileError, match="the best weights so far"):
        run_stage(config, out)
    assert not (out / "model").exists()
