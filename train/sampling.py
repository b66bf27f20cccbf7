"""What sampling a guard's completions needs, in GRPO's rollouts and in pair building alike.

A guard's prompt is its template and the text, as in training and scoring: no chat template. Heavy
packages are imported where a model is used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whyguard.core.optional import require
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.guard.scoring import encode_pieces, encode_prompt
from whyguard.generation.teachers.local_decoding import Row, Sampling, decode
from whyguard.generation.teachers.local_grammar import Follower

if TYPE_CHECKING:
    from torch import Tensor

JUDGE_CLOSE = "</judge>"
"""Where a verdict ends."""
THINK_OPEN = "<think>"
"""What the published prompt ends with."""
_SHORTEST_PREFIX = 8
"""Tokens from which on a shared prefix is worth its own run."""


class StopAfter(Follower):
    """Ends a row with the token that completes a tag, whatever tokens the tag is made of."""

    def __init__(self, tokenizer: Any, tag: str = JUDGE_CLOSE) -> None:
        super().__init__(None)
        self._tokenizer, self._tag = tokenizer, tag
        self._tail: list[int] = []

    def hide(self, scores_V: "Tensor") -> None:
        """Nothing is hidden: the model writes what it wants."""

    def take(self, token: int) -> bool:
        """Go on by a token; whether the tag is complete with it."""
        # each token holds a byte at least, but for the first, which may hold a rest before the tag
        self._tail = [*self._tail[-len(self._tag.encode()) :], token]
        return self._tag in self._tokenizer.decode(self._tail)


def cut_after(text: str, tag: str = JUDGE_CLOSE) -> str:
    """The text up to the end of the first `tag`; all of it where there is none."""
    before, found, _ = text.partition(tag)
    return before + found


def guard_prompt_ids(tokenizer: Any, template: PromptTemplate, text: str,
                     prefill: str = "") -> list[int]:  # fmt: skip
    """Token ids of a guard's prompt; the prefill is tokenized alone, as tags are in training."""
    ids = encode_prompt(tokenizer, template, text)
    return [*ids, *encode_pieces(tokenizer, [prefill])] if prefill else ids


def write_rows(model: Any, rows: Sequence[Row], sampling: Sampling) -> None:
    """Write after each row's prompt, in place; what all prompts begin with is run once.

    For models under training: no gradient is kept, and no prefix either, since weights change.
    """
    torch = require("torch", "train")
    from whyguard.generation.teachers.local_cache import PrefixShelf, can_share, common_prefix

    roomy = can_share(model)
    shared = common_prefix(row.prompt for row in rows)
    with torch.no_grad():
        prefix = None
        if roomy and len(rows) > 1 and len(shared) >= _SHORTEST_PREFIX:
            prefix = PrefixShelf(model, model.device).get(shared)
        decode(model, rows, sampling, prefix, roomy=roomy)


def ids_up_to(tokenizer: Any, ids: Sequence[int], tag: str = JUDGE_CLOSE) -> list[int]:
    """The tokens up to the one that completes `tag`; all of them where none does."""
    follower = StopAfter(tokenizer, tag)
    end = next((at for at, token in enumerate(ids, 1) if follower.take(token)), len(ids))
    return list(ids[:end])
