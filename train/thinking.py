"""Scoring modes `think_greedy` and `think_k`: P(harmful) after the guard has written its reasoning.

The reasoning is what the guard writes up to `<judge>`; then the two full verdict strings are
compared, as in `no_think`. Reasoning that does not come to `<judge>` within its tokens is closed by
force (an open `<think>` gets its end) and counted: a guard that never judges must not be scored as
one that does without that being said.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.core.hashing import seed_of
from whyguard.core.progress import Task
from whyguard.core.values import Reasoning
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.guard.scoring import (
    encode_pieces,
    length_batches,
    verdict_probabilities,
)
from whyguard.generation.models import Loaded
from whyguard.generation.teachers.local_decoding import Row, Sampling
from whyguard.train.sampling import (
    THINK_OPEN,
    StopAfter,
    guard_prompt_ids,
    write_rows,
)

_JUDGE_OPEN, _THINK_CLOSE = "<judge>", "</think>"


class ScoringMode(StrEnum):
    """How a guard's P(harmful) is read; named in every table."""

    NO_THINK = "no_think"
    """Right after the prompt."""
    THINK_GREEDY = "think_greedy"
    """After the reasoning that the guard holds most probable, token by token."""
    THINK_K = "think_k"
    """Mean over k sampled reasonings."""


def own_mode(reasoning: str) -> ScoringMode:
    """The mode that a guard was trained for, by what its facts say of reasoning."""
    return ScoringMode.NO_THINK if reasoning == Reasoning.NONE.value else ScoringMode.THINK_GREEDY


class Thinking(NamedTuple):
    """How reasoning is asked for."""

    mode: ScoringMode = ScoringMode.THINK_GREEDY
    prefill: str = ""
    """What the prompt ends with behind its template: `<think>` where the guard was trained so."""
    max_new_tokens: int = 256
    samples: int = 8
    """Reasonings a prompt in `think_k`."""
    temperature: float = 0.7
    """In `think_k`."""
    seed: int = 0


class Thought(NamedTuple):
    """Scores after reasoning."""

    scores: NDArray[np.float64]
    """(N,): P(harmful), a mean over samples."""
    closed: NDArray[np.float64]
    """(N,): share of a prompt's samples that came to `<judge>` by themselves."""


class Writing(NamedTuple):
    """One reasoning: token ids of the prompt and what follows it, up to the verdict."""

    ids: list[int]
    closed: bool


def thoughtful_probabilities(loaded: Loaded, template: PromptTemplate, texts: Sequence[str],
                             labels: dict[str, str], thinking: Thinking, batch_size: int,
                             task: Task) -> Thought:  # fmt: skip
    """P(harmful) of each text after reasoning, in 0..1.

    Args:
        loaded: model and tokenizer.
        template: the prompt the model was trained with.
        texts: N texts, in any order; batches are made by length.
        labels: the verdict strings of `harmful` and `unharmful`.
        thinking: how reasoning is asked for; its mode is not `no_think`.
        batch_size: reasonings at once.
        task: advanced by one a reasoning.

    Source: design, section 3 (scoring modes).
    """
    count = thinking.samples if thinking.mode is ScoringMode.THINK_K else 1
    prompts = [guard_prompt_ids(loaded.tokenizer, template, text, thinking.prefill)
               for text in texts for _ in range(count)]  # fmt: skip
    scores, closed = np.zeros(len(prompts)), np.zeros(len(prompts))
    for batch in length_batches(prompts, batch_size):
        rows = [Row(prompts[i], _seed(thinking, prompts[i], i % count)) for i in batch]
        writings = write_reasoning(loaded, rows, thinking)
        scores[batch] = verdict_probabilities(loaded, [writing.ids for writing in writings], labels)
        closed[batch] = [writing.closed for writing in writings]
        task.advance(len(batch))
    shape = (len(texts), count)
    return Thought(scores.reshape(shape).mean(1), closed.reshape(shape).mean(1))


def write_reasoning(loaded: Loaded, rows: Sequence[Row], thinking: Thinking) -> list[Writing]:
    """Reasoning after each row's prompt (which ends with `thinking.prefill`), up to `<judge>`."""
    ends = _ends(loaded)
    warmth = thinking.temperature if thinking.mode is ScoringMode.THINK_K else 0.0
    for row in rows:
        row.follower = StopAfter(loaded.tokenizer, _JUDGE_OPEN)
    write_rows(loaded.model, rows, Sampling(warmth, 1.0, thinking.max_new_tokens, False, ends))
    return [_writing(loaded.tokenizer, row, thinking.prefill, ends) for row in rows]


def _writing(tokenizer: Any, row: Row, prefill: str, ends: frozenset[int]) -> Writing:
    written = [token for token in row.ids if token not in ends]
    before = ids_before(tokenizer, written, _JUDGE_OPEN)
    if before is not None:
        return Writing(row.prompt + before, closed=True)
    text = prefill + tokenizer.decode(written)
    is_open = THINK_OPEN in text and _THINK_CLOSE not in text
    closing = encode_pieces(tokenizer, [_THINK_CLOSE]) if is_open else []
    return Writing(row.prompt + written + closing, closed=False)


def ids_before(tokenizer: Any, ids: Sequence[int], tag: str) -> list[int] | None:
    """The tokens before `tag`; None where it was not written.

    A token that holds a piece of both is split: what of it stands before the tag is tokenized anew.
    """
    at = tokenizer.decode(ids).find(tag)
    if at < 0:
        return None
    text = tokenizer.decode(ids)[:at]
    for count in range(len(ids), -1, -1):
        head = tokenizer.decode(ids[:count])
        if text.startswith(head):
            rest = text[len(head) :]
            return [*ids[:count], *(encode_pieces(tokenizer, [rest]) if rest else [])]
    return encode_pieces(tokenizer, [text])


def _ends(loaded: Loaded) -> frozenset[int]:
    ends = loaded.model.generation_config.eos_token_id
    several = ends if isinstance(ends, list) else [ends]
    return frozenset({loaded.tokenizer.eos_token_id, *several} - {None})


def _seed(thinking: Thinking, prompt: Sequence[int], sample: int) -> int:
    """Each reasoning draws numbers of its own, whatever batch it is in."""
    return seed_of([thinking.seed, sample, list(prompt)])
