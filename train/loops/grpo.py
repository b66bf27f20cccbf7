"""Group relative policy optimisation as one loop.

For each prompt a group of completions is sampled and rewarded; a completion's advantage is its
reward less the group's mean, over the group's standard deviation; then

    loss = - sum over completion tokens of
           min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A) / tokens

This is TRL's default, loss_type "dapo" with beta 0 (no divergence from a reference): the sum over
all tokens of the batch is divided by their number, so that a token weighs the same in long and
short completions. `ratio` is the token's probability over the one it was sampled with; in the first
iteration on a batch it is 1, and the gradient is the plain policy gradient.

Source: Shao et al. (2024), arXiv 2402.03300; DAPO (arXiv 2503.14476) for the sum.

Differences from the paper (ConsistentGuard, arXiv 2510.10677): 1. the loss above, where its code
averages within rows first, and holds on to a reference by a divergence; 2. the rewards of
`train.rewards`. Differences from TRL's GRPOTrainer: 1. a constant learning rate; 2. one upper and
lower clip.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whyguard.train.loops import toy
from whyguard.train.loops.batch import LoopConfig, Step, collate, epochs, logits_of, picked, sample
from whyguard.train.rewards.config import PAPER_UNIT, RewardConfig
from whyguard.train.rewards.groups import count_groups
from whyguard.train.rewards.score import Case, Measures, score

Reward = Callable[[toy.Family, str], float | None]
"""(family, completion as text) -> its reward."""
TOY_REWARDS = PAPER_UNIT.model_copy(update={"best_length": 3})
_SMALL = 1e-4
"""What TRL adds to a standard deviation before it divides by it."""


class Prompt(NamedTuple):
    """A prompt to sample on."""

    family: toy.Family
    speech: toy.Speech


class Sampling(NamedTuple):
    """How groups are sampled and used."""

    group: int = 8
    temperature: float = 1.0
    new_tokens: int = 20
    iterations: int = 1
    """Optimiser steps on each batch of samples."""
    epsilon: float = 0.2


def toy_reward(family: toy.Family, text: str, config: RewardConfig = TOY_REWARDS) -> float | None:
    """The guard's own rewards of a toy completion; a word is a token, best are 3 of them."""
    measures = Measures(count_tokens=lambda think: len(think.split()))
    return score(text, Case(family.label), config, measures).total


def train_grpo(model: Any, prompts: Sequence[Prompt], config: LoopConfig, sampling: Sampling,
               reward: Reward = toy_reward) -> list[Step]:  # fmt: skip
    """Train `model` in place; `config.batch_size` counts prompts, so B = batch_size * group.

    Metrics: `reward` (mean), `idle_groups` (groups whose rewards are all equal, or that have fewer
    than two), `clipped` (share of tokens whose ratio is clipped), `grad_norm`.
    """
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.0)
    batches = epochs(prompts, config.batch_size, config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    steps: list[Step] = []
    while len(steps) < config.steps:
        drawn = [prompt for prompt in next(batches) for _ in range(sampling.group)]
        asked = [toy.prompt_ids(*prompt) for prompt in drawn]
        model.eval()
        written = sample(model, asked, sampling.new_tokens, sampling.temperature, generator)
        rewards = [reward(prompt.family, toy.text_of(ids))
                   for prompt, ids in zip(drawn, written, strict=True)]  # fmt: skip
        counts = count_groups(rewards, sampling.group)
        advantages_B = group_advantages(rewards, sampling.group)
        batch = collate([toy.encode(prompt, [(ids, float(len(ids)))])
                         for prompt, ids in zip(asked, written, strict=True)])  # fmt: skip
        mask_BS = batch.completion_BS
        model.train()
        old_logps_BS: Tensor | None = None
        for _ in range(sampling.iterations):
            logps_BS = picked(logits_of(model, batch) / sampling.temperature, batch)
            old_logps_BS = logps_BS.detach() if old_logps_BS is None else old_logps_BS
            loss, clipped = policy_loss(logps_BS, old_logps_BS, advantages_B, mask_BS,
                                        sampling.epsilon)  # fmt: skip

            optimiser.zero_grad()
            torch.autograd.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimiser.step()

            steps.append(Step(loss.item(), {
                "reward": _mean(rewards), "idle_groups": float(counts.equal + counts.unscored),
                "clipped": clipped.item(), "grad_norm": norm.item()}))  # fmt: skip
    return steps[: config.steps]


class PolicyLoss(NamedTuple):
    """Two scalars."""

    loss: Tensor
    clipped: Tensor
    """Share of tokens whose ratio is outside the clip."""


def policy_loss(logps_BS: Tensor, old_logps_BS: Tensor, advantages_B: Tensor, mask_BS: Tensor,
                epsilon: float) -> PolicyLoss:  # fmt: skip
    """The loss of the module's docstring, from log-probabilities now and when sampled."""
    ratio_BS = torch.exp(logps_BS - old_logps_BS)
    clipped_BS = ratio_BS.clamp(1 - epsilon, 1 + epsilon)
    gain_BS = torch.min(ratio_BS * advantages_B[:, None], clipped_BS * advantages_B[:, None])
    loss = -(gain_BS * mask_BS).sum() / mask_BS.sum()
    return PolicyLoss(loss, (clipped_BS != ratio_BS)[mask_BS].float().mean())


def group_advantages(rewards: Sequence[float | None], size: int) -> Tensor:
    """(reward - mean) / (standard deviation + 1e-4) within groups of `size` neighbours, (B,).

    None (no reward applies) is left out of both, and has the advantage 0.
    """
    groups = [rewards[start : start + size] for start in range(0, len(rewards), size)]
    return torch.cat([_advantages(group) for group in groups])


def _advantages(group: Sequence[float | None]) -> Tensor:
    known_R = torch.tensor([reward for reward in group if reward is not None])
    spread = known_R.std() if len(known_R) > 1 else torch.tensor(0.0)
    return torch.tensor([0.0 if reward is None else
                         ((reward - known_R.mean()) / (spread + _SMALL)).item()
                         for reward in group])  # fmt: skip


def _mean(rewards: Sequence[float | None]) -> float:
    known = [reward for reward in rewards if reward is not None]
    return sum(known) / len(known) if known else float("nan")
