"""Cuts long texts into pieces for engines with a length limit; joining gives the text back.

No library: of those on PyPI, sentencex (300 languages, kept up) panics on a text with U+2028,
wtpsplit brings a model, pysbd and sentence-splitter rest since years. Pieces hold as many
sentences as fit, so a cut after an abbreviation is rare and costs little.
"""

import bisect
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from whyguard.generation.translation.masking import TOKEN

BREAKS = re.compile("(\r\n|[\n\r\v\f\x1c-\x1e\u0085\u2028\u2029])")
"""Line breaks of every kind."""

_OPEN_ENDS = "。！？｡︒．"
"""Ends of sentences that need no blank after them (Chinese, Japanese)."""
_OPEN_COMMAS = "、，；："
_OPEN = _OPEN_ENDS + _OPEN_COMMAS
_ENDS = (
    ".!?…‥‼⁇⁈⁉"
    "։"  # Armenian
    "؟۔؞"  # Arabic, Urdu
    "܀܁܂"  # Syriac
    "।॥"  # Devanagari and most scripts of India
    "။"  # Burmese; its comma-like mark is no end
    "།༎"  # Tibetan
    "።፧፨"  # Ethiopic
    "។៕"  # Khmer
    "᠃᠉"  # Mongolian
    "᱾᱿"  # Ol Chiki
    "꧈꧉"  # Javanese
    "᭞᭟"  # Balinese
    "߸"  # N'Ko
    "꩝꩞꩟"  # Cham
)
_CLOSERS = "\"'”’»›)\\]}」』】）＂*_"
# Possessive: a long run of stops is looked at once.
_SENTENCE = re.compile(f"[{_ENDS}{_OPEN_ENDS}]++[{_CLOSERS}]*+")
_CLAUSE = re.compile("[,;:،؛、，；：፣፤၊–—]++")
_BLANKS = re.compile(r"\s++")
_INITIAL = re.compile(r"(?:^|[\s.(«“\"'])[^\W\d_]$")
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"


class Pieces(NamedTuple):
    """A text's pieces, and what stands before, between and after them (one more than pieces)."""

    pieces: tuple[str, ...]
    separators: tuple[str, ...]

    def join(self, pieces: Sequence[str], *, spaced: bool = False) -> str:
        """The text with other pieces.

        `spaced`: where nothing but a full-width stop or comma parted two pieces (Chinese,
        Japanese), a blank does.
        """
        out = [self.separators[0]]
        for number, piece in enumerate(pieces, 1):
            after, closed = self.separators[number], self.pieces[number - 1][-1] in _OPEN
            blank = spaced and closed and not after and number < len(pieces)
            out += [piece, " " if blank else after]
        return "".join(out)


def split(text: str, max_chars: int) -> Pieces:
    """Cut at line breaks, and lines of more than `max_chars` where sentences end.

    A sentence that is longer itself is cut after a comma or the like, else at a blank, else
    anywhere but inside a mask's token or before a combining mark. Pieces neither begin nor end
    with a blank, none is empty, and `split(t).join(split(t).pieces) == t`.
    """
    pieces, separators, end = [], [], 0
    for start, stop in _ranges(text, max_chars):
        separators.append(text[end:start])
        pieces.append(text[start:stop])
        end = stop
    return Pieces(tuple(pieces), (*separators, text[end:]))


def _ranges(text: str, max_chars: int) -> Iterator[tuple[int, int]]:
    at = 0
    for number, part in enumerate(BREAKS.split(text)):
        if number % 2 == 0 and part.strip():
            first = at + len(part) - len(part.lstrip())
            yield from _cut_line(part.strip(), first, max_chars)
        at += len(part)


def _cut_line(line: str, offset: int, max_chars: int) -> Iterator[tuple[int, int]]:
    start = 0
    places = _Places(line) if len(line) > max_chars else None
    while places is not None and len(line) - start > max_chars:
        end = places.best(start, max_chars)
        stripped = line[start:end].rstrip()
        yield offset + start, offset + start + len(stripped)
        blanks = _BLANKS.match(line, end)
        start = blanks.end() if blanks else end
    if start < len(line):
        yield offset + start, offset + len(line)


class _Places:
    """Where a line may be cut: after sentences, after clauses, at blanks."""

    def __init__(self, line: str) -> None:
        self._line = line
        clauses = [m.end() for m in _CLAUSE.finditer(line) if _is_open(line, m.end(), _OPEN_COMMAS)]
        blanks = [match.start() for match in _BLANKS.finditer(line)]
        self._ranked = (_sentence_ends(line), clauses, blanks)
        self._tokens = [match.span() for match in TOKEN.finditer(line)]

    def best(self, start: int, max_chars: int) -> int:
        """The last place of the best kind within `max_chars` of `start`."""
        for places in self._ranked:
            found = bisect.bisect_right(places, start + max_chars) - 1
            if found >= 0 and places[found] > start:
                return places[found]
        return self._anywhere(start, start + max_chars)

    def _anywhere(self, start: int, end: int) -> int:
        line = self._line
        number = bisect.bisect_left(self._tokens, (end, 0)) - 1  # the last to begin before it
        if number >= 0 and end < self._tokens[number][1]:
            first, last = self._tokens[number]
            end = first if first > start else last
        back = end
        while back > start and _leans(line, back):
            back -= 1
        if back > start:
            return back
        while end < len(line) and _leans(line, end):
            end += 1
        return end


def _leans(line: str, at: int) -> bool:
    """Whether what stands at a place belongs to the character before it."""
    if at >= len(line):
        return False
    return unicodedata.category(line[at])[0] == "M" or line[at] in _JOINERS or (
        line[at - 1] == "\u200d")  # fmt: skip


def _sentence_ends(line: str) -> list[int]:
    ends = [match for match in _SENTENCE.finditer(line)]
    return [m.end() for m in ends if _is_open(line, m.end(), _OPEN_ENDS) and not _is_inner(line, m)]


def _is_open(line: str, end: int, marks: str) -> bool:
    """Whether a blank follows, or the mark needs none."""
    return end < len(line) and (line[end].isspace() or line[end - 1] in marks)


def _is_inner(line: str, match: re.Match[str]) -> bool:
    """Whether a full stop ends an initial, or goes on in lower case: no end of a sentence."""
    if match.group() != ".":
        return False
    after = line[match.end() : match.end() + 40].lstrip()
    return after[:1].islower() or bool(_INITIAL.search(line[max(0, match.start() - 2)
                                                            : match.start()]))  # fmt: skip
