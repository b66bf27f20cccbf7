"""What all engines share: masks, pieces of long texts, and one hop or two through a pivot."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from whyguard.core.artefact import ModelUse
from whyguard.generation.translation.backends import NO_GUIDE, BackendConfig, Found, Guide
from whyguard.generation.translation.masking import Masked, edits_in, mask, unmask
from whyguard.generation.translation.sentences import Pieces, split

Terms = tuple[tuple[str, str], ...]
_UNSPACED = frozenset({"Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})


class Raw(NamedTuple):
    """What an engine made of one masked piece; `text` is None where it had nothing."""

    text: str | None
    unknown: int | None = None
    """Words left as they stood; None: not measured."""
    reason: str = ""
    """Why there is no text."""


class Engine(Protocol):
    """Translates masked pieces; knows nothing of masks, pivots and lengths."""

    label: str
    uses: tuple[ModelUse, ...]

    def name(self, source: str, target: str) -> str:
        """What rows name as their translator."""
        ...

    def translate(self, source: str, target: str, pieces: Sequence[str],
                  terms: Sequence[Terms]) -> list[Raw]:  # fmt: skip
        """One result a piece, in order; `terms` is the glossary of each."""
        ...


class _Way(NamedTuple):
    """A text on its way: masked, and what was measured so far."""

    text: str
    unknown: int | None = None
    """Words left as they stood: of the hop that left most."""


class EngineBackend:
    """A backend around an engine.

    Masks are made once, before the first hop, and undone after the last.
    """

    def __init__(self, engine: Engine, entry: BackendConfig) -> None:
        self._engine, self._entry = engine, entry
        self.label = f"{engine.label} via {entry.pivot}" if entry.pivot else engine.label
        self.reasons: Counter[str] = Counter()
        self.uses = engine.uses

    def translate(self, source: str, target: str, texts: Sequence[str],
                  guides: Sequence[Guide] | None = None) -> list[Found | None]:  # fmt: skip
        """New translations.

        Raises:
            ConfigError: the engine does not know a language or a pair.
        """
        if not texts or not self._entry.serves(target):
            return [None] * len(texts)
        known = guides or [NO_GUIDE] * len(texts)
        masks = [mask(text, guide.spans) for text, guide in zip(texts, known, strict=True)]
        ways: list[_Way | None] = [_Way(masked.text) for masked in masks]
        for hop in hops(self._entry, source, target):
            # a glossary is of one pair: it says nothing of a hop to or from a pivot
            terms = [guide.terms if hop == (source, target) else () for guide in known]
            ways = self._hop(*hop, ways, terms)
        name = self.name(source, target)
        return [_found(way, masked, name) for way, masked in zip(ways, masks, strict=True)]

    def name(self, source: str, target: str) -> str:
        """The engine's name, of both hops where there are two."""
        names = [self._engine.name(*hop) for hop in hops(self._entry, source, target)]
        if len(names) == 2 and names[0] == names[1]:
            return f"{names[0]} via {self._entry.pivot}"
        return " then ".join(names)

    def _hop(self, source: str, target: str, ways: Sequence[_Way | None],
             terms: Sequence[Terms]) -> list[_Way | None]:  # fmt: skip
        most = self._entry.piece_chars
        cuts = [cut(way.text, most) if way else Pieces((), ("",)) for way in ways]
        pieces = [piece for one in cuts for piece in one.pieces]
        glossary = [words for one, words in zip(cuts, terms, strict=True) for _ in one.pieces]
        answers = iter(self._engine.translate(source, target, pieces, glossary))
        spaced = target[4:] not in _UNSPACED
        done: list[_Way | None] = []
        for way, one in zip(ways, cuts, strict=True):
            mine = [next(answers) for _ in one.pieces]
            done.append(self._joined(way, one, mine, spaced) if way else None)
        return done

    def _joined(self, way: _Way, pieces: Pieces, answers: Sequence[Raw], spaced: bool
                ) -> _Way | None:  # fmt: skip
        texts = [answer.text for answer in answers if answer.text is not None]
        if len(texts) < len(answers):
            self.reasons[next(a.reason for a in answers if a.text is None)] += 1
            return None
        measured = [answer.unknown for answer in answers if answer.unknown is not None]
        hop = [sum(measured)] if measured else []
        before = [] if way.unknown is None else [way.unknown]
        # a word that the first engine left as it stood is unknown to the second too: the worse
        # hop counts, not both
        return _Way(pieces.join(texts, spaced=spaced), max([*before, *hop], default=None))


def hops(entry: BackendConfig, source: str, target: str) -> list[tuple[str, str]]:
    """The pairs on the way: one, or two where there is a pivot between."""
    pivot = entry.pivot
    if pivot is None or pivot in (source, target):
        return [(source, target)]
    return [(source, pivot), (pivot, target)]


def cut(text: str, max_chars: int | None) -> Pieces:
    """A masked text in the pieces that an engine gets."""
    return Pieces((text,), ("", "")) if max_chars is None else split(text, max_chars)


def _found(way: _Way | None, masked: Masked, name: str) -> Found | None:
    if way is None:
        return None
    text, lost = unmask(way.text, masked.originals)
    return Found(text, name, way.unknown, lost, edits_in(way.text, masked))
