"""train/stages/arguments.py: what is passed through to TRL, and what is not."""

import dataclasses
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from whyguard.core.errors import ConfigError, MissingExtraError
from whyguard.train.config import CaoStage, DpoStage, Report, SftStage, StageConfig
from whyguard.train.stages.arguments import (
    KINDS,
    Place,
    check_fields,
    check_names,
    trl_arguments,
)

LAUNCHED = "ACCELERATE_MIXED_PRECISION"


def _arguments(config: StageConfig, folder: Path) -> Any:
    return trl_arguments(config, Place(folder, use_cpu=True, total_steps=10))


def test_keys_and_passed_fields_reach_trl(tmp_path: Path) -> None:
    config = SftStage(learning_rate=3e-4, schedule="cosine", evaluate_every=2,
                      trl={"adam_beta2": 0.9, "dataloader_num_workers": 1})  # fmt: skip
    args = _arguments(config, tmp_path)
    assert (args.learning_rate, args.adam_beta2, args.dataloader_num_workers) == (3e-4, 0.9, 1)
    assert (args.lr_scheduler_type, args.eval_steps, args.bf16) == ("cosine", 2, False)
    assert (args.use_cpu, args.report_to, args.load_best_model_at_end) == (True, [], True)


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [(SftStage, "adam_betta2", r"unknown field 'adam_betta2'[\s\S]*did you mean 'adam_beta2'"),
     (SftStage, "packing", r"trl\.packing[\s\S]*own key: batch_tokens"),
     (SftStage, "completion_only_loss", "own key: explanation_weight"),
     (SftStage, "bf16", "own key: precision"),
     (CaoStage, "loss_type", r"no effect here[\s\S]*length_normalisation"),
     (CaoStage, "precompute_ref_log_probs", "cached: `reference`"),
     (CaoStage, "padding_free", "own key: batch_tokens"),
     (CaoStage, "packing", "a field of DPOConfig"),
     (SftStage, "learning_rat", r"'learning_rate'\? Set the stage's own key: learning_rate"),
     (SftStage, "warmup_ratio", r"'warmup_steps'\? Set the stage's own key: warmup"),
     (CaoStage, "los_type", r"'loss_type'\? It has no effect here: the loss is the stage's own"),
     (SftStage, "hub_revision", "nothing is uploaded"),
     (CaoStage, "hub_private_repo", "nothing is uploaded")],
)  # fmt: skip
def test_other_fields_are_refused(kind: Any, name: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        _arguments(kind(trl={name: True}), tmp_path)


def test_curves_need_their_package(tmp_path: Path) -> None:
    missing = [report for report in Report if find_spec(report.value) is None]
    for report in missing:
        if report is not Report.NONE:
            with pytest.raises(MissingExtraError, match=f"pip install {report.value}"):
                _arguments(SftStage(report_to=report), tmp_path)
            with pytest.raises(MissingExtraError, match=f"pip install {report.value}"):
                check_fields(SftStage(report_to=report), KINDS["sft"])
    assert _arguments(SftStage(), tmp_path).report_to == []


@pytest.mark.parametrize(("lora", "trl", "off"), [
    (None, {}, True), ({"r": 4}, {}, True), ({"r": 4, "dropout": 0.5}, {}, False),
    ({"r": 4, "dropout": 0.5}, {"disable_dropout": True}, True),
])  # fmt: skip
def test_dropout_of_adapters_is_on_where_it_is_asked_for(
    lora: dict[str, Any] | None, trl: dict[str, Any], off: bool, tmp_path: Path
) -> None:
    values: Any = {"lora": lora, "trl": trl}
    assert _arguments(DpoStage(**values), tmp_path).disable_dropout is off
    assert _arguments(SftStage(**values | {"trl": {}}), tmp_path)


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="values that SFTConfig takes"):
        _arguments(SftStage(trl={"dataloader_prefetch_factor": 2}), tmp_path)
    with pytest.raises(ConfigError, match="each step is logged"):
        _arguments(SftStage(trl={"logging_steps": 2}), tmp_path)


