"""train/stages/grpo.py: rewards of the right rows, logs, groups, rollouts, resuming."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from accelerate.logging import get_logger
from tests.train.conftest import example_rows
from tests.train.stages.making import stored, stored_examples
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from whyguard.core.errors import ConfigError, DataError, PartialError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.core.tables import frame
from whyguard.core.values import Arm, Label
from whyguard.generation.models import load_model
from whyguard.generation.teachers.shaping import load_tokenizer
from whyguard.train.folder import read_guard
from whyguard.train.rewards.config import REWARDS, preset
from whyguard.train.rewards.score import Case, Measures, score
from whyguard.train.stages.grpo import knobs, make_scorer, prompts_of
from whyguard.train.stages.grpo_config import GrpoStage
from whyguard.train.stages.grpo_rewards import COMPLETIONS, read_completions
from whyguard.train.stages.grpo_trainer import EpochSampler, GuardGrpoTrainer, RewardBar
from whyguard.train.stages.run import CHECKPOINTS, LOG, MARK, StageResult, run_stage

torch.set_num_threads(1)
NOT_COMPARED = ("step_time", "seconds")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 train rows of 32, stored."""
    return stored_examples(tmp_path_factory.mktemp("data") / "examples")


Run = Callable[..., StageResult]


@pytest.fixture
def run(judging: Path, data: Path, tmp_path: Path) -> Run:
    """Runs the stage with a few changed keys."""

    def start(out: str = "out", **changes: Any) -> StageResult:
        config = config_of(judging, data, **changes)
        return run_stage(config, tmp_path / out, Progress.silent())

    return start


def config_of(model: Path, data: Path, **changes: Any) -> GrpoStage:
    values = {"model": f"path:{model}", "data": str(data), "arm": "refusal_only", "max_steps": 3,
              "completion_length": 24, "max_length": 128, "temperature": 1.0, "warmup": 0.0,
              "learning_rate": 1e-3, "prefill_think": False, "schedule": "constant",
              **changes}  # fmt: skip
    return GrpoStage.model_validate(values)


def logged(result: StageResult) -> pl.DataFrame:
    return pl.read_parquet(result.out / LOG)


def completions(result: StageResult) -> pl.DataFrame:
    return read_completions(result.out / COMPLETIONS)


def test_rewards_are_those_of_the_rows_that_were_asked(run: Run, judging: Path) -> None:
    table = completions(run())
    assert table.height == 3 * 4 * 4
    examples = {row["example_id"]: row for row in example_rows()}
    tokenizer = load_tokenizer(judging)
    measures = Measures(lambda text: len(tokenizer(text, add_special_tokens=False).input_ids))
    for row in table.to_dicts():
        asked = examples[row["example_id"]]
        assert (row["language"], row["label"]) == (asked["language"], asked["label"])
        case = Case(Label(asked["label"]), asked["language"], tuple(asked["categories"]))
        found = score(row["completion"], case, preset("paper_unit", best_length=64), measures)
        assert row["total"] == pytest.approx(found.total)
        assert {name: row[f"raw_{name}"] for name in REWARDS} == found.raw
    assert 0.2 < table["raw_accuracy"].mean() < 0.8, "both verdicts are sampled"  # type: ignore[operator]


def test_advantages_compare_completions_of_one_prompt(run: Run) -> None:
    for _, step in completions(run()).group_by("step"):
        for start in range(0, step.height, 4):
            group = step.slice(start, 4)
            assert group["example_id"].n_unique() == 1
            assert group["sample"].to_list() == [0, 1, 2, 3]
            totals = torch.tensor(group["total"].to_list())
            expected = (totals - totals.mean()) / (totals.std() + 1e-4)
            assert group["advantage"].to_list() == pytest.approx(expected.tolist(), abs=1e-4)


def test_raw_and_weighted_rewards_are_both_logged(run: Run) -> None:
    result = run(rewards="paper_weighted")
    log, table = logged(result), completions(result)
    for step, entry in enumerate(log.to_dicts(), 1):
        rows = table.filter(pl.col("step") == step)
        for name, weight in (("accuracy", 0.4), ("format_judge", 0.1), ("diversity", 0.2)):
            assert entry[f"raw/{name}"] == pytest.approx(rows[f"raw_{name}"].mean())
            assert entry[f"weighted/{name}"] == pytest.approx(weight * entry[f"raw/{name}"])
            assert rows[f"weighted_{name}"].to_list() == pytest.approx(
                (rows[f"raw_{name}"] * weight).to_list())  # fmt: skip
        assert entry["reward"] == pytest.approx(rows["total"].mean(), abs=1e-6)
    assert table["raw_category"].null_count() == table.height, "the arm has no explanation"


