"""train/stages/checkpoints.py: whole or not there, and of one training."""

from pathlib import Path

import pytest

from whyguard.core.errors import ConfigError
from whyguard.train.stages.checkpoints import SEAL, Seal, any_whole, clear, newest, rotate, seal


def _made(folder: Path, step: int, key: str = "k", *, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text('{"log_history": [{"step": 1}]}')
    if whole:
        seal(path, Seal(step=step, key=key, processes=1))
    return path


def test_the_newest_whole_one_is_found_and_partial_ones_go(tmp_path: Path) -> None:
    _made(tmp_path, 2)
    _made(tmp_path, 10)
    partial = [_made(tmp_path, 12, whole=False), _made(tmp_path, 14)]
    (partial[1] / SEAL).write_text('{"step"')
    found = newest(tmp_path, "k")
    assert found is not None
    assert (found.step, found.history) == (10, [{"step": 1}])
    assert not any(path.exists() for path in partial)


def test_only_partial_ones_are_none(tmp_path: Path) -> None:
    _made(tmp_path, 2, whole=False)
    assert newest(tmp_path, "k") is None
    assert list(tmp_path.iterdir()) == []
    assert newest(tmp_path / "nowhere", "k") is None


def test_one_of_another_training_is_refused(tmp_path: Path) -> None:
    _made(tmp_path, 2, key="other")
    with pytest.raises(ConfigError, match="another training"):
        newest(tmp_path, "k")


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        _made(tmp_path, step)
    rotate(tmp_path, best_step=4)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}


def test_whole_ones_of_any_training_tell_a_stages_folder(tmp_path: Path) -> None:
    _made(tmp_path, 2, whole=False)
    assert not any_whole(tmp_path)
    _made(tmp_path, 4, key="other")
    assert any_whole(tmp_path)


def test_clearing_leaves_curves(tmp_path: Path) -> None:
    _made(tmp_path, 2)
    (tmp_path / "runs").mkdir()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (tmp_path / "runs").rmdir()
    clear(tmp_path)
    assert not tmp_path.exists()
