"""train/stages/arguments.py: what is passed through to TRL, and what is not."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from whyguard.core.errors import ConfigError, MissingExtraError
from whyguard.train.config import CaoStage, Report, SftStage, StageConfig
from whyguard.train.stages.arguments import Place, trl_arguments


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
     (CaoStage, "packing", "a field of DPOConfig")],
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
    assert _arguments(SftStage(), tmp_path).report_to == []


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="values that SFTConfig takes"):
        _arguments(SftStage(trl={"logging_strategy": "sometimes"}), tmp_path)
