"""The decoding loop of the in-process teacher.

A loop of its own rather than transformers' `generate`, which can neither drop rows that have ended
nor draw each row from a stream of its own, copies the key-value cache at each token, and pads a
shared prefix in a way that is not exact for sliding windows. Its continuous batching
(`generate_batch`) takes no grammar and no seed a row, and is made for GPUs: on a CPU it took 9 GB
and had not answered 16 prompts of a 135M model with 16 tokens each after 72 CPU-seconds; this loop
wrote 12 tokens for each in 6.

Of a model's generation config only the end tokens are used: what shapes an answer stands in the
teacher's config.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from whyguard.core.errors import ConfigError, fail
from whyguard.core.optional import require
from whyguard.generation.teachers.local_grammar import Follower

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from whyguard.generation.teachers.local_cache import Prefix

_DROP_SHARE = 0.25
"""Rows are dropped when this share of those in the batch has ended: dropping copies the rest. It
saved 4 % of the CPU time of 16 traces that ended after 59 of 80 tokens on average."""


class Sampling(NamedTuple):
    """How tokens are chosen; temperature 0 takes the most probable one."""

    temperature: float
    top_p: float
    max_new_tokens: int
    logprobs: bool
    ends: frozenset[int]


@dataclass(slots=True)
class Row:
    """One prompt and what was written after it."""

    prompt: list[int]
    seed: int
    follower: Follower | None = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None
    """stop, length; None while it is being written."""

    def take(self, token: int, logprob: float | None, sampling: Sampling) -> None:
        """Add a token; the row ends at an end token, a complete grammar, or its length."""
        self.ids.append(token)
        if logprob is not None:
            self.logprobs.append(logprob)
        complete = self.follower.take(token) if self.follower else False
        if complete or token in sampling.ends:
            self.finish = "stop"
        elif len(self.ids) >= sampling.max_new_tokens:
            self.finish = "length"


def decode(model: Any, rows: Sequence[Row], sampling: Sampling, prefix: "Prefix | None", *,
           roomy: bool) -> None:  # fmt: skip
    """Write after each row's prompt, until all have ended.

    Rows are padded on the left, as in a batch without a prefix: the prefix's keys and values are
    moved right by the row's padding. So the window of sliding layers covers the same tokens as it
    does for the prompt alone.

    Args:
        model: a causal language model in evaluation mode.
        rows: B prompts; each is changed in place.
        sampling: how tokens are chosen.
        prefix: what every prompt begins with, already run; needs `roomy`.
        roomy: the model's cache may be replaced (`local_cache.can_share`).
    """
    torch = require("torch", "generate")
    batch = _Batch(model, rows, sampling.max_new_tokens, prefix, roomy=roomy)
    streams = {id(row): torch.Generator().manual_seed(row.seed) for row in rows}
    logits_B_V = batch.begin()
    while True:
        tokens = _choose(logits_B_V, batch.rows, sampling, streams)
        if all(row.finish for row in batch.rows):
            return
        logits_B_V = batch.step(tokens)


class _Batch:
    """The rows that are in the model's cache, with mask (B, room) and positions."""

    def __init__(self, model: Any, rows: Sequence[Row], new: int, prefix: "Prefix | None", *,
                 roomy: bool) -> None:  # fmt: skip
        torch = require("torch", "generate")
        self.rows = list(rows)
        self._model, self._roomy, self._prefix = model, roomy, prefix
        self._asked = inspect.signature(model.forward).parameters
        width = max(len(row.prompt) for row in rows)
        self._shifts = [width - len(row.prompt) for row in rows]
        self._ids_B_T = torch.tensor([[0] * shift + row.prompt for row, shift
                                      in zip(rows, self._shifts, strict=True)],
                                     device=model.device)  # fmt: skip
        self._mask_B_R = torch.ones(len(rows), width + new, dtype=torch.long, device=model.device)
        for row, shift in enumerate(self._shifts):
            self._mask_B_R[row, :shift] = 0
        self._width = width
        self._cache: Any = None

    def begin(self) -> "Tensor":
        """Run what of the prompts the prefix does not cover; logits of the next tokens, (B, V)."""
        given = 0
        if self._roomy:
            from whyguard.generation.teachers.local_cache import roomy_cache

            given = len(self._prefix.ids) if self._prefix else 0
            self._cache = roomy_cache(self._model, self._mask_B_R.shape[1], self._prefix,
                                      self._shifts)  # fmt: skip
        return self._forward(self._ids_B_T[:, given:])

    def step(self, tokens: list[int]) -> "Tensor":
        """Run one token a row; rows that have ended leave the batch when they are enough."""
        torch = require("torch", "generate")
        ended = sum(row.finish is not None for row in self.rows)
        if self._roomy and ended >= _DROP_SHARE * len(self.rows):
            tokens = self._drop(tokens)
        self._width += 1
        return self._forward(torch.tensor(tokens, device=self._model.device)[:, None])

    def _drop(self, tokens: list[int]) -> list[int]:
        torch = require("torch", "generate")
        kept = [n for n, row in enumerate(self.rows) if row.finish is None]
        indices = torch.tensor(kept, device=self._model.device)
        self._cache.batch_select_indices(indices)
        self._mask_B_R = self._mask_B_R[indices]
        self.rows = [self.rows[n] for n in kept]
        return [tokens[n] for n in kept]

    def _forward(self, ids_B_T: "Tensor") -> "Tensor":
        mask = self._mask_B_R[:, : self._width]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids_B_T.shape[1] :]
        extra = {"position_ids": positions, "logits_to_keep": 1}
        out = self._model(input_ids=ids_B_T, attention_mask=mask, past_key_values=self._cache,
                          use_cache=True, **{name: value for name, value in extra.items()
                                             if name in self._asked})  # fmt: skip
        self._cache = _cache_of(out, self._model)
        logits_B_V: Tensor = out.logits[:, -1].float()
        return logits_B_V


