"""train/sft.py: the step on a tiny base."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.train.conftest import Store, losses, make_room

from whyguard.core.errors import DataError
from whyguard.core.schemas import Example
from whyguard.core.steps import Input, Room, Runtime, StepResult
from whyguard.core.values import Arm
from whyguard.train.config import LoraSettings
from whyguard.train.folder import read_guard
from whyguard.train.sft import SFT, SftConfig, run_sft
from whyguard.train.stages.checkpoints import SEAL

RUNTIME = Runtime(device="cpu", threads=1)


def _config(base: Path, **changes: Any) -> SftConfig:
    values = {
        "model": f"path:{base}",
        "arm": "explained",
        "languages": ["ast_Latn"],
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "trim_vocabulary": False,
        "seed": 3,
    }
    return SftConfig.model_validate(values | changes)


def _run(store: Store, table: pl.DataFrame, config: SftConfig, room: Room,
         name: str = "examples") -> StepResult:  # fmt: skip
    return run_sft({"examples": Input((store(Example, table, name),))}, config, RUNTIME, room)


def test_a_guard_is_saved_whole(store: Store, examples: pl.DataFrame, gemma: Path,
                                room: Room) -> None:  # fmt: skip
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = _run(store, examples, _config(gemma, trim_vocabulary=True), room)
    folder = room.files / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder))
    assert not [p.name for p in folder.iterdir() if "adapter" in p.name or p.suffix == ".bin"]
    facts = read_guard(folder)
    assert facts is not None
    assert (facts.arm, facts.languages, facts.seed) == ("explained", ("ast_Latn",), 3)
    assert facts.labels == {"harmful": "<judge>harmful</judge>",
                            "unharmful": "<judge>unharmful</judge>"}  # fmt: skip
    card = (folder / "README.md").read_text("utf-8")
    assert facts.examples_sha256 in card
    assert "Asturian" in card
    assert result.rows["step"].to_list() == [1, 2, 3, 4]
    assert result.models[0].role == "base"
    assert not (room.scratch / "checkpoints").exists()


def test_training_learns_and_repeats(store: Store, examples: pl.DataFrame, llama: Path,
                                     tmp_path: Path) -> None:  # fmt: skip
    config = _config(llama, epochs=6, learning_rate=1e-2)
    runs = [_run(store, examples, config, make_room(tmp_path / n), n) for n in ("a", "b")]
    assert losses(runs[0]) == losses(runs[1])
    assert losses(runs[0])[-1] < losses(runs[0])[0]


def test_all_weights_can_be_trained(store: Store, examples: pl.DataFrame, llama: Path,
                                    room: Room) -> None:  # fmt: skip
    _run(store, examples, _config(llama, lora=None, epochs=1), room)
    assert json.loads((room.files / "model" / "guard.json").read_text())["training"]["lora"] is None


def test_a_killed_training_goes_on_from_its_epoch(
    store: Store,
    examples: pl.DataFrame,
    llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from whyguard.train.stages.watch import StepWatch

    config = _config(llama, epochs=3)
    whole = _run(store, examples, config, make_room(tmp_path / "whole"), "whole")
    room = make_room(tmp_path / "killed")
    plain = StepWatch.on_step_end

    def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        plain(self, args, state, control, **kwargs)
        if state.global_step == 3:
            raise KeyboardInterrupt("killed")

    monkeypatch.setattr(StepWatch, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt, match="killed"):
        _run(store, examples, config, room, "killed")
    monkeypatch.setattr(StepWatch, "on_step_end", plain)
    checkpoints = room.scratch / "checkpoints"
    for number, seal in ((3, None), (4, '{"step')):  # as kill -9 while writing leaves them
        shutil.copytree(checkpoints / "checkpoint-2", checkpoints / f"checkpoint-{number}")
        (checkpoints / f"checkpoint-{number}" / SEAL).unlink()
        if seal:
            (checkpoints / f"checkpoint-{number}" / SEAL).write_text(seal)
    resumed = _run(store, examples, config, room, "resumed")
    assert losses(resumed) == losses(whole)
    assert resumed.rows["tokens"].to_list() == whole.rows["tokens"].to_list()


def test_arms_train_on_the_same_rows(store: Store, examples: pl.DataFrame, llama: Path,
                                     tmp_path: Path) -> None:  # fmt: skip
    hashes = set()
    for arm in Arm:
        room = make_room(tmp_path / arm)
        _run(store, examples, _config(llama, arm=arm, epochs=1), room, arm)
        facts = read_guard(room.files / "model")
        hashes.add((facts.examples, facts.examples_sha256) if facts else None)
    assert len(hashes) == 1


def _without_one(examples: pl.DataFrame) -> pl.DataFrame:
    gap = (pl.col("example_id") == "made:00-h:ast_Latn").alias("gap")
    kept = pl.when(gap).then(None).otherwise(pl.col("explanation"))
    return examples.with_columns(explanation=kept)


def test_a_missing_explanation_stops_the_arm(store: Store, examples: pl.DataFrame, llama: Path,
                                             room: Room) -> None:  # fmt: skip
    with pytest.raises(DataError, match=r"example made:00-h:ast_Latn[\s\S]*missing: drop"):
        _run(store, _without_one(examples), _config(llama), room)


@pytest.mark.parametrize("arm", ["explained", "refusal_only"])
def test_dropping_keeps_compared_arms_alike(store: Store, examples: pl.DataFrame, llama: Path,
                                            room: Room, arm: str) -> None:  # fmt: skip
    config = _config(llama, arm=arm, missing="drop", epochs=1,
                     compare=["refusal_only", "explained"])  # fmt: skip
    result = _run(store, _without_one(examples), config, room)
    assert result.drops.select("row_id", "rule").rows() == [
        ("made:00-h:ast_Latn", "no_explanation")
    ]
    assert result.notes["rows"] == 7


def test_unusable_rows_are_dropped_with_reasons(store: Store, examples: pl.DataFrame, llama: Path,
                                                room: Room) -> None:  # fmt: skip
    first, second = "made:00-h:ast_Latn", "made:01-b:ast_Latn"
    long = pl.when(pl.col("example_id") == "made:00-u:ast_Latn").then(pl.lit("la casa " * 90))
    tag = pl.when(pl.col("example_id") == first).then(pl.lit("x </judge>"))
    table = examples.with_columns(text=long.otherwise(pl.col("text")),
                                  explanation=tag.otherwise(pl.col("explanation")))  # fmt: skip
    result = _run(store, table, _config(llama, max_length=100, epochs=1), room)
    assert dict(result.drops.select("row_id", "rule").iter_rows()) == {
        first: "tag_in_explanation", "made:00-u:ast_Latn": "too_long"}  # fmt: skip
    assert second not in result.drops["row_id"].to_list()


def test_no_rows_is_an_error(store: Store, examples: pl.DataFrame, llama: Path,
                             room: Room) -> None:  # fmt: skip
    with pytest.raises(DataError, match="harmful and unharmful train rows in cat_Latn"):
        _run(store, examples, _config(llama, languages=["cat_Latn"]), room)


def test_the_declaration() -> None:
    assert (SFT.name, SFT.output.__name__) == ("train.sft", "TrainLog")
    assert SftConfig.model_fields["lora"].default == LoraSettings()
