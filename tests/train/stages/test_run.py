"""train/stages/run.py: what is written, reused, refused, and gone on with after kill -9."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import load_file
from tests.train.stages.making import stored_examples, stored_pairs

from whyguard.core.artefact import MANIFEST
from whyguard.core.errors import ConfigError, DataError, MissingExtraError, MissingFileError
from whyguard.core.progress import Progress
from whyguard.generation.models import load_model, locate_model
from whyguard.train.config import CaoStage, NoneStage, SftStage, StageConfig
from whyguard.train.folder import ScoreFacts, add_scores, read_groups, read_guard
from whyguard.train.stages.checkpoints import SEAL
from whyguard.train.stages.forecast import forecast
from whyguard.train.stages.run import LOG, MARK, StageResult, prepare_job, run_stage

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored examples."""
    return stored_examples(tmp_path_factory.mktemp("data") / "examples")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored pairs."""
    return stored_pairs(tmp_path_factory.mktemp("data") / "pairs")


def sft(base: Path, data: Path, **changes: Any) -> SftStage:
    values = {"model": f"path:{base}", "data": str(data), "learning_rate": 1e-3, **changes}
    return SftStage.model_validate(values)


def weights(result: StageResult) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(result.folder / "model.safetensors")
    return found


def log(out: Path) -> pl.DataFrame:
    """The log without what no two runs share."""
    return pl.read_parquet(out / LOG).drop("seconds")


def losses(out: Path) -> list[float]:
    return log(out)["loss"].to_list()


@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 8}])
def test_the_folder_is_a_guard(llama: Path, examples: Path, tmp_path: Path, lora: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = run_stage(sft(llama, examples, lora=lora, evaluate_every=2), tmp_path / "out")
    names = {path.name for path in result.folder.iterdir()}
    assert names >= {"model.safetensors", "guard.json", "README.md", "trained_groups.json"}
    assert not [name for name in names if "adapter" in name or name.endswith((".bin", ".pt"))]
    model = AutoModelForCausalLM.from_pretrained(result.folder)
    assert model.config.vocab_size >= len(AutoTokenizer.from_pretrained(result.folder))
    assert load_model(f"path:{result.folder}", device="cpu").model.config.use_cache
    facts = read_guard(result.folder)
    assert facts is not None
    stage = facts.stages[0]
    assert (stage.stage, stage.data, stage.rows) == ("sft", "examples", 16)
    assert stage.best_step is not None
    assert stage.metrics["dev_loss"] > 0
    assert len(read_groups(result.folder, facts)) == 4
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_card_is_ours(llama: Path, examples: Path, tmp_path: Path) -> None:
    result = run_stage(sft(llama, examples), tmp_path / "out")
    card = (result.folder / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: ")
    assert "# A whyguard guard: explained" in card
    assert "| sft | `examples` sha256 `" in card
    assert "TRL" not in card
    add_scores(result.folder, [ScoreFacts(name="f1", language="ast_Latn", mode="no_think",
                                          value=0.5)])  # fmt: skip
    card = (result.folder / "README.md").read_text("utf-8")
    assert "| f1 | Asturian (ast_Latn) | no_think | 0.5 |" in card
    assert not list(tmp_path.rglob("README.md"))[1:]


def test_a_finished_stage_is_reused_and_another_refused(llama: Path, examples: Path,
                                                        tmp_path: Path) -> None:  # fmt: skip
    config = sft(llama, examples)
    first = run_stage(config, tmp_path / "out")
    changed = (first.folder / "model.safetensors").stat().st_mtime_ns
    again = run_stage(config.model_copy(update={"batch_tokens": 50}), tmp_path / "out")
    assert (first.reused, again.reused, again.record) == (False, True, first.record)
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == changed
    with pytest.raises(ConfigError, match="of another seed"):
        run_stage(config.model_copy(update={"seed": 1}), tmp_path / "out")


def test_trainings_repeat(llama: Path, examples: Path, tmp_path: Path) -> None:
    config = sft(llama, examples, lora={"r": 4, "dropout": 0.1})
    runs = [run_stage(config, tmp_path / name) for name in ("a", "b")]
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    first, second = map(weights, runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft-full", "sft-lora", "cao-full"])
def test_resumed_after_kill_9_equals_uninterrupted_exactly(
    kind: str, llama: Path, examples: Path, pairs: Path, tmp_path: Path
) -> None:
    common = {"max_steps": 60, "checkpoint_every": 3, "evaluate_every": 5, "rows_a_step": 2}
    lora = {"r": 4, "dropout": 0.2} if kind.endswith("lora") else None
    config: StageConfig = sft(llama, examples, **common, lora=lora)
    if kind.startswith("cao"):
        config = CaoStage.model_validate({"model": f"path:{llama}", "data": str(pairs),
                                          "learning_rate": 1e-3, **common})  # fmt: skip
    whole = run_stage(config, tmp_path / "whole")
    (tmp_path / "config.json").write_text(config.model_dump_json())
    killed_at = _kill(tmp_path / "config.json", tmp_path / "out")
    assert 6 <= killed_at < 60
    assert not (tmp_path / "out" / "stage.json").exists()
    resumed = run_stage(config, tmp_path / "out")
    assert_frame_equal(log(tmp_path / "out"), log(tmp_path / "whole"), check_exact=True)
    for name in ("model.safetensors", "guard.json", "README.md"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert resumed.record.best_step == whole.record.best_step
    assert resumed.record.tokens == whole.record.tokens


def _kill(config: Path, out: Path) -> int:
    """Run a stage in a process of its own; kill it behind its second checkpoint."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.train.stages.killed", str(config), str(out)]
    child = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and child.poll() is None:
            done = sorted(int(path.parent.name.rpartition("-")[2])
                          for path in out.glob(f"checkpoints/checkpoint-*/{SEAL}"))  # fmt: skip
            if done and done[-1] >= 6:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
    finally:
        child.kill()
    assert child.wait() == -signal.SIGKILL
    return done[-1]


