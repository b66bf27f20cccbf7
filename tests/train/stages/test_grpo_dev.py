"""The GRPO stage on dev prompts: which are asked, what is logged, which step is kept, resuming."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.train.conftest import example_rows
from tests.train.stages.making import stored, stored_examples

from whyguard.core.errors import ConfigError, DataError
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.core.values import Label
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import load_model
from whyguard.generation.teachers.shaping import load_tokenizer
from whyguard.train.folder import read_guard
from whyguard.train.rewards.config import preset
from whyguard.train.rewards.score import Case, Measures, Rewards, score
from whyguard.train.sampling import cut_after, guard_prompt_ids
from whyguard.train.stages import grpo
from whyguard.train.stages.grpo import dev_prompts, make_scorer, prompts_of
from whyguard.train.stages.grpo_config import GrpoStage
from whyguard.train.stages.grpo_dev import choose, dev_means
from whyguard.train.stages.grpo_rewards import COMPLETIONS, read_completions
from whyguard.train.stages.grpo_trainer import GuardGrpoTrainer, RewardBar, Rollout
from whyguard.train.stages.run import CHECKPOINTS, LOG, StageResult, run_stage

torch.set_num_threads(1)
NOT_COMPARED = ("step_time", "seconds")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of `contrary_rows`, stored."""
    rows = frame(Example, contrary_rows())
    return stored(tmp_path_factory.mktemp("data") / "examples", Example, rows)


def contrary_rows() -> list[dict[str, Any]]:
    """14 train rows, most of them unharmful, and 8 dev rows, most of them harmful.

    What is learned is wrong on dev rows: the best step is early, and the last one is worse.
    """
    often = {"train": "unharmful", "dev": "harmful", "test": "harmful"}
    mixed = ("made:00", "made:02")
    return [row for row in example_rows(12)
            if row["label"] == often[row["split"]] or row["group_id"] in mixed]  # fmt: skip


def config_of(model: Path, data: Path, **changes: Any) -> GrpoStage:
    values = {"model": f"path:{model}", "data": str(data), "arm": "refusal_only", "max_steps": 5,
              "completion_length": 24, "max_length": 128, "temperature": 1.0, "warmup": 0.0,
              "learning_rate": 1e-4, "max_grad_norm": 1.0, "prefill_think": False,
              "schedule": "constant", "evaluate_every": 2, **changes}  # fmt: skip
    return GrpoStage.model_validate(values)


def logged(result: StageResult) -> pl.DataFrame:
    return pl.read_parquet(result.out / LOG)


def evaluated(result: StageResult) -> pl.DataFrame:
    log = logged(result)
    return log.filter(pl.col("eval_reward").is_not_null())


def weights(result: StageResult) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_model(f"path:{result.folder}",
                                                device="cpu").model.state_dict()  # fmt: skip
    return found


def same_weights(one: StageResult, other: StageResult) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def judged(folder: Path, config: GrpoStage) -> dict[str, float]:
    """The dev rows' rewards by a way of its own: transformers' greedy `generate`, row by row."""
    loaded = load_model(f"path:{folder}", device="cpu")
    tell, template = loaded.tokenizer, prompt_template(config.prompt)
    measures = Measures(lambda text: len(tell(text, add_special_tokens=False).input_ids))
    found = []
    for row in (row for row in contrary_rows() if row["split"] == "dev"):
        ids = guard_prompt_ids(tell, template, row["text"])
        out = loaded.model.generate(torch.tensor([ids]), do_sample=False,
                                    max_new_tokens=config.completion_length)  # fmt: skip
        text = cut_after(tell.decode(out[0, len(ids) :], skip_special_tokens=True))
        case = Case(Label(row["label"]), row["language"], tuple(row["categories"]))
        found.append(score(text, case, preset("paper_unit", best_length=64), measures))
    accuracies = [each.raw["accuracy"] or 0.0 for each in found]
    return {"reward": sum(each.total or 0.0 for each in found) / len(found),
            "accuracy": sum(accuracies) / len(accuracies)}  # fmt: skip


