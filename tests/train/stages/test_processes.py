"""Two gloo processes, started by `accelerate launch`, equal one process; the first one writes."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tests.train.pair_making import written_pipeline
from tests.train.stages.making import stored_examples, stored_pairs

from whyguard.core.registry import load_object
from whyguard.train.config import STAGES
from whyguard.train.stages.run import LOG, run_stage

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "recipes" / "accelerate"
pytestmark = pytest.mark.slow


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _launch(config: Path, out: Path, recipe: str = "cpu") -> None:
    _launch_all(["tests.train.stages.killed", str(config), str(out)], recipe)


def _launch_all(words: list[str], recipe: str = "cpu") -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file",
               str(RECIPES / f"{recipe}.yaml"), "--main_process_port", str(_port()),
               "--num_processes", "2", "--mixed_precision", "no", "-m", *words]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1",
                   "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    if recipe == "cpu":
        environment["ACCELERATE_USE_CPU"] = "true"
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=240,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-3000:]


@pytest.mark.parametrize("kind", ["sft-full", "sft-lora", "cao-full"])
def test_two_processes_equal_one_losses_1e5_weights_1e5(kind: str, llama: Path,
                                                        tmp_path: Path) -> None:  # fmt: skip
    stage, _, how = kind.partition("-")
    data = (stored_pairs if stage == "cao" else stored_examples)(tmp_path / "data")
    # 5 rows a step and small batches: processes have unlike numbers of forward passes
    values: dict[str, Any] = {
        "stage": stage, "model": f"path:{llama}", "data": str(data), "learning_rate": 1e-3,
        "rows_a_step": 5, "epochs": 2, "batch_tokens": 60, "evaluate_every": 2,
        "checkpoint_every": 3, "lora": {"r": 4} if how == "lora" else None,
    }  # fmt: skip
    alone = run_stage(load_object(STAGES[stage]).model_validate(values), tmp_path / "alone")
    (tmp_path / "config.json").write_text(json.dumps(values))
    _launch(tmp_path / "config.json", tmp_path / "both")
    logs = [pl.read_parquet(tmp_path / name / LOG) for name in ("alone", "both")]
    for column in ("loss", "eval_loss", "grad_norm", "tokens"):
        one, two = (log[column].drop_nulls().to_list() for log in logs)
        assert two == pytest.approx(one, rel=1e-5, abs=1e-5)
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors")
                     for name in ("alone", "both"))  # fmt: skip
    worst = max(float((first[name] - second[name]).abs().max()) for name in first)
    assert worst < 1e-5
    assert worst > 0, "two processes add up in another order: equal bits mean that only one ran"
    record = json.loads((tmp_path / "both" / "stage.json").read_text())
    assert (record["key"], record["best_step"]) == (alone.record.key, alone.record.best_step)
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        "model", LOG, "dropped.parquet", "stage.json"}  # fmt: skip


def test_a_pipeline_on_two_processes_waits_for_what_the_first_one_writes(tmp_path: Path) -> None:
    stages = ("  sft: {max_steps: 1}\n"
              "  pairs: {samples: 4, temperature: 1.0, max_new_tokens: 24}\n  none: {}\n"
              "  late: {stage: dpo, after: none, max_steps: 1}\n"
              "  again: {stage: none, after: late}\n  last: {stage: cao, after: again, "
              "max_steps: 1}\n")  # fmt: skip
    path, out = written_pipeline(tmp_path / "in", stages), tmp_path / "out"
    for _ in range(2):  # the second time all is reused
        _launch_all(["whyguard.core.cli", "train", "pipeline", str(path), "--out", str(out)])
    # pairs are there, what follows is not: the processes count one another all the same
    shutil.rmtree(out / "last")
    _launch_all(["whyguard.core.cli", "train", "pipeline", str(path), "--out", str(out)])
    names = ("sft", "none", "late", "again", "last")
    assert all((out / name / "stage.json").is_file() for name in names)


@pytest.mark.parametrize("name", ["cpu", "gpu1_bf16", "ddp", "fsdp2", "zero3"])
def test_the_launcher_reads_our_configs(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(RECIPES / f"{name}.yaml"))
    assert found.num_machines == 1
    assert (found.num_processes > 1) == (name != "gpu1_bf16")


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_gpus_equal_one_losses_1e4(name: str, llama: Path, tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"{name} needs two GPUs, this machine has {torch.cuda.device_count()}; FSDP on "
                    "CPUs is tested in tests/train/fast, for accelerate refuses it")  # fmt: skip
    data = stored_examples(tmp_path / "data")
    values = {"stage": "sft", "model": f"path:{llama}", "data": str(data), "rows_a_step": 5,
              "learning_rate": 1e-3, "batch_tokens": 60, "evaluate_every": 2}  # fmt: skip
    run_stage(load_object(STAGES["sft"]).model_validate(values), tmp_path / "alone")
    (tmp_path / "config.json").write_text(json.dumps(values))
    _launch(tmp_path / "config.json", tmp_path / "both", name)
    one, two = (pl.read_parquet(tmp_path / out / LOG)["loss"].to_list()
                for out in ("alone", "both"))  # fmt: skip
    assert two == pytest.approx(one, abs=1e-4)
