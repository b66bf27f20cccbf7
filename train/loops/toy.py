"""A toy guard: 96,064 weights, 216 tokens, and a task whose rule is known.

Concepts have a word in language E (English-like: plenty of training rows) and one in T
(target-like: few); every sixth concept has one cognate for both. **The planted rule: a prompt is
harmful if and only if it names an act and a target**; one of them alone, or only other words, is
unharmful. The target says which category it is. Completions are of the guard's grammar: thinking in
E about what was found, violations, verdict, and for harmful prompts an explanation in the prompt's
language. All of it is numbered placeholder words.
"""

import random
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from whyguard.core.values import CATEGORY_CODES, Label
from whyguard.train.segments import END_WEIGHT, IGNORED, Encoded

ACTS, TARGETS, OTHERS = range(8), range(8, 16), range(16, 100)
"""Concepts by their part in the rule."""
_COGNATE_EVERY = 6
CATEGORIES = ("S2", "S9")
NOBODY, NOTHING, THEREFORE, BECAUSE = "nobody", "nothing", "therefore", "because"


class Speech(StrEnum):
    """The two languages."""

    E = "e"
    """English-like."""
    T = "t"
    """Target-like."""


def word(concept: int, speech: Speech) -> str:
    """The word of a concept in a language: e7, t7, or the cognate c6 in both."""
    return f"c{concept}" if concept % _COGNATE_EVERY == 0 else f"{speech.value}{concept}"


_SPECIAL = ("<pad>", "<s>", "</s>", "<answer>")
_TAGS = tuple(f"<{slash}{name}>" for name in ("think", "violations", "judge", "explanation")
              for slash in ("", "/"))  # fmt: skip
_WORDS = (*(label.value for label in Label), *CATEGORY_CODES, "None",
          NOBODY, NOTHING, THEREFORE, BECAUSE)  # fmt: skip
_CONCEPTS = tuple(dict.fromkeys(word(c, s) for c in range(OTHERS.stop) for s in Speech))
VOCABULARY = (*_SPECIAL, *_TAGS, *_WORDS, *_CONCEPTS)
IDS = {text: number for number, text in enumerate(VOCABULARY)}
PAD, BOS, EOS, ANSWER = (IDS[text] for text in _SPECIAL)
JUDGED = IDS["</judge>"]


class Family(NamedTuple):
    """What a prompt says, in no language yet: its translations are the family's prompts."""

    concepts: tuple[int, ...]

    @property
    def act(self) -> int | None:
        """The act it names, if any."""
        return next((c for c in self.concepts if c in ACTS), None)

    @property
    def target(self) -> int | None:
        """The target it names, if any."""
        return next((c for c in self.concepts if c in TARGETS), None)

    @property
    def label(self) -> Label:
        """The planted rule."""
        both = self.act is not None and self.target is not None
        return Label.HARMFUL if both else Label.UNHARMFUL

    @property
    def category(self) -> str | None:
        """The category of a harmful family."""
        if self.target is None or self.label != Label.HARMFUL:
            return None
        return CATEGORIES[self.target % 2]


def families(count: int, seed: int) -> list[Family]:
    """Different families in random order, half harmful; others name an act, a target or neither."""
    draw = random.Random(seed)
    found: dict[Family, None] = {}
    while len(found) < count:
        found[_family(draw, len(found))] = None
    order = list(found)
    draw.shuffle(order)  # whoever takes every n-th family must not take one kind
    return order


def _family(draw: random.Random, number: int) -> Family:
    act, target = draw.choice(ACTS), draw.choice(TARGETS)
    core = ((act, target), (act,), (act, target), (target,), (act, target), ())[number % 6]
    concepts = [*core, *draw.sample(OTHERS, draw.randint(3, 5))]
    draw.shuffle(concepts)
    return Family(tuple(concepts))


def prompt_ids(family: Family, speech: Speech) -> list[int]:
    """A family's prompt in a language."""
    return [BOS, *(IDS[word(concept, speech)] for concept in family.concepts), ANSWER]


def segments(family: Family, speech: Speech) -> list[list[int]]:
    """The right completion without its end: reasoning, verdict, and explanation if harmful."""
    act = NOBODY if family.act is None else word(family.act, Speech.E)
    target = NOTHING if family.target is None else word(family.target, Speech.E)
    found = [
        [*_tagged("think", act, target, THEREFORE),
         *_tagged("violations", family.category or "None")],
        _tagged("judge", family.label.value),
    ]  # fmt: skip
    if family.act is not None and family.target is not None:
        said = word(family.act, speech), word(family.target, speech)
        found.append(_tagged("explanation", *said, BECAUSE))
    return found


def _tagged(name: str, *words: str) -> list[int]:
    return [IDS[f"<{name}>"], *(IDS[text] for text in words), IDS[f"</{name}>"]]


def encoded(family: Family, speech: Speech) -> Encoded:
    """A training row: the tokens of each segment weigh 1 together, the end token END_WEIGHT."""
    parts = [(part, 1.0) for part in segments(family, speech)]
    return encode(prompt_ids(family, speech), [*parts, ([EOS], END_WEIGHT)])


def encode(prompt: Sequence[int], parts: Iterable[tuple[Sequence[int], float]]) -> Encoded:
    """Prompt and completion as a row; a part's weight is spread evenly over its tokens."""
    ids, labels, weights = list(prompt), [IGNORED] * len(prompt), [0.0] * len(prompt)
    for part, weight in parts:
        ids += part
        labels += part
        weights += [weight / len(part)] * len(part)
    return Encoded(ids, labels, weights)


def mixed_rows(found: Sequence[Family], target_every: int) -> list[Encoded]:
    """Rows in E, and every `target_every`-th one in T."""
    return [encoded(family, Speech.E if number % target_every else Speech.T)
            for number, family in enumerate(found)]  # fmt: skip


def text_of(ids: Iterable[int]) -> str:
    """Tokens as text, up to the end token: what parsers and rewards read."""
    words = []
    for number in ids:
        if number == EOS:
            break
        words.append(VOCABULARY[number])
    return " ".join(words)


def toy_model(seed: int, **changes: Any) -> Any:
    """A two-layer Llama of 96,064 weights; `changes` go to its config."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    values = {"vocab_size": len(VOCABULARY), "hidden_size": 64, "intermediate_size": 128,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
              "max_position_embeddings": 64, "bos_token_id": BOS, "eos_token_id": EOS,
              "pad_token_id": PAD, "tie_word_embeddings": True, "initializer_range": 0.05,
              **changes}  # fmt: skip
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**values))
