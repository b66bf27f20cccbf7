"""train/stages/preference.py: CAO without its anchor is TRL's DPO; the reference; the anchor."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tests.train.stages.making import pair_rows, stored, stored_examples, stored_pairs
from trl import DPOConfig, DPOTrainer

from whyguard.core.errors import ArtefactError, ConfigError, DataError, PartialError
from whyguard.core.tables import frame
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import load_model
from whyguard.train.config import CaoStage, DpoStage, NoneStage, SftStage
from whyguard.train.folder import read_groups, read_guard
from whyguard.train.pairs import PreferencePair, encode_pairs
from whyguard.train.stages import engine
from whyguard.train.stages.plain import teach
from whyguard.train.stages.plan import training_order
from whyguard.train.stages.preference import (
    PairRows,
    accuracy_before,
    anchor_accuracy,
    pair_material,
    stored_reference,
)
from whyguard.train.stages.run import (
    CHECKPOINTS,
    DROPS,
    LOG,
    REFERENCE,
    StageJob,
    prepare_job,
    run_stage,
)

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored pairs."""
    return stored_pairs(tmp_path_factory.mktemp("data") / "pairs")


def _values(base: Path, pairs: Path, **changes: Any) -> dict[str, Any]:
    return {"model": f"path:{base}", "data": str(pairs), "learning_rate": 1e-3, "rows_a_step": 4,
            "epochs": 2, **changes}  # fmt: skip


def _groups(model: Path) -> frozenset[str]:
    facts = read_guard(model)
    assert facts is not None
    return read_groups(model, facts)


def _log(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / LOG)


