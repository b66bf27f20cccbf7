"""The GRPO stage on two processes (gloo, on the CPU) is the stage on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from tests.train.judging import judging_llama
from tests.train.stages.making import stored_examples

from whyguard.generation.models import load_model
from whyguard.train.stages.grpo_config import GrpoStage
from whyguard.train.stages.grpo_rewards import COMPLETIONS, read_completions
from whyguard.train.stages.run import LOG, MODEL, read_record, run_stage

ROOT = Path(__file__).resolve().parents[3]


SPREAD = json.dumps({"rows_a_step": 1, "generations": 2, "aggregation": "normalize_then_sum"})
"""Two processes share each group."""


def train(model: str, data: str, out: str, changes: str) -> None:
    """What each process runs."""
    torch.set_num_threads(1)
    config = GrpoStage.model_validate({
        "model": f"path:{model}", "data": data, "arm": "refusal_only", "max_steps": 3,
        "completion_length": 24, "max_length": 128, "temperature": 1.0, "learning_rate": 1e-3,
        "prefill_think": False, "evaluate_every": 2, "dev_limit": 7,
        **json.loads(changes)})  # fmt: skip
    run_stage(config, Path(out))


@pytest.mark.slow
@pytest.mark.parametrize("changes", ["{}", SPREAD], ids=["whole", "shared"])
def test_two_processes_equal_one_loss_1e_6_weights_1e_5(changes: str, tmp_path: Path) -> None:
    model, data = judging_llama(tmp_path / "model"), stored_examples(tmp_path / "data")
    train(str(model), str(data), str(tmp_path / "one"), changes)
    words = [str(Path(__file__)), str(model), str(data), str(tmp_path / "two"), changes]
    told = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
                         "PYTHONPATH": f"{ROOT}:{ROOT / '.dev'}"}  # fmt: skip
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, *words], env=told, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (pl.read_parquet(tmp_path / name / LOG) for name in ("one", "two"))
    assert two["loss"].to_list() == pytest.approx(one["loss"].to_list(), abs=1e-6)
    assert two["groups/equal"].to_list() == one["groups/equal"].to_list()
    # 7 dev prompts: one process has one more than the other
    assert two["eval_reward"].to_list() == pytest.approx(one["eval_reward"].to_list(), abs=1e-6)
    assert one["eval_prompts"].drop_nulls().to_list() == [7.0, 7.0]
    best = [read_record(tmp_path / name) for name in ("one", "two")]
    assert best[0] and best[1] and best[0].best_step == best[1].best_step is not None
    assert len(list((tmp_path / "two" / COMPLETIONS).glob("step-*-1.parquet"))) == 3
    written = [read_completions(tmp_path / name / COMPLETIONS) for name in ("one", "two")]
    columns = ["step", "example_id", "completion", "total"]
    assert written[1].select(columns).sort(columns).equals(written[0].select(columns).sort(columns))
    weights = [load_model(f"path:{tmp_path / name / MODEL}", device="cpu").model.state_dict()
               for name in ("one", "two")]  # fmt: skip
    for name in weights[0]:
        assert torch.allclose(weights[0][name], weights[1][name], atol=1e-5)


if __name__ == "__main__":
    train(*sys.argv[1:])