def _equal(groups: pl.DataFrame) -> int:
    spread = groups.group_by("step", pl.int_range(pl.len()) // 4).agg(
        (pl.col("total").max() - pl.col("total").min()).alias("spread"))  # fmt: skip
    return spread.filter(pl.col("spread") < 1e-8).height


def test_groups_that_teach_nothing_are_counted_by_step_and_in_total(run: Run) -> None:
    result = run(max_steps=4)
    log, table = logged(result), completions(result)
    for entry in log.to_dicts():
        assert entry["groups/total"] == 4
        assert entry["groups/equal"] == _equal(table.filter(pl.col("step") == entry["step"]))
    facts = result.record.metrics
    assert (facts["groups"], facts["groups_equal"]) == (16, _equal(table))
    assert 0 < facts["groups_equal"] < 16
    assert log["groups/idle_share"].to_list() == (log["groups/equal"] / 4).to_list()


def test_a_model_that_never_judges_teaches_nothing(llama: Path, data: Path,
                                                   tmp_path: Path) -> None:  # fmt: skip
    result = run_stage(config_of(llama, data), tmp_path / "out")
    assert result.record.metrics["groups_equal"] == result.record.metrics["groups"] == 12
    assert logged(result)["loss"].to_list() == [0.0] * 3


def test_completions_end_behind_the_verdict_by_arm(run: Run) -> None:
    table = completions(run())
    judged = table.filter(pl.col("completion").str.contains("</judge>"))
    assert judged.height > table.height // 2
    assert judged["completion"].str.ends_with("</judge>").all()
    explained = completions(run("explained", arm="explained"))
    assert explained["completion"].str.contains("</judge>.*rest").any()
    stopped = completions(run("stopped", arm="explained", stop_at_judge=True))
    assert not stopped["completion"].str.contains("</judge>.").any()
    assert stopped["raw_agreement"].null_count() == stopped.height, "what was cut is not rewarded"
    assert explained["raw_agreement"].null_count() == 0


def test_trl_itself_may_write_them_and_they_are_cut_the_same(run: Run) -> None:
    ours = run("ours", temperature=1e-4)
    other = run("trl", temperature=1e-4, trl={"top_k": 1})
    first = pl.col("step") == 1
    both = [
        completions(result).filter(first).sort("example_id", "sample") for result in (ours, other)
    ]
    assert both[0]["completion"].to_list() == both[1]["completion"].to_list()
    assert both[0]["tokens"].to_list() == both[1]["tokens"].to_list()


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no GPU: torch.accelerator finds "
                    "none, so that the stage on one cannot be compared with the CPU")  # fmt: skip
def test_on_a_gpu_rewards_are_those_of_the_cpu_loss_1e_3(run: Run) -> None:
    gpu, cpu = run("gpu", max_steps=1), run("cpu", max_steps=1, trl={"use_cpu": True})
    assert logged(gpu)["loss"].to_list() == pytest.approx(logged(cpu)["loss"].to_list(), abs=1e-3)
    same = completions(gpu)["completion"] == completions(cpu)["completion"]
    assert same.mean() > 0.8  # type: ignore[operator]


def test_what_another_training_left_is_not_read(run: Run, tmp_path: Path) -> None:
    left = tmp_path / "out" / COMPLETIONS / "step-000009-0.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of another training")
    with pytest.raises(ConfigError, match="what no stage wrote"):
        run()
    (tmp_path / "out" / MARK).touch()  # an unfinished stage's folder
    assert completions(run())["step"].max() == 3


def test_each_reward_may_be_normalised_before_the_sum(run: Run) -> None:
    result = run(aggregation="normalize_then_sum")
    table = completions(result)
    names = ("accuracy", "length", "diversity", "format_judge", "format_order")
    for _, step in table.group_by("step"):
        columns = torch.tensor([step[f"raw_{name}"].to_list() for name in names]).view(-1, 4, 4)
        normal = (columns - columns.mean(-1, keepdim=True)) / (columns.std(-1, keepdim=True) + 1e-4)
        total = normal.sum(0).flatten()
        expected = (total - total.mean()) / (total.std() + 1e-4)
        assert step["advantage"].to_list() == pytest.approx(expected.tolist(), abs=1e-3)