def test_checkpoints_of_another_training_are_refused(llama: Path, examples: Path,
                                                     tmp_path: Path) -> None:  # fmt: skip
    config = sft(llama, examples, max_steps=4, checkpoint_every=2)
    run_stage(config, tmp_path / "out")
    left = tmp_path / "other" / "checkpoints" / "checkpoint-2"
    left.mkdir(parents=True)
    (left / SEAL).write_text('{"step": 2, "key": "another", "processes": 1}')
    (left / "trainer_state.json").write_text('{"log_history": []}')
    with pytest.raises(ConfigError, match="another training"):
        run_stage(config, tmp_path / "other")


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_a_dry_run_writes_nothing_and_counts_the_steps(llama: Path, examples: Path, tmp_path: Path,
                                                       lora: Any) -> None:  # fmt: skip
    config = sft(llama, examples, epochs=3, lora=lora)
    found = forecast(prepare_job(config, tmp_path / "out", Progress.silent(), None))
    assert list(tmp_path.iterdir()) == []
    result = run_stage(config, tmp_path / "out")
    assert (found.steps, found.tokens) == (result.record.steps, result.record.tokens)
    assert found.rows == 16
    count = sum(tensor.numel() for tensor in weights(result).values())
    assert found.memory.weights >= 4 * count
    assert (found.memory.gradients < found.memory.weights) == (lora is not None)
    assert found.operations > 6 * count


def test_a_dry_run_of_pairs_counts_the_reference_too(llama: Path, pairs: Path,
                                                     tmp_path: Path) -> None:  # fmt: skip
    config = CaoStage(model=f"path:{llama}", data=str(pairs), max_steps=2)
    found = forecast(prepare_job(config, tmp_path / "out", None, None))
    assert (found.rows, found.steps) == (12, 2)
    assert found.facts()["memory"]["total"] == found.memory.total > 0
    none = NoneStage(model=f"path:{llama}", data=str(pairs))
    assert forecast(prepare_job(none, tmp_path / "out", None, None)).steps == 0


