"""Where a word list occurs in a text: whole words, any script, longest first, never overlapping."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_INNER = "_\u00b7\u200c\u200d"
"""Characters inside words beside letters, marks and digits: Catalan's middle dot, joiners."""
_APOSTROPHES = "['\u2019\u02bc]"
"""One for the other: keyboards have the first, typesetters the second."""
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


class Span(NamedTuple):
    """A piece of a source text, and what must stand there in the translation."""

    start: int
    end: int
    text: str
    edit: str
    """Line for the log of edits such as `name: John -> Xuan`; empty for glossary locks."""


class Hit(NamedTuple):
    """One occurrence of the word with that index in the word list."""

    start: int
    end: int
    word: int


def find(text: str, words: Sequence[str]) -> list[Hit]:
    """Occurrences of `words` in `text` (both NFC), in the order of the text.

    Words match whole and whatever their case; where two overlap the longer one counts, then the
    one that comes first in the text. A blank in a word stands for any run of blanks,
    an apostrophe for any apostrophe.
    """
    every = [
        Hit(match.start(1), match.end(1), number)
        for number, word in enumerate(words)
        for match in _pattern(word).finditer(text)
        if is_boundary(text, match.start(1)) and is_boundary(text, match.end(1))
    ]
    taken, kept = bytearray(len(text)), []
    for hit in sorted(every, key=_longest_first):
        if not any(taken[hit.start : hit.end]):
            taken[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
            kept.append(hit)
    return sorted(kept)


def is_boundary(text: str, at: int) -> bool:
    """Whether a word may begin or end between `text[at - 1]` and `text[at]`.

    Combining marks (vowel signs, viramas, accents) and joiners are inside a word, unlike in
    Python's `\\b`. Scripts without spaces have a boundary before every letter.
    """
    if at <= 0 or at >= len(text):
        return True
    left, right = text[at - 1], text[at]
    if not (_is_inside(left) and _is_inside(right)):
        return True
    return unicodedata.category(right)[0] == "L" and (_is_unspaced(left) or _is_unspaced(right))


def replaced(text: str, spans: Iterable[Span]) -> str:
    """The text with each span's text in its place, and all else as it was."""
    pieces, end = [], 0
    for span in sorted(spans):
        pieces += [text[end : span.start], span.text]
        end = span.end
    return "".join((*pieces, text[end:]))


def cased_like(target: str, entry: str, found: str) -> str:
    """`target` with a capital where `found` has one that the word list's `entry` has not.

    Names keep their own capitals: only a common word at the head of a sentence gains one.
    """
    if entry[:1].islower() and found[:1].isupper():
        return target[:1].upper() + target[1:]
    return target


def _longest_first(hit: Hit) -> tuple[int, int, int]:
    return (hit.start - hit.end, hit.start, hit.word)


@functools.lru_cache(maxsize=4096)
def _pattern(word: str) -> re.Pattern[str]:
    """The word as group 1 of a look-ahead, so that each place is tried, even inside another hit.

    A word without a visible character matches nothing.
    """
    parts = [re.escape(part) for part in unicodedata.normalize("NFC", word).split()]
    whole = re.sub(_APOSTROPHES, lambda _: _APOSTROPHES, r"\s+".join(parts))
    return re.compile(f"(?=({whole}))" if parts else r"(?!)", re.IGNORECASE)


def _is_inside(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN" or char in _INNER


@functools.lru_cache(maxsize=4096)
def _is_unspaced(char: str) -> bool:
    return unicodedata.name(char, "").startswith(_UNSPACED)
