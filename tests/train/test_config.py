"""train/config.py and train/stages/files.py: stage configs, and how files of them are read."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from whyguard.core.errors import ConfigError, MissingFileError, UnknownLanguageError
from whyguard.core.registry import load_object
from whyguard.train.config import (
    IGNORED_BY_LOSS,
    INSTEAD,
    OWNED,
    RUNNERS,
    STAGES,
    CaoStage,
    DpoStage,
    Schedule,
    SftStage,
    StageConfig,
)
from whyguard.train.stages.files import load_stage, overridden


def _file(folder: Path, text: str) -> Path:
    path = folder / "stage.yaml"
    path.write_text(text, "utf-8")
    return path


def test_defaults_are_those_of_the_paper_where_it_gives_them() -> None:
    sft, cao = SftStage(), CaoStage()
    assert (sft.learning_rate, sft.epochs, sft.rows_a_step) == (5e-5, 1, 4)
    assert (cao.learning_rate, cao.epochs, cao.rows_a_step) == (5e-6, 3, 8)
    assert (cao.beta, cao.lam, cao.lam_schedule) == (0.1, 1.0, "constant")
    assert (DpoStage().beta, DpoStage().learning_rate) == (0.1, 5e-6)


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SftStage().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "match"),
    [({"packing": True}, "extra"), ({"patience": 2}, "evaluate_every"),
     ({"learning_rate": float("nan")}, "finite"), ({"rows_a_step": 0}, "greater"),
     ({"stage": "dpo"}, "sft")],
)  # fmt: skip
def test_wrong_values_are_refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        SftStage.model_validate(values)


def test_the_key_leaves_out_what_only_moves_arithmetic_about() -> None:
    plain = SftStage()
    moved = SftStage(batch_tokens=64, checkpoint_every=3, activation_checkpointing=True,
                     shared_preamble=False)  # fmt: skip
    assert plain.keyed() == moved.keyed()
    assert plain.keyed() != SftStage(rows_a_step=8).keyed()


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_has_a_config_and_a_runner(stage: str) -> None:
    config: type[StageConfig] = load_object(STAGES[stage])
    assert config.model_fields["stage"].default == stage
    assert callable(load_object(RUNNERS[stage]))


def test_fields_that_are_refused_exist_in_trl() -> None:
    from trl import DPOConfig, GRPOConfig, SFTConfig

    known = {field.name for kind in (SFTConfig, DPOConfig, GRPOConfig)
             for field in dataclasses.fields(kind)}  # fmt: skip
    assert set(OWNED) | IGNORED_BY_LOSS | set(INSTEAD) <= known
    own = {name for stage in STAGES.values() for name in load_object(stage).model_fields}
    assert {key for key in OWNED.values() if not key.startswith("--")} <= own


def test_a_file_becomes_a_config(tmp_path: Path) -> None:
    path = _file(tmp_path, "stage: cao\nlam: 0.3\nlora: {r: 4}\nschedule: cosine\n")
    config = load_stage(path, "cao", ["lam=1", "lora.alpha=8", "trl.adam_beta2=0.95", "data=x@y"])
    assert isinstance(config, CaoStage)
    assert (config.lam, config.schedule, config.trl) == (1.0, Schedule.COSINE,
                                                         {"adam_beta2": 0.95})  # fmt: skip
    assert config.lora is not None
    assert (config.lora.r, config.lora.alpha) == (4, 8)


@pytest.mark.parametrize(
    ("text", "match"),
    [("model: x\nlerning_rate: 1.0\n", r"stage\.yaml:2: lerning_rate[\s\S]*'learning_rate'"),
     ("seed: 1\nlora: {rank: 4}\n", r"stage\.yaml:2: lora\.rank[\s\S]*'r'"),
     ("stage: dpo\n", r"stage\.yaml:1: stage[\s\S]*whyguard train dpo"),
     ("seed: 1\nseed: 2\n", r"stage\.yaml:2: seed[\s\S]*also on line 1"),
     ("epochs: none\n", r"stage\.yaml:1: epochs[\s\S]*'none'"),
     ("prompt: short-v2\n", r"stage\.yaml:1: prompt[\s\S]*'short-v1'"),
     ("", "an empty file"), ("a: [\n", "YAML in UTF-8")],
)  # fmt: skip
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_stage(_file(tmp_path, text), "sft")


def test_an_unknown_language_is_named(tmp_path: Path) -> None:
    path = _file(tmp_path, "seed: 1\nlanguages: [ast_Latn, azt_Latn]\n")
    with pytest.raises(UnknownLanguageError, match="azt_Latn"):
        load_stage(path, "sft")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nothing\.yaml"):
        load_stage(tmp_path / "nothing.yaml", "sft")


def test_settings_make_the_keys_on_their_way() -> None:
    raw = {"lora": None, "epochs": 2}
    found = overridden(raw, ["lora.r=4", "patience=null", "trl.use_cpu=true"])
    assert found == {"lora": {"r": 4}, "epochs": 2, "patience": None, "trl": {"use_cpu": True}}
    assert raw == {"lora": None, "epochs": 2}
    lists = overridden({}, ["languages=[eng_Latn, ast_Latn]", "trl.x=[1,null]", "a=[]", "b=[x"])
    assert lists == {"languages": ["eng_Latn", "ast_Latn"], "trl": {"x": [1, None]}, "a": [],
                     "b": "[x"}  # fmt: skip
    with pytest.raises(ConfigError, match="'epochs' with keys below it"):
        overridden(raw, ["epochs.r=4"])
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        overridden(raw, ["epochs"])
