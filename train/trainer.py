"""TRL's SFT trainer with per-token loss weights and completion-only vocabulary projection.

Imported only by code that trains: it needs torch, transformers, trl, peft and datasets.

Differences from TRL 1.16's SFTTrainer:
1. loss = sum over tokens of weight * NLL, divided by the rows of the optimiser step (TRL: mean
   over completion tokens), so that a long explanation does not outweigh verdicts;
2. only positions with a weight are projected to the vocabulary (on one process);
3. rows are taken in the order they are listed: the caller lists every epoch's permutation, so
   that arms whose rows differ in length still see the same rows at the same step;
4. no model card of TRL's own is written.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from whyguard.core.progress import Task
from whyguard.train.segments import IGNORED, Encoded


class Settings(NamedTuple):
    """What the trainer needs besides model and rows."""

    learning_rate: float
    batch_size: int
    accumulation: int
    warmup: float
    bf16: bool
    seed: int
    use_cpu: bool
    save_steps: int


class PadRight:
    """Pads a batch on the right; the mask follows lengths, not the pad token."""

    def __init__(self, pad_id: int) -> None:
        self._pad = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors (B, T) of ids, mask, labels and loss weights."""
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(key: str, fill: float, dtype: torch.dtype) -> Tensor:
            lists = [list(row[key]) + [fill] * (longest - len(row[key])) for row in rows]
            return torch.tensor(lists, dtype=dtype)

        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        return {
            "input_ids": padded("input_ids", self._pad, torch.long),
            "attention_mask": (torch.arange(longest)[None] < lengths[:, None]).long(),
            "labels": padded("labels", IGNORED, torch.long),
            "loss_weights": padded("loss_weights", 0.0, torch.float32),
        }


def weighted_nll(logps_N: Tensor, weights_N: Tensor, rows: int | Tensor) -> Tensor:
    """- sum of weight * log-probability, a row: the loss of one batch."""
    return -(logps_N * weights_N).sum() / rows


def completion_logps(model: Any, input_ids_B_T: Tensor, attention_mask_B_T: Tensor,
                     selected_B_T: Tensor) -> Tensor:  # fmt: skip
    """Log-probabilities (N,) of the selected target tokens, in fp32.

    The decoder runs on everything, the output head only at the N positions before a selected
    token.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden_B_T_D = base.get_decoder()(
        input_ids=input_ids_B_T, attention_mask=attention_mask_B_T, use_cache=False
    ).last_hidden_state
    chosen = selected_B_T[:, 1:]
    logits_N_V = base.get_output_embeddings()(hidden_B_T_D[:, :-1][chosen]).float()
    cap = getattr(base.config, "final_logit_softcapping", None)
    if cap:
        logits_N_V = torch.tanh(logits_N_V / cap) * cap
    return _picked(logits_N_V, input_ids_B_T[:, 1:][chosen])


def full_logps(model: Any, input_ids_B_T: Tensor, attention_mask_B_T: Tensor,
               selected_B_T: Tensor) -> Tensor:  # fmt: skip
    """The same through the model's own forward: keeps the hooks of distributed wrappers."""
    logits_B_T_V = model(input_ids=input_ids_B_T, attention_mask=attention_mask_B_T).logits
    chosen = selected_B_T[:, 1:]
    return _picked(logits_B_T_V[:, :-1][chosen].float(), input_ids_B_T[:, 1:][chosen])


def _picked(logits_N_V: Tensor, targets_N: Tensor) -> Tensor:
    chosen_N = logits_N_V.gather(1, targets_N[:, None])[:, 0]
    return chosen_N - torch.logsumexp(logits_N_V, -1)


class SegmentTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no type hints
    """SFTTrainer with the four differences of the module's docstring."""

    loss_is_scaled_for_ga = True

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: list[str] = self._signature_columns
        if "loss_weights" not in columns:
            self._signature_columns: list[str] = [*columns, "loss_weights"]

    def _get_num_items_in_batch(self, batch_samples: Any, device: Any) -> Tensor:
        return torch.tensor(sum(len(b["input_ids"]) for b in batch_samples), device=device)

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False,
                     num_items_in_batch: Tensor | None = None) -> Any:  # fmt: skip
        """Weighted loss of one batch; num_items_in_batch counts rows of the optimiser step."""
        weights_B_T = inputs["loss_weights"]
        selected_B_T = weights_B_T > 0
        alone = self.accelerator.num_processes == 1
        target = self.accelerator.unwrap_model(model) if alone else model
        logps = completion_logps if alone else full_logps
        kind = inputs["input_ids"].device.type
        with torch.autocast(kind, torch.bfloat16, enabled=bool(self.args.bf16)):
            logps_N = logps(target, inputs["input_ids"], inputs["attention_mask"], selected_B_T)
        rows = len(weights_B_T) if num_items_in_batch is None else num_items_in_batch
        loss = weighted_nll(logps_N, weights_B_T[:, 1:][selected_B_T[:, 1:]], rows)
        self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return (loss, {}) if return_outputs else loss

    def resume_tokens(self, seen: int) -> None:
        """Count on from `seen` tokens: a checkpoint does not restore TRL's counter."""
        self._total_train_tokens = seen

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the guard's own card is written last."""


class StepBar(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Shows optimiser steps with rate and time left."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step done."""
        self._task.advance(state.global_step - self._seen)
        self._seen = state.global_step


def make_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    settings: Settings,
    folder: Path,
    lora: dict[str, Any] | None,
    task: Task,
) -> SegmentTrainer:
    """A trainer over rows in the order given; checkpoints go below `folder`."""
    args = SFTConfig(
        output_dir=str(folder), num_train_epochs=1, train_sampling_strategy="sequential",
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate, lr_scheduler_type="linear",
        warmup_steps=settings.warmup, optim="adamw_torch", seed=settings.seed,
        bf16=settings.bf16, use_cpu=settings.use_cpu, gradient_checkpointing=False,
        save_strategy="steps", save_steps=settings.save_steps, save_total_limit=1,
        logging_steps=1, logging_first_step=True, report_to=[], disable_tqdm=True,
        max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False, dataloader_pin_memory=False, push_to_hub=False,
    )  # fmt: skip
    adapter = (
        LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", **lora) if lora else None
    )
    trainer = SegmentTrainer(
        model=model, args=args, processing_class=tokenizer, peft_config=adapter,
        train_dataset=Dataset.from_list([row._asdict() for row in rows]),
        data_collator=PadRight(tokenizer.pad_token_id), callbacks=[StepBar(task)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer
