"""train/trainer.py: the weighted loss against transformers' own, and gradient accumulation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.conftest import example_rows

from whyguard.core.progress import Progress
from whyguard.core.values import Arm
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import encode_prompt
from whyguard.generation.models import load_model
from whyguard.train.segments import Encoded, arm_segments, encode_row
from whyguard.train.trainer import (
    PadRight,
    Settings,
    completion_logps,
    full_logps,
    make_trainer,
    weighted_nll,
)

PLAIN = Settings(learning_rate=1e-3, batch_size=4, accumulation=1, warmup=0.0, bf16=False, seed=0,
                 use_cpu=True, save_steps=1000)  # fmt: skip


def _rows(tokenizer: Any, uniform: bool = False) -> list[Encoded]:
    template = prompt_template("request-v1")
    rows = [
        encode_row(tokenizer, encode_prompt(tokenizer, template, row["text"]),
                   arm_segments(Arm.EXPLAINED, row, 1.0))
        for row in example_rows(2)
    ]  # fmt: skip
    if not uniform:
        return rows
    tokens = sum(weight > 0 for row in rows for weight in row.loss_weights)
    each = len(rows) / tokens
    return [r._replace(loss_weights=[each * (w > 0) for w in r.loss_weights]) for r in rows]


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_uniform_weights_give_the_plain_loss(base: str, request: pytest.FixtureRequest) -> None:
    loaded = load_model(f"path:{request.getfixturevalue(base)}", device="cpu")
    rows = _rows(loaded.tokenizer, uniform=True)
    batch = PadRight(loaded.tokenizer.pad_token_id)([row._asdict() for row in rows])
    weights_B_T = batch.pop("loss_weights")
    selected = weights_B_T > 0
    logps = completion_logps(loaded.model, batch["input_ids"], batch["attention_mask"], selected)
    ours = weighted_nll(logps, weights_B_T[:, 1:][selected[:, 1:]], len(rows))
    plain = loaded.model(**batch).loss
    assert ours.item() == pytest.approx(plain.item(), abs=1e-5)


def test_projecting_few_positions_equals_projecting_all(gemma: Path) -> None:
    loaded = load_model(f"path:{gemma}", device="cpu")
    batch = PadRight(0)([row._asdict() for row in _rows(loaded.tokenizer)])
    given = (loaded.model, batch["input_ids"], batch["attention_mask"], batch["loss_weights"] > 0)
    assert torch.allclose(completion_logps(*given), full_logps(*given), atol=1e-5)


def test_padding_follows_lengths_not_the_pad_token() -> None:
    rows = [Encoded([5, 0, 0], [-100, 0, 0], [0, 1, 1]), Encoded([5], [-100], [0])]
    batch = PadRight(0)([row._asdict() for row in rows])
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 0, 0], [-100, -100, -100]]


def _trained(folder: Path, base: Path, settings: Settings, rows: int = 8) -> tuple[Any, Any]:
    loaded = load_model(f"path:{base}", device="cpu")
    with Progress.silent().task("train", 1) as task:
        trainer = make_trainer(loaded.model, loaded.tokenizer, _rows(loaded.tokenizer)[:rows],
                               settings, folder, None, task)  # fmt: skip
        trainer.train()
    return trainer, trainer.model


def test_accumulation_equals_one_large_batch(tmp_path: Path, llama: Path) -> None:
    _, large = _trained(tmp_path / "a", llama, PLAIN)
    _, small = _trained(tmp_path / "b", llama, PLAIN._replace(batch_size=2, accumulation=2))
    for one, other in zip(large.parameters(), small.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-5)


def test_logged_loss_is_the_weighted_loss_a_row(tmp_path: Path, llama: Path) -> None:
    loaded = load_model(f"path:{llama}", device="cpu")
    rows = _rows(loaded.tokenizer)[:4]
    by_hand = []
    for row in rows:
        ids = torch.tensor([row.input_ids])
        logps = loaded.model(ids).logits[0].log_softmax(-1)
        by_hand.append(-sum(row.loss_weights[t] * logps[t - 1, row.input_ids[t]].item()
                            for t in range(1, len(row.input_ids))))  # fmt: skip
    trainer, _ = _trained(tmp_path, llama, PLAIN, rows=4)
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged[0] == pytest.approx(sum(by_hand) / 4, abs=1e-3)


def test_rows_are_seen_in_the_order_given(tmp_path: Path, llama: Path) -> None:
    loaded = load_model(f"path:{llama}", device="cpu")
    rows = _rows(loaded.tokenizer)
    with Progress.silent().task("train", 1) as task:
        trainer = make_trainer(loaded.model, loaded.tokenizer, rows, PLAIN, tmp_path, None, task)
    seen = [ids for batch in trainer.get_train_dataloader() for ids in batch["input_ids"].tolist()]
    for row, ids in zip(rows, seen, strict=True):
        assert ids[: len(row.input_ids)] == row.input_ids
