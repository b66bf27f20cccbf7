"""Signals that need the two texts alone: script, copied text, length, placeholders, negation."""

import functools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from whyguard.core.optional import require
from whyguard.curation.normalise import fold
from whyguard.generation.signals.words import NEGATED_ENDINGS, NEGATIONS, NOT_NEGATED
from whyguard.generation.translation.masking import TOKEN, mask

_SCRIPTS = {"Jpan": ("Hira", "Kana", "Hani"), "Hrkt": ("Hira", "Kana"), "Kore": ("Hang", "Hani"),
            "Hans": ("Hani",), "Hant": ("Hani",), "Hanb": ("Hani", "Bopo"), "Aran": ("Arab",),
            "Latf": ("Latn",), "Latg": ("Latn",), "Cyrs": ("Cyrl",)}  # fmt: skip
"""ISO 15924 codes of writing systems and styles -> the scripts of Unicode that they are made of."""
_NGRAM = 3
_FEWEST_ROWS = 10
_MAD_TO_SIGMA = 1.4826


def script_purity(text: str, language: str) -> float | None:
    """Share of the letters that belong to the script of `language` (`ben_Beng`: Bengali).

    Placeholders, addresses and code do not count, nor do letters common to all scripts. None: there
    is no letter, or Unicode has no such script.

    Raises:
        MissingExtraError: the package `regex` is not installed.

    Source: Unicode Standard Annex 24 (script extensions); ISO 15924.
    """
    patterns = _letters_of(language.rpartition("_")[2])
    if patterns is None:
        return None
    own, every = patterns
    plain = unprotected(text)
    letters = len(every.findall(plain))
    return len(own.findall(plain)) / letters if letters else None


@functools.cache
def _letters_of(script: str) -> tuple[Any, Any] | None:
    """Patterns of a letter in the script, and of a letter in any script."""
    regex = require("regex", "generate")
    parts = "".join(rf"\p{{Script_Extensions={name}}}" for name in _SCRIPTS.get(script, (script,)))
    try:
        own = regex.compile(rf"[\p{{L}}&&[{parts}]]", regex.VERSION1)
    except regex.error:
        return None
    shared = r"[\p{Script_Extensions=Common}\p{Script_Extensions=Inherited}]"
    return own, regex.compile(rf"[\p{{L}}--{shared}]", regex.VERSION1)


def unprotected(text: str) -> str:
    """The text without what masking protects: placeholders, addresses, tags, code, handles."""
    return TOKEN.sub(" ", mask(text).text)


def words_of(text: str) -> list[str]:
    """Folded words: runs of letters, marks and digits, joined by apostrophes and hyphens.

    In scripts that put no spaces between words, each character is a word.

    Raises:
        MissingExtraError: the package `regex` is not installed.
    """
    found: list[str] = _word_pattern().findall(fold(unprotected(text)))
    return found


@functools.cache
def _word_pattern() -> Any:
    unspaced = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    inside = rf"[\p{{L}}\p{{M}}\p{{N}}--[{unspaced}]]"
    joined = rf"{inside}+(?:['’\-·\u200c\u200d]{inside}+)*"
    pattern = rf"{joined}|[{unspaced}]\p{{M}}*"
    return require("regex", "generate").compile(pattern, require("regex", "generate").VERSION1)


def copied_share(source: str, text: str) -> float | None:
    """Share of the source's different word trigrams that `text` has too.

    Trigrams with a number count for nothing: numbers should be copied. None: the source has no
    trigram of words. Between close relatives some sharing is right.
    """
    wanted = _trigrams(source)
    return len(wanted & _trigrams(text)) / len(wanted) if wanted else None


def _trigrams(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    grams = {tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)}
    return {gram for gram in grams if not any(char.isnumeric() for word in gram for char in word)}


def length_ratio(source: str, text: str) -> float:
    """Characters of the translation for one of the source."""
    return len(text) / max(1, len(source))


def length_z(ratios: Sequence[float]) -> list[float | None]:
    """Robust z-score of each log ratio: distance from the median, in scaled median deviations.

    None for all: fewer than ten ratios, or more than half of them are the same.

    Source: Iglewicz and Hoaglin (1993), modified z-score.
    """
    logs = [math.log(max(ratio, 1e-9)) for ratio in ratios]
    if len(logs) < _FEWEST_ROWS:
        return [None] * len(logs)
    middle = statistics.median(logs)
    spread = _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in logs)
    return [(value - middle) / spread if spread else None for value in logs]


def placeholders_kept(source: str, text: str) -> float | None:
    """Share of the source's placeholders, addresses, tags and code that stand in `text` as given.

    None: the source has none.
    """
    wanted = Counter(piece for piece in mask(source).originals if any(map(str.isalnum, piece)))
    if not wanted:
        return None
    kept = sum(min(count, text.count(piece)) for piece, count in wanted.items())
    return kept / wanted.total()


def negation_shift(source: str, source_language: str, text: str, language: str) -> float | None:
    """Negation words of `text` minus those of `source`.

    It sees a negation word that came or went, and no other turn of meaning. None: the negation
    words of one of the two languages are not listed (`signals/words.py`).
    """
    if source_language not in NEGATIONS or language not in NEGATIONS:
        return None
    return float(_negated(text, language) - _negated(source, source_language))


def _negated(text: str, language: str) -> int:
    """1 where any of the language's negation words is there.

    Not their number: one negation is two words in some languages ("no ... nunca").
    """
    known, endings = NEGATIONS[language], NEGATED_ENDINGS.get(language, ())
    words = set(words_of(text)) - NOT_NEGATED.get(language, frozenset())
    return int(any(word in known or word.endswith(endings) for word in words))
