"""Supervised fine-tuning as one loop.

    loss = mean over rows of - sum over completion tokens of weight * log pi(token | what precedes)

Differences from the paper (ConsistentGuard, arXiv 2510.10677): 1. weights by segment, so that the
verdict weighs the same however long an explanation is (there: all tokens alike).
Differences from TRL's SFTTrainer: 1. the weights; 2. the sum is divided by rows, not by tokens;
3. a constant learning rate, no warm-up.
"""

from collections.abc import Sequence
from typing import Any

import torch

from whyguard.train.loops.batch import LoopConfig, Step, collate, epochs, logits_of, picked
from whyguard.train.segments import Encoded


def train_sft(model: Any, rows: Sequence[Encoded], config: LoopConfig) -> list[Step]:
    """Train `model` in place on rows; returns each step's loss and metrics.

    Metrics: `token_accuracy` (share of completion tokens that are the likeliest), `grad_norm`.
    """
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.0)
    batches = epochs(rows, config.batch_size, config.seed)
    steps = []
    model.train()
    for _ in range(config.steps):
        batch = collate(next(batches))
        logits_BSV = logits_of(model, batch)
        logps_BS = picked(logits_BSV, batch)
        loss = -(logps_BS * batch.weights_BT[:, 1:]).sum() / len(logps_BS)

        optimiser.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimiser.step()

        hits_BS = logits_BSV.argmax(-1) == batch.ids_BT[:, 1:]
        accuracy = hits_BS[batch.completion_BS].float().mean()
        steps.append(Step(loss.item(), {"token_accuracy": accuracy.item(),
                                        "grad_norm": norm.item()}))  # fmt: skip
    return steps