@pytest.mark.parametrize(("lora", "rate"), [(None, 1e-4), ({"r": 4}, 2e-3)])
def test_the_best_steps_weights_are_kept_and_their_dev_figures(
    judging: Path, data: Path, tmp_path: Path, lora: Any, rate: float
) -> None:
    config = config_of(judging, data, lora=lora, learning_rate=rate, evaluate_every=1, max_steps=6)
    result = run_stage(config, tmp_path / "out")
    log = evaluated(result)
    rewards = log["eval_reward"].to_list()
    assert log["step"].to_list() == [1, 2, 3, 4, 5, 6]
    best = rewards.index(max(rewards)) + 1
    assert rewards[-1] < max(rewards), "else the last weights would do"
    assert result.record.best_step == best
    facts = read_guard(result.folder)
    assert facts is not None and facts.stages[-1].best_step == best
    entry = log.row(best - 1, named=True)
    metrics = result.record.metrics
    for name in ("reward", "accuracy", "format_judge", "prompts"):
        assert metrics[f"dev_{name}"] == pytest.approx(entry[f"eval_{name}"], abs=1e-6)
    assert metrics["dev_prompts"] == 8
    again = judged(result.folder, config)
    assert again["reward"] == pytest.approx(max(rewards), abs=1e-5)
    assert again["accuracy"] == pytest.approx(metrics["dev_accuracy"], abs=1e-5)
    assert not (result.out / CHECKPOINTS).exists()


def test_the_last_step_is_evaluated_and_training_goes_on_as_without(
    judging: Path, data: Path, tmp_path: Path
) -> None:
    watched = run_stage(config_of(judging, data, dev_limit=4), tmp_path / "watched")
    plain = run_stage(config_of(judging, data, evaluate_every=None), tmp_path / "plain")
    log = evaluated(watched)
    assert (log["step"].to_list(), log["eval_prompts"].to_list()) == ([2, 4, 5], [4.0] * 3)
    columns = [name for name in logged(plain).columns if name not in NOT_COMPARED]
    assert logged(watched).select(columns).equals(logged(plain).select(columns))
    written = [read_completions(result.out / COMPLETIONS) for result in (watched, plain)]
    assert written[0].equals(written[1]), "no random number is drawn, no dev prompt trained on"
    splits = {row["example_id"]: row["split"] for row in contrary_rows()}
    assert {splits[example] for example in written[0]["example_id"]} == {"train"}
    assert plain.record.best_step is None
    assert not [name for name in plain.record.metrics if name.startswith("dev_")]
    groups = (watched.folder / "trained_groups.json").read_text("utf-8")
    held_out = {row["group_id"] for row in contrary_rows() if row["split"] != "train"}
    assert not any(group in groups for group in held_out)


def test_patience_stops_behind_the_best(judging: Path, data: Path, tmp_path: Path) -> None:
    result = run_stage(config_of(judging, data, max_steps=20, patience=2), tmp_path / "out")
    log = evaluated(result)
    assert log["step"].to_list() == [2, 4, 6]
    assert log["eval_reward"][0] > log["eval_reward"][2]
    assert (result.record.best_step, result.record.steps) == (2, 6)


def _stop_at(step: int) -> Any:
    plain = RewardBar.on_log

    def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        plain(self, args, state, control, **kwargs)
        if state.global_step == step and "reward" in kwargs.get("logs", {}):
            raise KeyboardInterrupt("killed")

    return stop


@pytest.mark.parametrize("step", [3, 6, 7])
def test_resumed_with_the_best_so_far_it_goes_on_exactly(
    judging: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    config = config_of(judging, data, max_steps=7, checkpoint_every=3, patience=3)
    whole = run_stage(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(RewardBar, "on_log", _stop_at(step))
        with pytest.raises(KeyboardInterrupt, match="killed"):
            run_stage(config, tmp_path / "killed")
    assert list((tmp_path / "killed" / CHECKPOINTS).glob("checkpoint-*"))
    resumed = run_stage(config, tmp_path / "killed")
    expected, found = (logged(result).drop(NOT_COMPARED, strict=False)
                       for result in (whole, resumed))  # fmt: skip
    assert found.equals(expected)
    assert resumed.record.best_step == whole.record.best_step
    assert resumed.record.metrics == whole.record.metrics
    assert same_weights(resumed, whole)


def test_stopped_early_and_killed_it_only_loads_the_best(
    judging: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(judging, data, max_steps=20, patience=2)
    whole = run_stage(config, tmp_path / "whole")

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch:
        patch.setattr(grpo, "save_guard", killed)
        with pytest.raises(KeyboardInterrupt, match="killed"):
            run_stage(config, tmp_path / "first")
    places = sorted(p.name for p in (tmp_path / "first" / CHECKPOINTS).glob("checkpoint-*"))
    assert places == ["checkpoint-2", "checkpoint-6"], "the best and the newest"
    (tmp_path / "first").rename(tmp_path / "moved")
    with monkeypatch.context() as patch:
        patch.setattr(GuardGrpoTrainer, "train", killed)
        resumed = run_stage(config, tmp_path / "moved")
    assert (resumed.record.best_step, resumed.record.steps) == (2, 6)
    assert resumed.record.metrics == whole.record.metrics
    assert same_weights(resumed, whole)


def test_dev_rows_that_are_not_there_are_an_error(judging: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "two", groups=2)
    with pytest.raises(DataError, match=r"grpo: evaluate_every[\s\S]*dev rows[\s\S]*leave evalu"):
        run_stage(config_of(judging, data), tmp_path / "out")
    rows = [row for row in example_rows() if row["split"] == "train" or row["label"] == "harmful"]
    one = stored(tmp_path / "one", Example, frame(Example, rows))
    with pytest.raises(DataError, match="harmful and unharmful dev rows in any language"):
        run_stage(config_of(judging, one), tmp_path / "out")


def test_dev_rows_follow_the_rules_of_train_rows(judging: Path, data: Path) -> None:
    rows = example_rows()
    dev = [number for number, row in enumerate(rows) if row["split"] == "dev"]
    rows[dev[0]] |= {"categories": ["S4"]}
    rows[dev[1]] |= {"text": "la casa " * 90}
    table, tokenizer = frame(Example, rows), load_tokenizer(judging)
    config = config_of(judging, data, languages=["ast_Latn"])
    found = dev_prompts(table, config, tokenizer)
    assert [d["rule"] for d in found.drops] == ["category_not_written", "too_long"]
    usable = [rows[number] for number in dev[2:] if rows[number]["language"] == "ast_Latn"]
    assert [row["example_id"] for row in found.rows] == [row["example_id"] for row in usable]
    train = prompts_of(table, config, tokenizer)
    ids = [{row["group_id"] for row in prompts.rows} for prompts in (found, train)]
    assert ids[0].isdisjoint(ids[1])
    off = config.model_copy(update={"evaluate_every": None})
    assert dev_prompts(table, off, tokenizer).rows == []


def _strata(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((row["language"], row["label"]) for row in rows)


def test_the_limit_takes_from_languages_and_labels_in_turn() -> None:
    rows = example_rows(40)[:-60]
    assert len(_strata(rows)) == 4
    for limit in (1, 2, 4, 7, 16, 63):
        found = choose(rows, limit)
        counts = _strata(found).values()
        assert len(found) == limit
        assert max(counts) - min(counts, default=0) <= 1
    assert choose(rows, None) == choose(rows, 1000) == rows
    assert choose(rows[::-1], 16)[::-1] == choose(rows, 16), "whatever the order"
    groups = Counter(row["group_id"] for row in choose(rows, 16))
    assert set(groups.values()) == {4}, "the same groups in each language and label"
    few = [row for row in rows if row["language"] == "ast_Latn"] + rows[2:4]
    assert _strata(choose(few, 12))[("glg_Latn", "harmful")] == 1, "a language with one is there"


def test_means_are_over_what_applies() -> None:
    def rewards(total: float | None, accuracy: float | None) -> Rewards:
        raw = dict.fromkeys(("length", *preset("paper_unit").weights.model_dump()))
        return Rewards({**raw, "accuracy": accuracy}, {}, total)

    found = dev_means([rewards(2.0, 1.0), rewards(1.0, None), rewards(None, 0.0)])
    assert found == {"reward": 1.5, "accuracy": 0.5, "prompts": 3.0}
    nothing = dev_means([rewards(None, None)])
    assert math.isnan(nothing["reward"]) and nothing["prompts"] == 1.0


@pytest.mark.parametrize("sharded", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_sharded_weights_are_not_evaluated(judging: Path, data: Path, tmp_path: Path,
                                           sharded: str) -> None:  # fmt: skip
    trainer = GuardGrpoTrainer.__new__(GuardGrpoTrainer)
    trainer.is_fsdp_enabled = trainer.is_deepspeed_enabled = False
    setattr(trainer, sharded, True)
    config = config_of(judging, data)
    scorer = make_scorer(config, load_tokenizer(judging))
    rollout = Rollout(prompt_template(config.prompt), "", True, 4, tmp_path, "key", ())
    trainer.attach(rollout, scorer)
    with pytest.raises(ConfigError, match=r"evaluate_every[\s\S]*DDP"):
        trainer.attach(rollout, scorer, [{"prompt": "-"}])
