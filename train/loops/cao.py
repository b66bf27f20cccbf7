"""Constrained alignment optimisation as one loop: DPO in T, and an anchor in E.

The loss is `train.cao.cao_loss`; the reference is the model as it came, run live at every step.

Differences from the paper (ConsistentGuard, arXiv 2510.10677): those that `train.cao` numbers.
Differences from TRL's DPOTrainer: those of the loop `dpo`, and the anchor.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from whyguard.train.cao import anchor_kl, cao_loss
from whyguard.train.loops.batch import LoopConfig, Step, collate, epochs, logits_of, row_logps
from whyguard.train.loops.pairs import Pair


def train_cao(model: Any, pairs: Sequence[Pair], config: LoopConfig, beta: float = 0.1,
              lam: float = 1.0) -> list[Step]:  # fmt: skip
    """Train `model` in place on pairs; returns each step's loss and metrics.

    Metrics: `preference` (the DPO loss), `anchor` (nats a token), `accuracy`, `margin`,
    `grad_norm`.
    """
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.0)
    batches = epochs(pairs, config.batch_size, config.seed)
    steps = []
    model.train()
    for _ in range(config.steps):
        rows = next(batches)
        chosen, rejected = (collate([row[side] for row in rows]) for side in (0, 1))
        found = cao_loss(
            row_logps(model, chosen), row_logps(model, rejected),
            row_logps(reference, chosen), row_logps(reference, rejected),
            anchor_divergence(model, reference, rows), beta, lam,
        )  # fmt: skip

        optimiser.zero_grad()
        torch.autograd.backward(found.loss)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimiser.step()

        steps.append(Step(found.loss.item(), {
            "preference": found.preference.item(), "anchor": found.anchor.item(),
            "accuracy": found.accuracy.item(), "margin": found.margins_B.mean().item(),
            "grad_norm": norm.item()}))  # fmt: skip
    return steps


def anchor_divergence(model: Any, reference: Any, pairs: Sequence[Pair]) -> Tensor:
    """KL(reference || model) (B,) on the anchors' completion tokens, nats a token."""
    anchors = collate([pair.anchor for pair in pairs])
    with torch.no_grad():
        ref_logits_BSV = logits_of(reference, anchors)
    return anchor_kl(logits_of(model, anchors), ref_logits_BSV, anchors.completion_BS)
