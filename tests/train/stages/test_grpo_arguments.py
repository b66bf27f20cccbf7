"""train/stages/grpo_config.py and grpo_arguments.py: what a config asks for, and what it cannot."""

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from whyguard.core.errors import ConfigError, DataError, MissingExtraError
from whyguard.core.values import Arm
from whyguard.train.config import Report
from whyguard.train.stages.arguments import Place
from whyguard.train.stages.grpo_arguments import Shape, check_fields, grpo_arguments, shape_of
from whyguard.train.stages.grpo_config import GrpoStage

SHAPE = Shape(4, 4, 10)


def stage(**changes: Any) -> GrpoStage:
    return GrpoStage.model_validate({"model": "path:none", **changes})


def arguments(folder: Path, **changes: Any) -> Any:
    return grpo_arguments(stage(**changes), Place(folder, True, 10), SHAPE, [1.0, 0.5])


def test_defaults_are_the_reference_run_but_for_lengths(tmp_path: Path) -> None:
    args = arguments(tmp_path)
    assert (args.learning_rate, args.max_grad_norm, args.temperature) == (1e-5, 0.1, 0.3)
    assert (args.lr_scheduler_type, args.num_generations, args.beta) == ("cosine", 4, 0.0)
    assert (args.max_completion_length, args.bf16, args.use_cpu) == (256, False, True)
    assert (args.generation_batch_size, args.steps_per_generation) == (16, 4)
    assert (args.reward_weights, args.log_completions, args.report_to) == ([1.0, 0.5], False, [])
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    reward = stage().reward_config
    assert (reward.best_length, reward.prefilled_think, reward.weights.accuracy) == (64, True, 1.0)


def test_evaluations_choose_the_highest_reward_whatever_the_intervals(tmp_path: Path) -> None:
    args = arguments(tmp_path, evaluate_every=3, checkpoint_every=4)
    assert (args.eval_strategy, args.eval_steps, args.save_steps) == ("steps", 3, 4)
    assert (args.metric_for_best_model, args.greater_is_better) == ("eval_reward", True)
    assert args.load_best_model_at_end
    alone = arguments(tmp_path, evaluate_every=3, checkpoint_every=None)
    assert (alone.save_strategy, alone.save_steps) == ("steps", 11), "evaluations save, no other"
    none = arguments(tmp_path)
    assert (none.eval_strategy, none.load_best_model_at_end) == ("no", False)
    with pytest.raises(ConfigError, match="own key: evaluate_every"):
        check_fields(stage(trl={"eval_steps": 3}), use_cpu=True)


def test_what_chooses_the_weights_is_part_of_the_key() -> None:
    base: dict[str, Any] = {"evaluate_every": 3, "patience": 2, "dev_limit": 8}
    keys = [stage(**base | change).keyed() for change in (
        {}, {"evaluate_every": 4}, {"patience": None}, {"dev_limit": None})]  # fmt: skip
    assert all(keys[0] != other for other in keys[1:])
    idle = stage(dev_limit=8).keyed()
    assert idle == stage().keyed(), "without evaluations it has no effect"


def test_what_is_passed_through_reaches_trl(tmp_path: Path) -> None:
    args = arguments(tmp_path, trl={"loss_type": "dr_grpo", "epsilon": 0.3, "delta": 2.0})
    assert (args.loss_type, args.epsilon, args.delta) == ("dr_grpo", 0.3, 2.0)