def test_the_folder_is_a_guard_with_our_card(run: Run) -> None:
    result = run(prefill_think=True)
    loaded = load_model(f"path:{result.folder}", device="cpu")
    assert loaded.model.config.use_cache
    facts = read_guard(result.folder)
    assert facts is not None and facts.stages[-1].stage == "grpo"
    assert (facts.reasoning, facts.arm) == ("english_cot", "refusal_only")
    card = (result.folder / "README.md").read_text("utf-8")
    assert "whyguard" in card and "TRL" not in card and "trl" not in card.lower().split()
    assert not list(result.out.rglob(f"{CHECKPOINTS}/*"))
    trained = set(json.loads((result.folder / "trained_groups.json").read_text("utf-8")))
    assert trained == {row["group_id"] for row in example_rows() if row["split"] == "train"}
    assert run(prefill_think=True).reused


def test_reasoning_is_what_was_taught_here_or_before(run: Run, data: Path,
                                                     tmp_path: Path) -> None:  # fmt: skip
    def reasoning(result: StageResult) -> str:
        facts = read_guard(result.folder)
        assert facts is not None
        return facts.reasoning

    assert reasoning(run("plain", max_steps=1)) == "none"
    taught = run("taught", max_steps=1, prefill_think=True)
    assert reasoning(taught) == "english_cot"
    after = config_of(taught.folder, data, max_steps=1)
    assert reasoning(run_stage(after, tmp_path / "after")) == "english_cot"


def test_adapters_are_merged(run: Run, judging: Path) -> None:
    result = run(lora={"r": 4}, learning_rate=1e-2)
    base, trained = (load_model(f"path:{f}", device="cpu").model for f in (judging, result.folder))
    assert base.state_dict().keys() == trained.state_dict().keys()
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(base.state_dict()[name], trained.state_dict()[name])


