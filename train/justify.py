"""Cheap measures of one generated rationale, taken without knowing the arm that wrote it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from whyguard.core.optional import require
from whyguard.generation.writing.rules import repetition

RightLanguage = Callable[[str, str], bool | None]
"""(text, language code) -> whether it is written in it; None where that cannot be told."""

EMPTY, REPETITION, CHRF = "empty", "repetition", "chrf"
RIGHT_LANGUAGE, SPECIFIC = "right_language", "specific"
_LEAST_LETTERS = 15
SIGNALS = (RIGHT_LANGUAGE, CHRF, SPECIFIC, EMPTY, REPETITION)


class Rationale(NamedTuple):
    """A generated rationale with what it is measured against."""

    text: str
    language: str
    category: str
    reference: str | None


def builtin_right_language() -> RightLanguage:
    """The classifier that ships with the package."""
    from whyguard.curation.langid import right_language

    return right_language


def chrf(text: str, reference: str) -> float:
    """Sentence chrF (Popovic 2015), 0..100; 0 for an empty text."""
    if not text.strip():
        return 0.0
    metric = require("sacrebleu", "train").metrics.CHRF()
    return float(metric.sentence_score(text, [reference]).score)


def is_missing(text: str) -> bool:
    """Whether a text is no rationale at all: empty, a word or two, or a verdict said again."""
    return sum(character.isalpha() for character in text) < _LEAST_LETTERS


def measure(rationales: Sequence[Rationale],
            right_language: RightLanguage) -> list[dict[str, float | None]]:  # fmt: skip
    """The signals of each rationale. A missing one (see `is_missing`) is `empty`, scores 0 in all
    that is better the higher, and has no `repetition`: to write nothing must not look well.

    `specific` is 1 where the text is nearer (chrF) to its own reference than, on average, to the
    references of other prompts of the same category and language; None where there are none.
    """
    return [_measure(item, _others(index, rationales), right_language)
            for index, item in enumerate(rationales)]  # fmt: skip


def signal_rows(signals: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Signals in the form of a table's column."""
    return [{"name": name, "value": value} for name, value in signals.items()]


def _measure(item: Rationale, others: list[str],
             right_language: RightLanguage) -> dict[str, float | None]:  # fmt: skip
    empty = is_missing(item.text)
    text = "" if empty else item.text
    spoken = False if empty else right_language(text, item.language)
    own = None if item.reference is None else chrf(text, item.reference)
    specific = None
    if own is not None and others:
        specific = float(own > float(np.mean([chrf(text, other) for other in others])))
    looped = None if empty else repetition(item.text, item.language)
    return {RIGHT_LANGUAGE: None if spoken is None else float(spoken), CHRF: own,
            SPECIFIC: specific, EMPTY: float(empty), REPETITION: looped}  # fmt: skip


def _others(index: int, rationales: Sequence[Rationale]) -> list[str]:
    mine = rationales[index]
    return [
        other.reference
        for place, other in enumerate(rationales)
        if place != index and other.reference is not None
        and (other.language, other.category) == (mine.language, mine.category)
    ]  # fmt: skip
