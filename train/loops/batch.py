"""What the loops share: padded batches, log-probabilities, sampling, verdicts of a toy model."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from whyguard.core.values import Label
from whyguard.train.loops import toy
from whyguard.train.rewards.parts import read_parts
from whyguard.train.segments import Encoded

T = TypeVar("T")


class Step(NamedTuple):
    """What one optimiser step reports."""

    loss: float
    metrics: dict[str, float]


class LoopConfig(NamedTuple):
    """What all loops need."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    max_grad_norm: float = 1.0


class Batch(NamedTuple):
    """B rows padded on the right to T tokens."""

    ids_BT: Tensor
    attention_BT: Tensor
    weights_BT: Tensor
    """Loss weight of each token; 0 in the prompt and in the padding."""

    @property
    def completion_BS(self) -> Tensor:  # noqa: N802
        """Whether the token after each of the S = T - 1 positions belongs to the completion."""
        return self.weights_BT[:, 1:] > 0


def collate(rows: Sequence[Encoded]) -> Batch:
    """Rows of different lengths as one batch."""
    size = max(len(row.input_ids) for row in rows)

    def padded(values: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor([[*row, *[0] * (size - len(row))] for row in values])

    return Batch(padded([row.input_ids for row in rows]),
                 padded([[1] * len(row.input_ids) for row in rows]),
                 padded([row.loss_weights for row in rows]))  # fmt: skip


def logits_of(model: Any, batch: Batch) -> Tensor:
    """Logits (B, S, V) of the token after each of the S = T - 1 first positions."""
    out = model(input_ids=batch.ids_BT, attention_mask=batch.attention_BT, use_cache=False)
    logits_BTV: Tensor = out.logits
    return logits_BTV[:, :-1]


def picked(logits_BSV: Tensor, batch: Batch) -> Tensor:
    """Log-probability (B, S) of the tokens that follow."""
    targets_BS1 = batch.ids_BT[:, 1:, None]
    return logits_BSV.float().log_softmax(-1).gather(2, targets_BS1)[..., 0]


def row_logps(model: Any, batch: Batch) -> Tensor:
    """Summed log-probability (B,) of each row's completion."""
    logps_BS = picked(logits_of(model, batch), batch)
    return (logps_BS * batch.completion_BS).sum(1)


def epochs(items: Sequence[T], size: int, seed: int) -> Iterator[list[T]]:
    """Batches without end: each epoch in an order of its own, the last short batch left out."""
    generator = torch.Generator().manual_seed(seed)
    size = min(size, len(items))
    while True:
        order = torch.randperm(len(items), generator=generator).tolist()
        for start in range(0, len(items) - size + 1, size):
            yield [items[i] for i in order[start : start + size]]


@torch.no_grad()
def sample(model: Any, prompts: Sequence[Sequence[int]], new_tokens: int, temperature: float,
           generator: torch.Generator | None = None) -> list[list[int]]:  # fmt: skip
    """One completion a prompt, end token included; temperature 0 is greedy."""
    size = max(len(prompt) for prompt in prompts)
    ids_BT = torch.tensor([[toy.PAD] * (size - len(p)) + list(p) for p in prompts])
    mask_BT = torch.tensor([[0] * (size - len(p)) + [1] * len(p) for p in prompts])
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    written: list[Tensor] = []
    done_B = torch.zeros(len(prompts), dtype=torch.bool)
    cache = None
    while len(written) < new_tokens and not done_B.all():
        out = model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT,
                    past_key_values=cache, use_cache=True)  # fmt: skip
        cache = out.past_key_values
        next_B = _chosen(out.logits[:, -1], temperature, generator).masked_fill(done_B, toy.PAD)
        written.append(next_B)
        done_B |= next_B == toy.EOS
        ids_BT, positions_BT = next_B[:, None], positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, torch.ones_like(next_B)[:, None]], 1)
    return [_ended(row) for row in torch.stack(written, 1).tolist()]


def _chosen(logits_BV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits_BV.argmax(-1)
    chances_BV = (logits_BV.double() / temperature).softmax(-1)
    return torch.multinomial(chances_BV, 1, generator=generator)[:, 0]


def _ended(ids: list[int]) -> list[int]:
    return ids[: ids.index(toy.EOS) + 1] if toy.EOS in ids else ids


def verdict(completion: Sequence[int]) -> Label | None:
    """The verdict that a completion states, None if it states none."""
    return read_parts(toy.text_of(completion)).verdict


def verdict_accuracy(model: Any, found: Sequence[toy.Family], speech: toy.Speech) -> float:
    """Share of families whose prompt gets the right verdict, decoded greedily with its thinking."""
    written = sample(model, [toy.prompt_ids(family, speech) for family in found], 16, 0.0)
    right = [verdict(ids) == family.label for ids, family in zip(written, found, strict=True)]
    return sum(right) / len(right)
