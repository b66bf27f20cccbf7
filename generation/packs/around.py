"""What stands around a word that a swap would break: numbers, possessives, longer names."""

import functools
import re
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, RootModel

from whyguard.generation.packs.files import read_yaml
from whyguard.generation.packs.load import shipped_packs
from whyguard.generation.packs.spans import Hit, find

AROUND = "around.yaml"
NEAR = 40
"""Characters on either side of a number among which a word of calling must stand."""

_GLUE = "[.,:/+\\-\u2010-\u2015'\u2019\u00a0\u2009\u202f]"
_DIGITS_BEFORE = re.compile(rf"(?:\d{_GLUE}|\+|\d[ ])\Z")
_DIGITS_AFTER = re.compile(rf"{_GLUE}\d|[ ]\d{{3}}(?!\d)")
_ERA = re.compile(r"\s?(?:BCE?|CE|AD|B\.C|A\.D|a\. ?C|d\. ?C)(?!\w)")
_POSSESSIVE = re.compile("['\u2019\u02bc]s(?!\\w)")
_BARE_POSSESSIVE = re.compile("['\u2019\u02bc](?!\\w)")
_JOINT = "(?:[^\\S\n\r\u2028\u2029]+|[-\u2010\u2011])"
_WORD_BEFORE = re.compile(rf"([^\W\d_][\w'\u2019]*){_JOINT}\Z")
_WORD_AFTER = re.compile(rf"{_JOINT}([^\W\d_][\w'\u2019]*)")
_INITIAL = re.compile("(?<!\\w)((?:[^\\W\\d_]|St)\\.\\s?|[^\\W\\d_]['\u2019])\\Z")
_BEFORE = 60
_AFTER = frozenset({"I"})
"""Written with a capital wherever it stands; nothing else begins a sentence right after a name."""
_STOPS = re.compile("[.;\n\r\u2028\u2029\u0964]")


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: tuple[str, ...] = ()
    heads: frozenset[str] = frozenset()


class _File(RootModel[dict[str, _Words]]):
    """Words by source language."""


def is_number(source: str) -> bool:
    """Whether a source is digits, with no letter among them."""
    return any(c.isdecimal() for c in source) and not any(c.isalpha() for c in source)


def is_inside_number(text: str, start: int, end: int) -> bool:
    """Whether the digits at that place are a part of a larger number, a date or a telephone
    number: a digit before or after them, with a mark or a blank between."""
    before = text[max(0, start - 2) : start]
    return bool(_DIGITS_BEFORE.search(before) or _DIGITS_AFTER.match(text, end))


def is_call(text: str, start: int, end: int, language: str) -> bool:
    """Whether a word of calling or of emergencies stands near, with no full stop or line break
    between; no list of `language`, or an era behind the number: False."""
    if _ERA.match(text, end):
        return False
    before = _STOPS.split(text[max(0, start - NEAR) : start])[-1]
    after = _STOPS.split(text[end : end + NEAR])[0]
    return bool(find(f"{before}\n{after}", words_of(language).calls))


def is_possessive(text: str, start: int, end: int) -> bool:
    """Whether `'s` follows, or an apostrophe alone after an s.

    A translation has another order there (the house of John), so that a masked name would leave
    the ending behind.
    """
    bare = text[start:end][-1:] in ("s", "S") and _BARE_POSSESSIVE.match(text, end)
    return bool(_POSSESSIVE.match(text, end) or bare)


def is_in_longer_name(text: str, hit: Hit, kept: Sequence[Hit], language: str) -> bool:
    """Whether a capitalised word touches a name that is neither a hit of `kept` nor a word that
    begins sentences: "John Lennon", "Boston Tea Party"."""
    start, end, _ = hit
    if (found := _INITIAL.search(text[max(0, start - 5) : start])) and found[1][0].isupper():
        return True
    for first, last in _capitals(text, start, end, words_of(language).heads):
        if not any(other.start < last and first < other.end for other in kept):
            return True
    return False


def _capitals(text: str, start: int, end: int, heads: frozenset[str]
              ) -> Iterator[tuple[int, int]]:  # fmt: skip
    """Places of capitalised words beside a hit, but for those that begin sentences before it."""
    before = _WORD_BEFORE.search(text, max(0, start - _BEFORE), start)
    for match, known in ((before, heads), (_WORD_AFTER.match(text, end), _AFTER)):
        if match and match[1][0].isupper() and re.split("['\u2019]", match[1])[0] not in known:
            yield match.span(1)


@functools.cache
def words_of(language: str) -> _Words:
    """The words of a source language; none where it has no list."""
    return read_yaml(shipped_packs() / AROUND, _File).root.get(language, _Words())
