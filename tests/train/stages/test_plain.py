"""train/stages/plain.py: the model's own forward gives what the fast path gives."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.train.stages.making import stored_examples, stored_pairs

from whyguard.core.errors import ConfigError
from whyguard.core.registry import load_object
from whyguard.train.config import STAGES, SftStage
from whyguard.train.stages.run import LOG, run_stage

torch.set_num_threads(1)


@pytest.mark.parametrize("base", ["llama", "gemma"])
@pytest.mark.parametrize("stage", ["sft", "cao"])
@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_own_forward_equals_fast_path_losses_1e5(
    base: str, stage: str, lora: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = (stored_pairs if stage == "cao" else stored_examples)(tmp_path / "data")
    values = {"stage": stage, "model": f"path:{request.getfixturevalue(base)}", "data": str(data),
              "learning_rate": 1e-3, "rows_a_step": 4, "lora": lora, "batch_tokens": 150,
              "max_steps": 4, "evaluate_every": 2}  # fmt: skip
    logs = []
    for share in (True, False):
        config = load_object(STAGES[stage]).model_validate({**values, "shared_preamble": share})
        run_stage(config, tmp_path / str(share))
        logs.append(pl.read_parquet(tmp_path / str(share) / LOG))
    for column in ("loss", "grad_norm", "eval_loss"):
        fast, own = (log[column].drop_nulls().to_list() for log in logs)
        assert own == pytest.approx(fast, rel=1e-4, abs=1e-5)


def _saved_mamba(folder: Path, llama: Path) -> Path:
    """A tiny model without attention, with the Llama's tokenizer."""
    from transformers import AutoTokenizer, MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.save_pretrained(folder)
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1,
                         state_size=4, intermediate_size=32, pad_token_id=0)  # fmt: skip
    MambaForCausalLM(config).save_pretrained(folder)
    return folder


def test_models_of_another_kind_train_by_their_own_forward(llama: Path, tmp_path: Path) -> None:
    model = _saved_mamba(tmp_path / "mamba", llama)
    config = SftStage(model=f"path:{model}", data=str(stored_examples(tmp_path / "data")),
                      max_steps=12, learning_rate=1e-3)  # fmt: skip
    with pytest.raises(ConfigError, match="shared_preamble: false"):
        run_stage(config, tmp_path / "out")
    run_stage(config.model_copy(update={"shared_preamble": False}), tmp_path / "out")
    losses = pl.read_parquet(tmp_path / "out" / LOG)["loss"].to_list()
    assert sum(losses[-4:]) < sum(losses[:4])
