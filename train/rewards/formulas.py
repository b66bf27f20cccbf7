"""The formulas of length and diversity, as numbers of numbers, with their zero and peak points.

Source: the rewards of ConsistentGuard (arXiv 2510.10677) and its published code, which two of the
functions here follow to the letter, so that both can be compared.
"""

import math
from collections import Counter

from whyguard.core.languages import ENGLISH
from whyguard.generation.writing.rules import count_words, repetition

FEWEST_WORDS = 3
"""Under three words there is no trigram, and nothing to be diverse."""


def length_reward(tokens: int, best: int) -> float:
    """sin(pi * tokens / (2 * best)), held at -1 from 3 * best on.

    0 at 0 tokens, 1 (the peak) at `best`, 0 at 2 * best, negative past it. The sine alone comes up
    again: it is 0 at 4 * best and 1 at 5 * best, within the reference run's completion limit
    (2,048 tokens with best = 256). See `published_length_reward`.
    """
    return published_length_reward(min(tokens, 3 * best), best)


def published_length_reward(tokens: int, best: int) -> float:
    """The sine without an end: pays in full for 5 * best tokens. For comparison only."""
    return math.sin(math.pi * tokens / (2 * best))


def diversity_reward(rate: float) -> float:
    """1 + sin(pi * (rate - 2) / 2) of a repetition rate in 0..1.

    1 (the peak) at rate 0, 1 - sqrt(1/2) = 0.29 at 1/2, 0 at rate 1; falls all the way.
    """
    return 1.0 + math.sin(math.pi * (rate - 2.0) / 2.0)


def repetition_rate(text: str, language: str = ENGLISH) -> float | None:
    """1 - distinct / total trigrams, in 0..1: the share that repeats an earlier one.

    Trigrams are of words, lower case; see `generation.writing.rules.repetition` for scripts that
    put no blanks between words. None under three words.
    """
    if count_words(text, language) < FEWEST_WORDS:
        return None
    return repetition(text, language)


def published_repetition_rate(text: str) -> float:
    """Distinct trigrams seen more than once / all trigrams; 0 under three words. Do not use it.

    A phrase that is looped has few distinct trigrams: looped 100 times it comes out near 0, and is
    rewarded like a text without any repeat. So is an empty text.
    """
    words = text.split()
    counts = Counter(zip(words, words[1:], words[2:], strict=False))
    return sum(count > 1 for count in counts.values()) / counts.total() if counts else 0.0