def test_model_and_data_must_be_named(llama: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a model to start from"):
        run_stage(SftStage(data=str(examples)), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"data[\s\S]*nothing"):
        run_stage(SftStage(model=f"path:{llama}"), tmp_path / "out")
    with pytest.raises(MissingFileError, match="no-such-data"):
        run_stage(sft(llama, Path("no-such-data")), tmp_path / "out")


def test_dev_rows_that_are_not_there_are_an_error(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "two", groups=2)
    with pytest.raises(DataError, match="dev rows"):
        run_stage(sft(llama, data, evaluate_every=1), tmp_path / "out")


def test_changed_rows_change_the_key(llama: Path, examples: Path, tmp_path: Path) -> None:
    other = stored_examples(tmp_path / "examples", groups=4)
    keys = {prepare_job(sft(llama, data), tmp_path / "out", None, None).key
            for data in (examples, other)}  # fmt: skip
    assert len(keys) == 2
    assert (other / MANIFEST).is_file()


def test_a_kill_before_the_record_goes_on_from_the_last_checkpoint(
    llama: Path, examples: Path, tmp_path: Path
) -> None:
    config = sft(llama, examples, max_steps=4, checkpoint_every=4)
    done = run_stage(config, tmp_path / "out")
    before = log(tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoints").exists()
    for name in ("stage.json", LOG):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / MARK).touch()
    again = run_stage(config, tmp_path / "out")
    assert_frame_equal(log(tmp_path / "out"), before, check_exact=True)
    assert again.record.key == done.record.key


@pytest.mark.parametrize(("changes", "kind", "message"), [
    ({"trl": {"lr_scheduler_kwargs": {"foo": 1}}}, ConfigError, "lr_scheduler_kwargs, or take it"),
    ({"optimiser": "galore_adamw"}, MissingExtraError, "galore_torch"),
])  # fmt: skip
def test_what_a_training_cannot_begin_with_is_said_of_the_config(
    changes: dict[str, Any], kind: type[Exception], message: str, llama: Path, examples: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(kind, match=message):
        run_stage(sft(llama, examples, **changes), tmp_path / "out")


DIVERGES: dict[str, Any] = {"learning_rate": 1e15, "max_steps": 1, "max_grad_norm": 0,
                            "schedule": "constant", "warmup": 0.0}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [
    ({"learning_rate": 1e38, "optimiser": "sgd", "explanation_weight": 1e6},
     "trained weights(?s:.*)diverged in its last step"),
    ({"evaluate_every": 1}, "evaluation after step 1(?s:.*)in a batch of the rows made:"),
])  # fmt: skip
def test_what_diverged_in_the_last_step_is_no_guard(
    changes: dict[str, Any], message: str, llama: Path, examples: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        run_stage(sft(llama, examples, **DIVERGES | changes), tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()


def test_a_record_that_cannot_be_read_protects_its_model(
    llama: Path, examples: Path, tmp_path: Path
) -> None:
    result = run_stage(sft(llama, examples, max_steps=1), tmp_path / "out")
    (result.folder / "MINE.txt").touch()
    record = result.out / "stage.json"
    record.write_text(record.read_text("utf-8").replace("{", '{"newer": 1,', 1), "utf-8")
    with pytest.raises(DataError, match=r"stage\.json(?s:.*)of this version"):
        run_stage(sft(llama, examples, max_steps=1, seed=5), tmp_path / "out")
    assert (result.folder / "MINE.txt").exists()


def test_why_no_row_is_left_is_said(llama: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dropped: too_long \d+(?s:.*)max_length"):
        run_stage(sft(llama, examples, max_length=16), tmp_path / "out")


def test_an_optimiser_by_another_name_is_found_before_anything_is_loaded(
    llama: Path, examples: Path, tmp_path: Path
) -> None:
    job = prepare_job(sft(llama, examples, optimiser="adamw_torhc"), tmp_path / "out", None, None)
    with pytest.raises(ConfigError, match="did you mean 'adamw_torch'"):
        forecast(job)


def test_a_licence_that_is_not_stated_is_said_so_again(
    llama: Path, examples: Path, tmp_path: Path
) -> None:
    guard = run_stage(sft(llama, examples, max_steps=1), tmp_path / "out").folder
    assert "\nlicense: other\n" in (guard / "README.md").read_text("utf-8")
    assert locate_model(f"path:{guard}").use.licence == "not stated"
