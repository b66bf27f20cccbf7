"""Direct preference optimisation as one loop: CAO's baseline, on the same pairs.

    loss = mean over rows of
           -log sigmoid(beta * (log pi(y_w|x)/ref(y_w|x) - log pi(y_l|x)/ref(y_l|x)))

Source: Rafailov et al. (2023), arXiv 2305.18290, equation 7; the reference is the model as it came.

Differences from TRL's DPOTrainer: 1. a constant learning rate, no warm-up; 2. chosen and rejected
rows are two forward passes instead of one of twice the rows. The loss is the same.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from whyguard.train.loops.batch import LoopConfig, Step, collate, epochs, row_logps
from whyguard.train.loops.pairs import Pair


def train_dpo(model: Any, pairs: Sequence[Pair], config: LoopConfig,
              beta: float = 0.1) -> list[Step]:  # fmt: skip
    """Train `model` in place on pairs; returns each step's loss and metrics.

    Metrics: `accuracy` (share of pairs with a margin above 0), `margin` (mean), `grad_norm`.
    """
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.0)
    batches = epochs(pairs, config.batch_size, config.seed)
    steps = []
    model.train()
    for _ in range(config.steps):
        rows = next(batches)
        chosen, rejected = (collate([row[side] for row in rows]) for side in (0, 1))
        chosen_ratio_B = row_logps(model, chosen) - row_logps(reference, chosen)
        rejected_ratio_B = row_logps(model, rejected) - row_logps(reference, rejected)
        margins_B = beta * (chosen_ratio_B - rejected_ratio_B)
        loss = torch.nn.functional.softplus(-margins_B).mean()  # -log sigmoid(x) = log(1 + e^-x)

        optimiser.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimiser.step()

        steps.append(Step(loss.item(), {"accuracy": (margins_B > 0).float().mean().item(),
                                        "margin": margins_B.mean().item(),
                                        "grad_norm": norm.item()}))  # fmt: skip
    return steps