def _cache_of(out: Any, model: Any) -> Any:
    """The keys and values after a step.

    Raises:
        ConfigError: the model keeps none (a recurrent one, such as Mamba).
    """
    cache = getattr(out, "past_key_values", None)
    if cache is None:
        fail(ConfigError, where="teacher.model",
             expected="a model that keeps keys and values of past tokens (past_key_values)",
             found=f"{type(model).__name__}, which keeps none",
             do="take another model, or serve this one (teacher.kind openai)")  # fmt: skip
    return cache


def _with_doubles(probs_B_V: "Tensor") -> "Tensor":
    """The tensor where 64-bit numbers are known: Apple's GPUs (mps) have none."""
    return probs_B_V.cpu() if probs_B_V.device.type == "mps" else probs_B_V


def _choose(logits_B_V: "Tensor", rows: Sequence[Row], sampling: Sampling,
            streams: "dict[int, Generator]") -> list[int]:  # fmt: skip
    """The next token of each row, taken by it; rows that have ended get one that is not used."""
    scores_B_V = logits_B_V
    if any(row.follower for row in rows):
        scores_B_V = logits_B_V.clone()
        for scores_V, row in zip(scores_B_V, rows, strict=True):
            if row.follower and row.finish is None:
                row.follower.hide(scores_V)
    if sampling.temperature:
        tokens = _draw(scores_B_V, sampling, [streams[id(row)] for row in rows])
    else:
        tokens = scores_B_V.argmax(-1).tolist()
    logps: Sequence[float | None] = [None] * len(rows)
    if sampling.logprobs:
        chosen_B_1 = logits_B_V.new_tensor(tokens).long()[:, None]
        logps = (logits_B_V.gather(1, chosen_B_1)[:, 0] - logits_B_V.logsumexp(-1)).tolist()
    for row, token, logp in zip(rows, tokens, logps, strict=True):
        if row.finish is None:
            row.take(token, logp, sampling)
    return tokens


def _draw(scores_B_V: "Tensor", sampling: Sampling, streams: "list[Generator]") -> list[int]:
    """A sample of each row, by one uniform number through the inverse of its distribution.

    The number comes from the row's own stream, on the CPU: it depends neither on the batch nor on
    the device. A number a token is enough; noise a vocabulary entry took longer than the model.
    """
    torch = require("torch", "generate")
    probs_B_V = (scores_B_V / sampling.temperature).softmax(-1)
    if sampling.top_p < 1.0:
        probs_B_V = _keep_top(probs_B_V, sampling.top_p)
    sums_B_V = _with_doubles(probs_B_V).double().cumsum(-1)
    drawn_B_1 = torch.cat([torch.rand(1, generator=stream, dtype=torch.float64)
                           for stream in streams])[:, None].to(sums_B_V.device)  # fmt: skip
    # to the right of equal sums: an entry of probability 0 is never taken
    found_B_1 = torch.searchsorted(sums_B_V, drawn_B_1 * sums_B_V[:, -1:], right=True)
    tokens: list[int] = found_B_1.clamp(max=sums_B_V.shape[1] - 1)[:, 0].tolist()
    return tokens


def _keep_top(probs_B_V: "Tensor", top_p: float) -> "Tensor":
    """0 for all but the fewest most probable tokens whose probabilities sum to `top_p`."""
    sorted_B_V, order_B_V = probs_B_V.sort(dim=-1, descending=True, stable=True)
    beyond_B_V = sorted_B_V.cumsum(-1) - sorted_B_V >= top_p
    return probs_B_V.masked_fill(beyond_B_V.scatter(-1, order_B_V, beyond_B_V), 0.0)