def test_a_resumed_training_goes_on_as_the_uninterrupted_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"max_steps": 5, "checkpoint_every": 2, "learning_rate": 1e-2,
                               "batch_tokens": 250}  # fmt: skip
    whole = run("whole", **changes)
    plain = RewardBar.on_log

    def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        plain(self, args, state, control, **kwargs)
        if state.global_step == 3:
            raise KeyboardInterrupt("killed")

    monkeypatch.setattr(RewardBar, "on_log", stop)
    with pytest.raises(KeyboardInterrupt, match="killed"):
        run("killed", **changes)
    monkeypatch.setattr(RewardBar, "on_log", plain)
    assert [p.name for p in (tmp_path / "killed" / CHECKPOINTS).glob("checkpoint-*")] == [
        "checkpoint-2"
    ]
    resumed = run("killed", **changes)
    expected, found = (
        logged(result).drop(NOT_COMPARED, strict=False) for result in (whole, resumed)
    )
    assert found.equals(expected)
    assert completions(resumed).equals(completions(whole))
    assert resumed.record.metrics == whole.record.metrics, "groups before the kill are counted"
    weights = [
        load_model(f"path:{r.folder}", device="cpu").model.state_dict() for r in (whole, resumed)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_rows_of_an_epoch_are_those_of_an_uninterrupted_training() -> None:
    def order(seed: int) -> RepeatSampler:
        return RepeatSampler(range(7), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=seed)

    plain = order(5)
    expected = [list(plain) for _ in range(3)]
    assert expected[0] != expected[1]
    epochs = iter((0.0, 1.0, 2.0, 2.5, 1.25))
    ours = EpochSampler(order(5), lambda: next(epochs))
    assert [list(ours) for _ in range(5)] == [expected[at] for at in (0, 1, 2, 2, 1)]
    assert len(ours) == len(expected[0])


def test_forward_passes_do_not_change_what_is_learned(run: Run) -> None:
    one, many = run("one", max_steps=2), run("many", max_steps=2, batch_tokens=200)
    assert logged(many)["loss"].to_list() == pytest.approx(logged(one)["loss"].to_list(), abs=1e-4)
    assert logged(many)["grad_norm"].to_list() == pytest.approx(
        logged(one)["grad_norm"].to_list(), rel=1e-3)  # fmt: skip


def test_rows_that_cannot_be_asked_are_dropped_with_reasons(judging: Path, data: Path) -> None:
    rows = [row | {"split": "train"} for row in example_rows(2)]
    rows[0] |= {"categories": ["S4"]}
    rows[1] |= {"text": "la casa " * 90}
    found = prompts_of(frame(Example, rows), config_of(judging, data), load_tokenizer(judging))
    rules = {d["row_id"]: d["rule"] for d in found.drops}
    first, second = (row["example_id"] for row in rows[:2])
    assert rules == {first: "category_not_written", second: "too_long"}
    assert all("text" not in json.loads(d["row"]) for d in found.drops)
    assert len(found.rows) == len(rows) - 2


def test_one_label_alone_is_an_error(judging: Path, data: Path) -> None:
    rows = [row for row in example_rows() if row["label"] == "harmful"]
    with pytest.raises(DataError, match="harmful and unharmful train rows in any language"):
        prompts_of(frame(Example, rows), config_of(judging, data), load_tokenizer(judging))


def test_a_loss_that_is_not_finite_stops_with_the_rows(judging: Path, data: Path,
                                                       tmp_path: Path) -> None:  # fmt: skip
    loaded = load_model(f"path:{judging}", device="cpu")
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    loaded.model.save_pretrained(tmp_path / "broken")
    loaded.tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(DataError, match=r"NaN or infinity in a step of the rows made:"):
        run_stage(config_of(tmp_path / "broken", data), tmp_path / "out")
    assert not (tmp_path / "out" / "stage.json").exists()


def test_running_out_of_memory_says_what_to_change(judging: Path, data: Path) -> None:
    told = knobs(config_of(judging, data))
    trainer = GuardGrpoTrainer.__new__(GuardGrpoTrainer)
    trainer.state = type("State", (), {"global_step": 6})()
    trainer.rollout = type("Asked", (), {"knobs": told})()
    with (
        pytest.raises(PartialError, match=r"step 7, writing[\s\S]*batch_tokens: 2048[\s\S]*lora"),
        trainer._memory_advice("writing"),
    ):
        raise MemoryError("out of memory")


def test_language_is_told_where_it_is_rewarded(judging: Path, data: Path) -> None:
    tokenizer = load_tokenizer(judging)
    plain = make_scorer(config_of(judging, data), tokenizer)
    assert tuple(plain.weights) == REWARDS[:7]
    config = config_of(judging, data, weights={"accuracy": 1.0, "thinking_language": 0.5})
    asked = make_scorer(config, tokenizer)
    assert asked.weights == {"accuracy": 1.0, "thinking_language": 0.5}
    assert config.rewarded_arm is Arm.REFUSAL_ONLY
    english = "<think>" + "somebody asks for a quiet place to read about ships " * 2 + "</think>"
    values = [function(completions=[english], label=["harmful"], language=["ast_Latn"],
                       categories=[["S2"]], example_id=["one"], log_metric=lambda name, value: None)
              for function in asked.functions()]  # fmt: skip
    assert values == [[0.0], [1.0]]


@pytest.mark.slow
def test_a_rule_is_learned_on_one_seed(judging: Path, tmp_path: Path) -> None:
    """Labels are equally frequent: only the prompt tells. Most seeds need more than 60 steps."""
    rows = [row | {"split": "train"} for row in example_rows(6)]
    data = stored(tmp_path / "data", Example, frame(Example, rows))
    config = config_of(judging, data, weights={"accuracy": 1.0}, max_steps=60, generations=8,
                       learning_rate=3e-3, max_grad_norm=1.0, rows_a_step=8)  # fmt: skip
    result = run_stage(config, tmp_path / "out")
    rewards = logged(result)["reward"]
    first, last = rewards.head(10).mean(), rewards.tail(10).mean()
    assert 0.3 < first < 0.7  # type: ignore[operator]
    assert last > 0.9  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_mean_reward_rises_on_each_seed(judging: Path, tmp_path: Path, seed: int) -> None:
    """12 of 14 rows are harmful: to say so more often is rewarded, whatever the prompt."""
    rows = [row | {"split": "train"} for row in example_rows(6)
            if row["label"] == "harmful" or row["group_id"] == "made:00"]  # fmt: skip
    data = stored(tmp_path / "data", Example, frame(Example, rows))
    config = config_of(judging, data, weights={"accuracy": 1.0}, max_steps=40, generations=8,
                       max_grad_norm=1.0, rows_a_step=8, seed=seed)  # fmt: skip
    rewards = logged(run_stage(config, tmp_path / "out"))["reward"].to_list()
    assert sum(rewards[-10:]) / 10 > sum(rewards[:10]) / 10 + 0.1


def test_prompts_of_unscored_completions_are_not_printed(
    run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    trl_log = get_logger(GRPOTrainer.__module__)
    with caplog.at_level(logging.WARNING, logger=GRPOTrainer.__module__):
        result = run(max_steps=1, weights={"category": 1.0})
        trl_log.warning("something else")
    assert logged(result)["groups/unscored"].sum() > 0, "TRL had reason to warn"
    written = capfd.readouterr()
    shown = caplog.text + written.out + written.err
    assert "something else" in shown, "the log is looked at"
    assert "All reward functions returned None" not in shown
    prompts = {row["text"] for row in example_rows()}
    assert not [prompt for prompt in prompts if prompt in shown]