class _Tokenized(DPOTrainer):  # type: ignore[misc]  # trl has no type hints
    """TRL's trainer on rows that are tokenized already; nothing else is changed."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def _trl(base: Path, folder: Path, loss_type: str = "sigmoid") -> DPOTrainer:
    """Stock DPOTrainer with a live reference on the same pairs in the same order."""
    loaded = load_model(f"path:{base}", device="cpu")
    encoded = encode_pairs(pair_rows(), loaded.tokenizer, prompt_template("short-v1"))
    rows = [{"prompt_ids": list(encoded[i].prompt_t), "chosen_ids": list(encoded[i].chosen),
             "rejected_ids": list(encoded[i].rejected)}
            for i in training_order(len(encoded), 2, 0)]  # fmt: skip
    args = DPOConfig(output_dir=str(folder), beta=0.1, learning_rate=1e-3, loss_type=[loss_type],
                     per_device_train_batch_size=4, num_train_epochs=1, max_length=None,
                     train_sampling_strategy="sequential", lr_scheduler_type="linear",
                     warmup_steps=0, logging_steps=1, report_to=[], bf16=False, use_cpu=True,
                     activation_checkpointing=False, disable_tqdm=True, save_strategy="no",
                     optim="adamw_torch", seed=0)  # fmt: skip
    trainer = _Tokenized(model=loaded.model, args=args, processing_class=loaded.tokenizer,
                         train_dataset=Dataset.from_list(rows))  # fmt: skip
    trainer.train()
    return trainer


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_cao_with_lam_0_is_trls_dpo_losses_1e5_weights_1e5(
    base: str, pairs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(base)
    ours = run_stage(CaoStage(**_values(folder, pairs, lam=0.0)), tmp_path / "ours")
    stock = _trl(folder, tmp_path / "stock")
    history = [entry for entry in stock.state.log_history if "loss" in entry]
    log = _log(tmp_path / "ours")
    assert log.height == len(history) == 6
    for column, name in (("loss", "loss"), ("margin", "rewards/margins"),
                         ("preference_accuracy", "rewards/accuracies")):  # fmt: skip
        # the first step's margins are rounding noise around 0: no side is right there
        start = 0 if column != "preference_accuracy" else 2
        theirs = [entry[name] for entry in history]
        assert log[column].to_list()[start:] == pytest.approx(theirs[start:], abs=1e-5)
    found = load_file(ours.folder / "model.safetensors")
    state = stock.model.state_dict()
    assert max(float((found[name] - state[name]).abs().max()) for name in found) < 1e-5


def test_length_normalisation_is_trls_sigmoid_norm_1e5(llama: Path, pairs: Path,
                                                       tmp_path: Path) -> None:  # fmt: skip
    run_stage(DpoStage(**_values(llama, pairs, length_normalisation=True)), tmp_path / "ours")
    stock = _trl(llama, tmp_path / "stock", "sigmoid_norm")
    theirs = [entry["loss"] for entry in stock.state.log_history if "loss" in entry]
    assert _log(tmp_path / "ours")["loss"].to_list() == pytest.approx(theirs, abs=1e-5)


def test_dpo_is_cao_without_the_anchor(llama: Path, pairs: Path, tmp_path: Path) -> None:
    run_stage(DpoStage(**_values(llama, pairs)), tmp_path / "dpo")
    run_stage(CaoStage(**_values(llama, pairs, lam=0.0)), tmp_path / "cao")
    dpo, cao = _log(tmp_path / "dpo"), _log(tmp_path / "cao")
    assert dpo["loss"].to_list() == pytest.approx(cao["loss"].to_list(), abs=1e-6)
    assert "anchor_kl" in cao.columns
    assert "anchor_kl" not in dpo.columns


def test_the_anchor_holds_the_policy(llama: Path, pairs: Path, tmp_path: Path) -> None:
    last = []
    for lam in (0.0, 3.0, 30.0):
        values = _values(llama, pairs, lam=lam, epochs=6, learning_rate=1e-2)
        out = tmp_path / str(lam)
        run_stage(CaoStage(**values), out)
        last.append(_log(out)["anchor_kl"].to_list()[-1])
    assert last[0] > last[1] > last[2] >= 0


def test_lam_follows_its_schedule(llama: Path, pairs: Path, tmp_path: Path) -> None:
    values = _values(llama, pairs, lam=2.0, lam_schedule="linear", lam_warmup=0.5)
    run_stage(CaoStage(**values), tmp_path / "out")
    log = _log(tmp_path / "out")
    found = (log["loss"] - log["preference_loss"]).to_list()
    wanted = [kl * 2.0 * min(1.0, step / 3) for step, kl in enumerate(log["anchor_kl"].to_list())]
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("changes", [{"batch_tokens": 1}, {"shared_preamble": False},
                                     {"activation_checkpointing": True}])  # fmt: skip
def test_losses_do_not_depend_on_how_it_is_run_1e5(
    changes: dict[str, Any], llama: Path, pairs: Path, tmp_path: Path
) -> None:
    run_stage(CaoStage(**_values(llama, pairs)), tmp_path / "a")
    run_stage(CaoStage(**_values(llama, pairs, **changes)), tmp_path / "b")
    assert (_log(tmp_path / "b")["loss"].to_list()
            == pytest.approx(_log(tmp_path / "a")["loss"].to_list(), abs=1e-5))  # fmt: skip


def test_bf16_with_adapters_trains_near_fp32(llama: Path, pairs: Path, tmp_path: Path) -> None:
    values = _values(llama, pairs, lora={"r": 4}, precision="bf16")
    result = run_stage(CaoStage(**values), tmp_path / "low")
    run_stage(CaoStage(**_values(llama, pairs, lora={"r": 4})), tmp_path / "full")
    low, full = (_log(tmp_path / name)["loss"].to_list() for name in ("low", "full"))
    assert low == pytest.approx(full, abs=0.05)
    assert low[0] == pytest.approx(0.6931, abs=1e-3)
    assert 0 <= result.record.metrics["anchor_accuracy"] <= 1


def test_a_named_reference_is_kept_and_a_stale_one_is_an_error(
    llama: Path, pairs: Path, tmp_path: Path
) -> None:
    values = _values(llama, pairs, reference=str(tmp_path / "reference"), max_steps=2)
    first = run_stage(CaoStage(**values), tmp_path / "a")
    kept = (tmp_path / "reference" / "reference.json").stat().st_mtime_ns
    run_stage(CaoStage(**values | {"seed": 5}), tmp_path / "b")
    assert (tmp_path / "reference" / "reference.json").stat().st_mtime_ns == kept
    with pytest.raises(ArtefactError, match="weights_sha256"):
        run_stage(CaoStage(**values | {"model": f"path:{first.folder}"}), tmp_path / "c")
    assert not (tmp_path / "a" / REFERENCE).exists()


def test_dev_pairs_are_of_other_groups(llama: Path, pairs: Path, tmp_path: Path) -> None:
    values = _values(llama, pairs, evaluate_every=3)
    result = run_stage(CaoStage(**values), tmp_path / "out")
    facts = read_guard(result.folder)
    assert facts is not None
    assert facts.stages[0].rows == 10
    assert {"dev_loss", "dev_anchor_kl", "dev_margin"} <= set(facts.stages[0].metrics)
    assert _log(tmp_path / "out")["eval_loss"].drop_nulls().len() == 2


def test_long_pairs_are_dropped_with_a_reason(llama: Path, pairs: Path, tmp_path: Path) -> None:
    run_stage(DpoStage(**_values(llama, pairs, max_length=70, max_steps=1)), tmp_path / "out")
    drops = pl.read_parquet(tmp_path / "out" / DROPS)
    assert set(drops["rule"]) == {"too_long"}
    assert 0 < drops.height < 12
    with pytest.raises(DataError, match="at least one pair"):
        run_stage(DpoStage(**_values(llama, pairs, max_length=16)), tmp_path / "none")


def test_dpo_and_cao_train_on_the_same_pairs_though_an_anchor_is_long(
    llama: Path, tmp_path: Path
) -> None:
    rows = pair_rows()
    for row in rows[::3]:
        row["prompt_e"] = "the house is old " * 40
    pairs = stored(tmp_path / "pairs", PreferencePair, frame(PreferencePair, rows))
    kept = []
    for name, kind in (("dpo", DpoStage), ("cao", CaoStage)):
        values = _values(llama, pairs, max_length=110, evaluate_every=1, max_steps=1)
        result = run_stage(kind(**values), tmp_path / name)
        kept.append((_groups(result.folder), pl.read_parquet(tmp_path / name / DROPS)))
    assert kept[0][0] == kept[1][0]
    assert kept[0][1].equals(kept[1][1])
    assert kept[0][1]["rule"].to_list() == ["too_long"] * 4


def test_no_pairs_are_an_error(llama: Path, tmp_path: Path) -> None:
    empty = stored(tmp_path / "pairs", PreferencePair, frame(PreferencePair, []))
    with pytest.raises(DataError, match="at least one pair"):
        run_stage(DpoStage(**_values(llama, empty)), tmp_path / "out")


def test_none_passes_the_model_on(llama: Path, pairs: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "examples")
    before = run_stage(SftStage(model=f"path:{llama}", data=str(data)), tmp_path / "sft")
    after = run_stage(NoneStage(data=str(pairs)), tmp_path / "none", previous=before.folder)
    for name in ("model.safetensors", "tokenizer.json", "trained_groups.json"):
        assert (after.folder / name).read_bytes() == (before.folder / name).read_bytes()
    facts = read_guard(after.folder)
    assert facts is not None
    assert [stage.stage for stage in facts.stages] == ["sft", "none"]


def test_stages_add_up_in_the_card(llama: Path, pairs: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "examples")
    before = run_stage(SftStage(model=f"path:{llama}", data=str(data)), tmp_path / "sft")
    values = _values(llama, pairs, max_steps=1) | {"model": None}
    after = run_stage(CaoStage(**values), tmp_path / "cao", previous=before.folder)
    facts = read_guard(after.folder)
    assert facts is not None
    assert [stage.stage for stage in facts.stages] == ["sft", "cao"]
    assert facts.base == f"path:{llama}"
    card = (after.folder / "README.md").read_text("utf-8")
    assert "| cao | `pairs` sha256 `" in card
    assert "anchor_accuracy_before" in card


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_dev_losses_have_the_full_lam_whatever_the_schedule(
    schedule: str, llama: Path, pairs: Path, tmp_path: Path
) -> None:
    values = _values(llama, pairs, lam=3.0, lam_schedule=schedule, lam_warmup=1.0,
                     evaluate_every=1, learning_rate=2e-2, max_steps=6)  # fmt: skip
    result = run_stage(CaoStage(**values), tmp_path / "out")
    log = _log(tmp_path / "out")
    full = log["eval_preference_loss"] + 3.0 * log["eval_anchor_kl"]
    assert log["eval_anchor_kl"].max() > 1e-3  # type: ignore[operator]
    assert log["eval_loss"].to_list() == pytest.approx(full.to_list(), abs=1e-5)
    best = full.arg_min()
    assert best is not None
    assert result.record.best_step == log["step"][best]


def test_a_named_reference_of_the_other_kind_is_an_error(
    llama: Path, pairs: Path, tmp_path: Path
) -> None:
    values = _values(llama, pairs, reference=str(tmp_path / "reference"), max_steps=1)
    run_stage(CaoStage(**values), tmp_path / "a")
    with pytest.raises(ArtefactError, match=r"differs in: states\)[\s\S]*shared_preamble"):
        run_stage(CaoStage(**values, shared_preamble=False), tmp_path / "b")


class _Stopped(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("first", [True, False])
def test_a_stage_resumes_with_the_other_shared_preamble_1e5(
    first: bool, llama: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = _values(llama, pairs, max_steps=4, checkpoint_every=2)

    def stop(*_: Any) -> None:
        raise _Stopped("stopped")

    with monkeypatch.context() as patch, pytest.raises(_Stopped, match="stopped"):
        patch.setattr(engine, "save_guard", stop)
        run_stage(CaoStage(**values, shared_preamble=first), tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / CHECKPOINTS / "checkpoint-4")
    found = run_stage(CaoStage(**values, shared_preamble=not first), tmp_path / "out")
    whole = run_stage(CaoStage(**values), tmp_path / "whole")
    names = ("anchor_kl", "preference_loss")
    assert ([found.record.metrics[name] for name in names]
            == pytest.approx([whole.record.metrics[name] for name in names], abs=1e-5))  # fmt: skip
    assert not (tmp_path / "out" / REFERENCE).exists()


def test_a_reference_folder_with_other_files_is_refused(
    llama: Path, pairs: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("placeholder", "utf-8")
    with pytest.raises(ConfigError, match=r"stored reference[\s\S]*notes\.txt"):
        run_stage(CaoStage(**_values(llama, pairs, reference=str(mine))), tmp_path / "out")
    assert (mine / "notes.txt").read_text("utf-8") == "placeholder"


def _material(base: Path, pairs: Path, out: Path, **changes: Any
              ) -> tuple[StageJob, engine.Base, PairRows]:  # fmt: skip
    job = prepare_job(CaoStage(**_values(base, pairs, **changes)), out, None, None)
    found = engine.load_base(job)
    material = pair_material(job, found.loaded.tokenizer)
    teach(found.loaded.model, share=job.config.shared_preamble)
    return job, found, material


def test_the_reference_keeps_to_batch_tokens(llama: Path, pairs: Path, tmp_path: Path) -> None:
    seen = {}
    for budget in (1, 500, 9999):
        job, base, material = _material(llama, pairs, tmp_path / str(budget), batch_tokens=budget)
        calls: list[int] = []
        base.loaded.model.model.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))  # noqa: B023
        stored_reference(job, base, material).close()
        longest = max(material.rows.lengths)
        assert len(calls) == -(-len(material.pairs) // max(1, budget // longest))
        seen[budget] = len(calls)
    assert seen[1] == 12 > seen[500] > seen[9999] == 1


def test_a_reference_without_memory_says_which_key(
    llama: Path, pairs: Path, tmp_path: Path
) -> None:
    job, base, material = _material(llama, pairs, tmp_path / "out", batch_tokens=64)
    base.loaded.model.model.layers[0].register_forward_pre_hook(lambda *_: torch.empty(1 << 50))
    with pytest.raises(PartialError, match=r"reference[\s\S]*batch_tokens: 32"):
        stored_reference(job, base, material)
    assert not (tmp_path / "out" / REFERENCE).exists()


def test_accuracies_before_and_after_are_of_the_same_arithmetic(
    llama: Path, pairs: Path, tmp_path: Path
) -> None:
    job, base, _ = _material(llama, pairs, tmp_path / "out", precision="bf16")
    seen: list[torch.dtype] = []
    base.loaded.model.lm_head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    assert anchor_accuracy(base.loaded, job) is not None
    assert set(seen) == {torch.bfloat16}


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_where_nothing_is_learnt_accuracy_does_not_drift(
    lora: dict[str, int] | None, llama: Path, pairs: Path, tmp_path: Path
) -> None:
    values = _values(llama, pairs, precision="bf16", lora=lora, learning_rate=1e-12, max_steps=2)
    metrics = run_stage(CaoStage(**values), tmp_path / "out").record.metrics
    assert 0 < metrics["anchor_accuracy_before"] < 1
    assert metrics["anchor_accuracy"] == metrics["anchor_accuracy_before"]


def test_the_accuracy_before_is_measured_on_the_first_process_alone(
    llama: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, base, _ = _material(llama, pairs, tmp_path / "out")
    assert accuracy_before(job, base) is not None
    monkeypatch.setenv("RANK", "1")
    assert accuracy_before(job, base) is None
