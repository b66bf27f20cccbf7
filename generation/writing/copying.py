"""How much of one text another one repeats."""

import re
from collections.abc import Sequence

from whyguard.curation.normalise import fold
from whyguard.generation.signals.text import copied_share, words_of

ECHO_SHARE = 0.8
"""Share of a text's trigrams from which on it merely repeats the other one."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrtbf])|([\"\\/]))")


def longest_run(text: str, source: str) -> int:
    """Words in the longest run that both texts have (characters in scripts without spaces)."""
    left, right = words_of(text), words_of(source)
    best, lengths = 0, [0] * (len(right) + 1)
    for word in left:
        lengths = [0, *(_extended(word, other, lengths[i]) for i, other in enumerate(right))]
        best = max(best, max(lengths))
    return best


def _extended(word: str, other: str, run: int) -> int:
    return run + 1 if word == other else 0


def repeats(text: str, source: str) -> bool:
    """Whether `text` is taken from `source`: it stands in it, or nearly all its trigrams do."""
    share = copied_share(text, source)
    return _plain(text) in _plain(source) or (share is not None and share >= ECHO_SHARE)


def echoes(text: str, source: str) -> bool:
    """Whether `text` repeats `source`, also where one of them spells it in JSON's escapes."""
    return repeats(text, source) or repeats(unescaped(text), unescaped(source))


def unescaped(text: str) -> str:
    """The text with JSON's escapes read, wherever they stand; control characters become blanks."""
    found = _ESCAPE.sub(_read_escape, text)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read_escape(match: re.Match[str]) -> str:
    code, control, itself = match.groups()
    return chr(int(code, 16)) if code else " " if control else str(itself)


def _plain(text: str) -> str:
    words: Sequence[str] = fold(text).split()
    return " ".join(words)
