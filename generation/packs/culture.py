"""Culture substitutions: local names, places, money and help lines in place of foreign ones."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from whyguard.curation.normalise import fold
from whyguard.generation.packs.around import (
    is_call,
    is_in_longer_name,
    is_inside_number,
    is_number,
    is_possessive,
)
from whyguard.generation.packs.load import Pack, Substitution
from whyguard.generation.packs.spans import Hit, Span, cased_like, find

UNREVIEWED = "help lines left (unreviewed)"
POSSESSIVE = "names left (possessive)"
LONGER_NAME = "names left (part of a longer name)"
TAKEN = "names left (each counterpart stands in the text)"


class Localised(NamedTuple):
    """What of a text gives way to what, and what was left as it stands."""

    spans: tuple[Span, ...] = ()
    """Sorted, never overlapping."""
    left: tuple[str, ...] = ()
    """One of the lines above for each source word that was left."""


def culture_spans(text: str, language: str, pack: Pack, key: str) -> tuple[Span, ...]:
    """The spans of `localised`."""
    return localised(text, language, pack, key).spans


def localised(text: str, language: str, pack: Pack, key: str, prompt: str = "") -> Localised:
    """What of `text` (in `language`) has a local counterpart, and which one `key` chooses.

    Within one key (a family of prompts, say) a name has the same counterpart in every text, but
    where that one stands in the text already or is given to another name: then the next is taken.
    Entries that share their targets get different ones as long as there are enough. What would
    break a text is left, in all its places, and said in `left`.

    Args:
        text: to be translated.
        language: of `text`.
        pack: of the language that it is translated into.
        key: chooses.
        prompt: of a rationale: what its names became, or that they were left, holds in `text`.
    """
    swaps = _Swaps(language, pack, key)
    if prompt:
        swaps.read(prompt)
    hits = swaps.read(text)
    spans = tuple(span for hit in hits if (span := swaps.span(text, hit)))
    return Localised(spans, tuple(swaps.left[n] for n in sorted({h.word for h in hits})
                                  if n in swaps.left))  # fmt: skip


class _Swaps:
    """What each source word becomes, decided text by text: the first text decides."""

    def __init__(self, language: str, pack: Pack, key: str) -> None:
        self._entries = [entry for entry in pack.culture if entry.language == language]
        self._language, self._key, self._reviewed = language, key, bool(pack.reviewed)
        self._chosen: dict[int, str] = {}
        self.left: dict[int, str] = {}
        """Source words that stay, and why."""

    def read(self, text: str) -> list[Hit]:
        """Decide on the words of a text; all their places in it."""
        found = find(text, [entry.source for entry in self._entries])
        hits = [hit for hit in found if self._is_meant(text, hit)]
        self._leave_unfit(text, hits)
        for number in sorted({hit.word for hit in hits} - set(self.left) - set(self._chosen)):
            target = self._free(text, number)
            if target is None:
                self.left[number] = TAKEN
            else:
                self._chosen[number] = target
        self._leave_longer_names(text, hits)
        return hits

    def span(self, text: str, hit: Hit) -> Span | None:
        """What stands in the place of a hit; None where it is left."""
        if hit.word in self.left:
            return None
        entry, found = self._entries[hit.word], text[hit.start : hit.end]
        form = cased_like(self._chosen[hit.word], entry.source, found)
        shown = " ".join(found.split())
        edit = "" if form == shown else f"{entry.kind}: {shown} -> {form}"
        return Span(hit.start, hit.end, form, edit)

    def _is_meant(self, text: str, hit: Hit) -> bool:
        """Whether a hit is the entry's thing at all: not a trade, a year or a part of a number."""
        entry, (start, end, _) = self._entries[hit.word], hit
        if not _has_capitals(entry, text[start:end]):
            return False
        if not is_number(entry.source):
            return True
        return not is_inside_number(text, start, end) and (
            entry.kind != "help_line" or is_call(text, start, end, self._language))  # fmt: skip

    def _leave_unfit(self, text: str, hits: Iterable[Hit]) -> None:
        for start, end, number in hits:
            entry = self._entries[number]
            if entry.kind == "help_line" and not (entry.reviewed or self._reviewed):
                self.left[number] = UNREVIEWED
            elif is_possessive(text, start, end):
                self.left[number] = POSSESSIVE

    def _leave_longer_names(self, text: str, hits: Sequence[Hit]) -> None:
        """Until nothing changes: a name that stays makes the next one part of a longer name."""
        while True:
            kept = [hit for hit in hits if hit.word not in self.left]
            longer = {hit.word for hit in kept
                      if self._entries[hit.word].kind in ("name", "place")
                      and is_in_longer_name(text, hit, kept, self._language)}  # fmt: skip
            if not longer:
                return
            self.left.update(dict.fromkeys(longer, LONGER_NAME))

    def _free(self, text: str, number: int) -> str | None:
        """The first counterpart, from where the key points, that would not be read as another."""
        entry = self._entries[number]
        # entries with the same kind and targets start at one place, each moved on by one
        before = sum((e.kind, e.targets) == (entry.kind, entry.targets)
                     for e in self._entries[:number])  # fmt: skip
        start = before + int.from_bytes(hashlib.sha256(self._key.encode()).digest()[:8])
        count = len(entry.targets)
        targets = (entry.targets[(start + step) % count] for step in range(count))
        return next((t for t in targets if not self._is_taken(text, number, t)), None)

    def _is_taken(self, text: str, number: int, target: str) -> bool:
        entry = self._entries[number]
        if fold(target) != fold(entry.source) and find(text, [target]):
            return True
        return any(given == target and not _is_same_thing(entry, self._entries[other])
                   for other, given in self._chosen.items())  # fmt: skip


def _has_capitals(entry: Substitution, found: str) -> bool:
    """Names, places and short forms such as FBI keep their capitals: a smith is a trade."""
    if entry.kind not in ("name", "place") and not entry.source.isupper():
        return True
    pairs = zip("".join(entry.source.split()), "".join(found.split()), strict=False)
    return all(mine == theirs or theirs.isupper() for mine, theirs in pairs)


def _is_same_thing(one: Substitution, other: Substitution) -> bool:
    """Whether two entries may share a counterpart: dollar and dollars, New York and its City."""
    if one.kind != other.kind or one.kind == "name":
        return False
    mine, theirs = fold(one.source), fold(other.source)
    return one.kind == "help_line" or mine in theirs or theirs in mine
