"""Signal: whether the source's numbers are in the translation."""

import functools
import unicodedata
from collections import Counter
from typing import Any

from whyguard.core.optional import require
from whyguard.curation.normalise import fold
from whyguard.generation.signals.words import NUMBER_WORDS


def numbers_kept(source: str, source_language: str, text: str, language: str) -> float | None:
    """Share of the source's numbers that are in the translation, each as often.

    Digits of every script count as the same. Number words count where the words of both languages
    are listed (`signals/words.py`): a 3 may become "tres", and the other way round. Separators are
    ignored, so 1,000 is 1.000 and 3.5 is 3,5. None: the source has no number.

    Raises:
        MissingExtraError: the package `regex` is not installed.
    """
    worded = source_language in NUMBER_WORDS and language in NUMBER_WORDS
    wanted = numbers_of(source, source_language if worded else None)
    if not wanted:
        return None
    found = numbers_of(text, language if worded else None)
    return (wanted & found).total() / wanted.total()


def numbers_of(text: str, language: str | None = None) -> Counter[str]:
    """Numbers of a text as plain digits, without separators and leading zeros.

    With a language, its number words count too.
    """
    runs = _digits().findall(text)
    words = NUMBER_WORDS.get(language or "", {})
    spelt = [words[word] for word in _letters().findall(fold(text)) if word in words]
    return Counter([*map(_plain, runs), *spelt])


def _plain(run: str) -> str:
    digits = "".join(str(unicodedata.digit(char)) for char in run if char.isdecimal())
    return digits.lstrip("0") or "0"


@functools.cache
def _digits() -> Any:
    """Digits, with single separators (and the spaces of grouped thousands) between them."""
    pattern = r"\p{Nd}+(?:[.,'’\u066b\u066c]\p{Nd}+|[\u00a0\u202f]\p{Nd}{3}(?!\p{Nd}))*"
    return require("regex", "generate").compile(pattern)


@functools.cache
def _letters() -> Any:
    return require("regex", "generate").compile(r"[\p{L}\p{M}]+")
