"""Signal: whether the source's numbers are in the translation."""

import functools
import re
import unicodedata
from collections import Counter
from typing import Any

from whyguard.core.optional import require
from whyguard.curation.normalise import fold
from whyguard.generation.signals.words import NUMBER_WORDS

_DECIMAL = re.compile(
    r"(\d{1,3}(?:[.,'’\u066c\u00a0\u202f]\d{3})+|\d+)[.,](\d{1,2}|\d{4,})|(0+)[.,](\d+)"
)
"""A last separator that cannot be one of thousands: not three digits follow, or zero leads."""


def numbers_kept(source: str, source_language: str, text: str, language: str) -> float | None:
    """Share of the source's numbers that are in the translation, each as often.

    Digits of every script count as the same. Number words count where the words of both languages
    are listed (`signals/words.py`): a 3 may become "tres", and the other way round. Separators of
    thousands are ignored, so 1,000 is 1.000; 3.5 is 3,5, and not 35.

    None: the source has no number, or all that is missing may be spelt out in words that are not
    listed (up to 99, and round numbers). Such a number counts for nothing where another one is
    missing beyond doubt.

    Raises:
        MissingExtraError: the package `regex` is not installed.
    """
    wanted = numbers_of(source, source_language if language in NUMBER_WORDS else None)
    missing = wanted - numbers_of(text, language)
    open_ = sum(count for number, count in missing.items() if _may_be_spelt(number, language))
    if not wanted or (open_ and open_ == missing.total()):
        return None
    return (wanted.total() - missing.total()) / (wanted.total() - open_)


def numbers_of(text: str, language: str | None = None) -> Counter[str]:
    """Numbers of a text as plain digits, without separators of thousands and leading zeros.

    A decimal has a point: 3.5. With a language, its number words count too.
    """
    runs = _digits().findall(text)
    words = NUMBER_WORDS.get(language or "", {})
    spelt = [words[word] for word in _letters().findall(fold(text)) if word in words]
    return Counter([*map(_plain, runs), *spelt])


def _may_be_spelt(number: str, language: str) -> bool:
    """Whether a translation may have it in words that no list here knows."""
    if number in NUMBER_WORDS.get(language, {}).values():
        return False
    return len(number) <= 2 or set(number[1:]) == {"0"}


def _plain(run: str) -> str:
    """`1.000` as 1000, `007` as 7, `3,50` as 3.5, whatever the script."""
    western = "".join(str(unicodedata.digit(char)) if char.isdecimal() else char for char in run)
    decimal = _DECIMAL.fullmatch(western.replace("\u066b", "."))
    whole, part = [group for group in decimal.groups() if group] if decimal else (western, "")
    digits = "".join(filter(str.isdecimal, whole)).lstrip("0") or "0"
    return f"{digits}.{part}".rstrip("0").rstrip(".") if part else digits


@functools.cache
def _digits() -> Any:
    """Digits, with single separators (and the spaces of grouped thousands) between them."""
    pattern = r"\p{Nd}+(?:[.,'’\u066b\u066c]\p{Nd}+|[\u00a0\u202f]\p{Nd}{3}(?!\p{Nd}))*"
    return require("regex", "generate").compile(pattern)


@functools.cache
def _letters() -> Any:
    return require("regex", "generate").compile(r"[\p{L}\p{M}]+")