def test_values_are_read_by_the_types_of_trls_fields(tmp_path: Path) -> None:
    told = {"adam_epsilon": "1e-6", "dataloader_num_workers": "1"}  # as YAML reads 1e-6
    args = _arguments(SftStage(trl=told), tmp_path)
    assert (args.adam_epsilon, args.dataloader_num_workers) == (1e-6, 1)
    for wrong in ({"adam_beta1": "x"}, {"activation_checkpointing_kwargs": 5}):
        name = next(iter(wrong))
        with pytest.raises(ConfigError, match=rf"trl\.{name}(?s:.*)value that SFTConfig takes"):
            _arguments(SftStage(trl=wrong), tmp_path)


@pytest.mark.parametrize("name", ["hub_token", "eos_token"])
def test_tokens_are_refused_and_not_shown(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"trl.{name}") as refused:
        _arguments(SftStage(trl={name: "placeholder-value"}), tmp_path)
    assert "placeholder-value" not in str(refused.value)


def test_fields_named_like_secrets_are_refused_and_counts_of_tokens_are_not() -> None:
    @dataclasses.dataclass
    class Fields:
        new_api_key: str = ""
        client_secret: str = ""
        kwargs: object = None
        include_num_input_tokens_seen: bool = False

    for name in ("new_api_key", "client_secret"):
        with pytest.raises(ConfigError, match="no secret: configs are stored") as refused:
            check_names(SftStage(trl={name: "placeholder-value"}), Fields, {}, {})
        assert "placeholder-value" not in str(refused.value)
    for value in ({"a": [{"hf_token": "x"}]}, [{"API_KEY": "x"}], {"b": {"apikey": "x"}},
                  {"hub-token": "x"}, {"accessKey": "x"}, "a=1,hub_token=x"):  # fmt: skip
        with pytest.raises(ConfigError, match="no secret: configs are stored"):
            check_names(SftStage(trl={"kwargs": value}), Fields, {}, {})
    harmless = {
        "include_num_input_tokens_seen": True,
        "kwargs": {"min_lr": [1, 2], "eos_token_id": 2},
    }
    check_names(SftStage(trl=harmless), Fields, {}, {})


@pytest.mark.parametrize(("precision", "launched", "expected"), [
    ("fp32", "bf16", "no"), ("fp32", "fp16", "no"), ("bf16", "no", "bf16"), ("fp32", None, "no"),
])  # fmt: skip
def test_the_stages_precision_counts_whatever_the_launcher_was_told(
    precision: str, launched: str | None, expected: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv(LAUNCHED, raising=False)
    if launched is not None:
        monkeypatch.setenv(LAUNCHED, launched)
    assert _arguments(SftStage(precision=precision), tmp_path).mixed_precision == expected
    assert os.environ.get(LAUNCHED) == launched, "the launcher's word stays as it was"


def test_gradients_that_are_never_cut_are_measured_all_the_same(tmp_path: Path) -> None:
    assert _arguments(SftStage(max_grad_norm=0), tmp_path).max_grad_norm == math.inf
    assert _arguments(SftStage(max_grad_norm=0.3), tmp_path).max_grad_norm == 0.3


@pytest.mark.parametrize(("share", "total", "steps"), [
    (0.05, 1, 0), (0.05, 19, 0), (0.05, 20, 1), (0.05, 39, 1), (0.05, 1000, 50), (0.29, 100, 29),
    (0.07, 100, 7), (0.0, 100, 0), (0.99, 2, 1),
])  # fmt: skip
def test_warmup_is_rounded_down(share: float, total: int, steps: int, tmp_path: Path) -> None:
    config = SftStage(warmup=share)
    args = trl_arguments(config, Place(tmp_path, use_cpu=True, total_steps=total))
    assert args.get_warmup_steps(total) == steps