@pytest.mark.parametrize(("trl", "message"), [
    ({"epsilonn": 0.3}, "did you mean 'epsilon'"),
    ({"num_generations": 8}, "own key: generations"),
    ({"learning_rate": 1.0}, "own key: learning_rate"),
    ({"log_completions": True}, "completions are always logged"),
    ({"logging_steps": 2}, "each step is logged"),
    ({"generation_kwargs": {"max_new_tokens": 3}}, "own key: completion_length"),
    ({"mask_truncated_completions": True}, "TRL would mask all of them"),
    ({"use_vllm": True}, "vllm_mode colocate on the CPU"),
    ({"use_vllm": True, "vllm_mode": "colocate"}, "vllm_mode colocate on the CPU"),
    ({"epsilon": 0.3, "scale_rewards": "group", "loss_type": "dapo", "warmup_ratio": 1}, "warmup"),
    ({"learning_rat": 1.0}, r"'learning_rate'\? Set the stage's own key: learning_rate"),
    ({"warmup_ratio": 0.1}, r"'warmup_steps'\? Set the stage's own key: warmup"),
    ({"num_generation": 8}, r"'num_generations'\? Set the stage's own key: generations"),
    ({"log_completion": True}, r"'log_completions'\? It has no effect here"),
    ({"hub_strategy": "end"}, "nothing is uploaded"),
])  # fmt: skip
def test_what_cannot_stand_under_trl(trl: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_fields(stage(arm="refusal_only", trl=trl), use_cpu=True)


def test_a_server_needs_a_gpu_and_is_passed_through_where_one_is(tmp_path: Path) -> None:
    server = {"vllm_server": "http://127.0.0.1:8000"}
    with pytest.raises(ConfigError, match=r"vllm_server on the CPU[\s\S]*written in this process"):
        check_fields(stage(**server), use_cpu=True)
    check_fields(stage(**server), use_cpu=False)
    with pytest.raises(ConfigError, match="server, with vllm_server"):
        check_fields(stage(**server, trl={"vllm_mode": "colocate"}), use_cpu=False)
    config = stage(**server, trl={"use_cpu": True})
    args = grpo_arguments(config, Place(tmp_path, False, 10), SHAPE, [1.0])
    assert (args.use_vllm, args.vllm_mode) == (True, "server")
    assert args.vllm_server_base_url == "http://127.0.0.1:8000"
    assert "vllm_server" not in config.keyed()


@pytest.mark.parametrize(("budget", "processes", "expected"), [
    (100_000, 1, Shape(16, 1, 6)), (1000, 1, Shape(8, 2, 6)), (360, 1, Shape(2, 8, 6)),
    (1, 1, Shape(1, 16, 6)), (100_000, 2, Shape(8, 1, 6))])  # fmt: skip
def test_whole_groups_fill_an_optimiser_step(budget: int, processes: int, expected: Shape) -> None:
    config = stage(batch_tokens=budget, completion_length=100, epochs=2)
    assert shape_of(config, 14, 20, processes) == expected


def test_iterations_and_limits_count_as_steps() -> None:
    assert shape_of(stage(iterations=3), 9, 20, 1).steps == 6
    assert shape_of(stage(max_steps=5), 9, 20, 1).steps == 5


def test_steps_that_cannot_be_filled_or_dealt_out() -> None:
    with pytest.raises(DataError, match=r"4 prompts or more[\s\S]*lower rows_a_step"):
        shape_of(stage(), 3, 20, 1)
    with pytest.raises(ConfigError, match="multiple of 3"):
        shape_of(stage(), 9, 20, 3)


@pytest.mark.parametrize(("arm", "stop", "stops", "rewarded"), [
    ("refusal_only", None, True, Arm.REFUSAL_ONLY), ("explained", None, False, Arm.EXPLAINED),
    ("explained", True, True, Arm.REFUSAL_ONLY), ("refusal_only", False, False, Arm.REFUSAL_ONLY),
])  # fmt: skip
def test_where_completions_end(arm: str, stop: bool | None, stops: bool, rewarded: Arm) -> None:
    config = stage(arm=arm, stop_at_judge=stop)
    assert (config.stops, config.rewarded_arm) == (stops, rewarded)


@pytest.mark.parametrize(("changes", "message"), [
    ({"completion_length": 512}, "leave room for the prompt"), ({"generations": 1}, "generations"),
    ({"patience": 2}, "patience needs evaluate_every"), ({"temperature": 0}, "temperature"),
    ({"evaluate_every": 5, "dev_limit": 0}, "dev_limit"),
    ({"rewards": "paper"}, "paper_unit"), ({"weights": {"acuracy": 1}}, "acuracy"),
    ({"arm": "explained", "stop_at_judge": True, "weights": {"agreement": 1}}, "stop_at_judge"),
    ({"weights": {}}, "nothing is rewarded"), ({"weights": {"accuracy": 0}}, "nothing is rewarded"),
])  # fmt: skip
def test_configs_that_cannot_be_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage(**changes)


def test_tokens_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"trl\.hub_token") as refused:
        check_fields(stage(trl={"hub_token": "placeholder-value"}), use_cpu=True)
    assert "placeholder-value" not in str(refused.value)


def test_curves_need_their_package(tmp_path: Path) -> None:
    for report in Report:
        if report is not Report.NONE and find_spec(report.value) is None:
            with pytest.raises(MissingExtraError, match=f"pip install {report.value}"):
                check_fields(stage(report_to=report), use_cpu=False)
            with pytest.raises(MissingExtraError, match=f"pip install {report.value}"):
                arguments(tmp_path, report_to=report)


def test_precision_cutting_and_warmup_are_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    args = arguments(tmp_path, max_grad_norm=0)
    assert (args.mixed_precision, args.max_grad_norm) == ("no", math.inf)
    assert args.get_warmup_steps(10) == 0, "a warm-up of half a step is none"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    args = arguments(tmp_path, precision="bf16", warmup=0.25)
    assert (args.mixed_precision, args.get_warmup_steps(10)) == ("bf16", 2)
