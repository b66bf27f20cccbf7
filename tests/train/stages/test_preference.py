"""train/stages/preference.py: CAO without its anchor is TRL's DPO; the reference; the anchor."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from tests.train.stages.making import pair_rows, stored, stored_examples, stored_pairs
from trl import DPOConfig, DPOTrainer

from whyguard.core.errors import ArtefactError, DataError
from whyguard.core.tables import frame
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import load_model
from whyguard.train.config import CaoStage, DpoStage, NoneStage, SftStage
from whyguard.train.folder import read_guard
from whyguard.train.pairs import PreferencePair, encode_pairs
from whyguard.train.stages.plan import training_order
from whyguard.train.stages.run import DROPS, LOG, REFERENCE, run_stage

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored pairs."""
    return stored_pairs(tmp_path_factory.mktemp("data") / "pairs")


def _values(base: Path, pairs: Path, **changes: Any) -> dict[str, Any]:
    return {"model": f"path:{base}", "data": str(pairs), "learning_rate": 1e-3, "rows_a_step": 4,
            "epochs": 2, **changes}  # fmt: skip


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
                     warmup_steps=0.05, logging_steps=1, report_to=[], bf16=False, use_cpu=True,
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
    assert result.record.metrics["anchor_accuracy"] >= 0


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
