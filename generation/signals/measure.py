"""All signals of a batch of localised rows, each measured once and null where it cannot be."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.tables import Row
from whyguard.core.values import Label
from whyguard.curation.langid import Classifier
from whyguard.generation.packs.glossary import locked_spans, violations
from whyguard.generation.packs.load import Pack, load_pack
from whyguard.generation.signals import text as of_text
from whyguard.generation.signals.edits import with_edits
from whyguard.generation.signals.harm import Judge, Judged
from whyguard.generation.signals.languages import (
    Localised,
    code_switch_share,
    language_confidence,
    open_classifier,
)
from whyguard.generation.signals.names import Signal
from whyguard.generation.signals.numbers import numbers_kept
from whyguard.generation.signals.roundtrip import (
    Journey,
    round_trip_chrf,
    round_trip_overlap,
    way_back,
)
from whyguard.generation.translation.backends import Backend

Value = float | None
Values = dict[Signal, list[Value]]


class Pair(NamedTuple):
    """A localised row, the row it was translated from, and the text that it must not repeat."""

    row: Row
    source: Row | None
    prompt: Row | None = None
    """Explanations: their prompt in the same language."""

    @property
    def edited(self) -> str | None:
        """The source's text with the row's edits; None without a source, or if they do not fit."""
        return with_edits(self.source, self.row) if self.source else None


class Tools(NamedTuple):
    """What signals are measured with; what is not there makes its signals null."""

    classifier: str | None = None
    """Folder of a language classifier; None: the built-in one."""
    backends: Sequence[Backend] = ()
    """Ways back."""
    judge: Judge | None = None
    judge_languages: tuple[str, ...] = ()
    packs: Path | None = None
    """The user's localisation packs."""


class Measured(NamedTuple):
    """One value a signal and pair, in order; `no_way` says which ways back there are not."""

    values: Values
    no_way: dict[str, str]


def measure(pairs: Sequence[Pair], wanted: Sequence[Signal], tools: Tools) -> Measured:
    """Every wanted signal of every pair.

    Raises:
        MissingExtraError: a package that a wanted signal needs is not installed.
        WhyguardError: a way back or the judge failed.
    """
    values: Values = {name: [_of_texts(name, pair, tools) for pair in pairs]
                      for name in wanted if name in _PAIRWISE}  # fmt: skip
    values |= _of_languages(pairs, wanted, tools)
    if Signal.LENGTH_RATIO_Z in wanted:
        values[Signal.LENGTH_RATIO_Z] = _length_z(pairs)
    if Signal.GLOSSARY_VIOLATIONS in wanted:
        values[Signal.GLOSSARY_VIOLATIONS] = _glossary(pairs, tools.packs)
    backs, no_way = _backs(pairs, wanted, tools)
    values |= _of_round_trip(pairs, wanted, backs)
    if tools.judge is not None and _JUDGED & set(wanted):
        values |= _of_harm(pairs, backs, tools.judge, tools.judge_languages)
    nulls: list[Value] = [None] * len(pairs)
    return Measured({name: values.get(name, nulls) for name in wanted}, no_way)


def coverage(pairs: Sequence[Pair], values: Values) -> dict[str, dict[str, dict[str, int]]]:
    """By signal and language: how many rows were measured, and how many could not be."""
    languages = [str(pair.row["language"]) for pair in pairs]
    return {name.value: _counts(languages, column) for name, column in values.items()}


def _counts(languages: Sequence[str], column: Sequence[Value]) -> dict[str, dict[str, int]]:
    found = Counter((language, value is None)
                    for language, value in zip(languages, column, strict=True))  # fmt: skip
    return {language: {"measured": found[language, False], "null": found[language, True]}
            for language in sorted(set(languages))}  # fmt: skip


def _numbers(pair: Pair, source: Row, tools: Tools) -> Value:
    if (text := pair.edited) is None:
        return None
    return numbers_kept(text, source["language"], pair.row["text"], pair.row["language"])


def _negation(pair: Pair, source: Row, tools: Tools) -> Value:
    return of_text.negation_shift(source["text"], source["language"], pair.row["text"],
                                  pair.row["language"])  # fmt: skip


def _copied(pair: Pair, source: Row, tools: Tools) -> Value:
    text = pair.edited
    return None if text is None else of_text.copied_share(text, pair.row["text"])


def _ratio(pair: Pair, source: Row, tools: Tools) -> Value:
    return of_text.length_ratio(source["text"], pair.row["text"])


def _placeholders(pair: Pair, source: Row, tools: Tools) -> Value:
    return of_text.placeholders_kept(source["text"], pair.row["text"])


_BESIDE_SOURCE: Mapping[Signal, Callable[[Pair, Row, Tools], Value]] = {
    Signal.COPIED_SHARE: _copied,
    Signal.LENGTH_RATIO: _ratio,
    Signal.NUMBERS_KEPT: _numbers,
    Signal.PLACEHOLDERS_KEPT: _placeholders,
    Signal.NEGATION_SHIFT: _negation,
}
_PAIRWISE = {*_BESIDE_SOURCE, Signal.SCRIPT_PURITY, Signal.PROMPT_REPEATED}
_ROUND_TRIP = frozenset({Signal.ROUND_TRIP_CHRF, Signal.ROUND_TRIP_OVERLAP})
_JUDGED = frozenset({Signal.HARM_AGREEMENT, Signal.HARM_SHIFT})


def _of_texts(name: Signal, pair: Pair, tools: Tools) -> Value:
    if name is Signal.SCRIPT_PURITY:
        return of_text.script_purity(pair.row["text"], pair.row["language"])
    if name is Signal.PROMPT_REPEATED:
        return of_text.copied_share(pair.prompt["text"], pair.row["text"]) if pair.prompt else None
    return _BESIDE_SOURCE[name](pair, pair.source, tools) if pair.source else None


def _of_languages(pairs: Sequence[Pair], wanted: Sequence[Signal], tools: Tools) -> Values:
    known: dict[Signal, Callable[[Classifier, Sequence[Localised]], list[Value]]] = {
        Signal.LANGUAGE_CONFIDENCE: language_confidence,
        Signal.CODE_SWITCH_SHARE: code_switch_share,
    }
    asked = [name for name in known if name in wanted]
    if not asked or not pairs:
        return {}
    classifier = open_classifier(tools.classifier)
    rows = [Localised(pair.row["text"], pair.row["language"]) for pair in pairs]
    return {name: known[name](classifier, rows) for name in asked}


def _glossary(pairs: Sequence[Pair], folder: Path | None) -> list[Value]:
    """Violations of each pair; null where no term of its source is locked."""
    packs = {
        code: load_pack(code, folder) for code in {str(pair.row["language"]) for pair in pairs}
    }
    return [_violations(pair, packs[pair.row["language"]]) for pair in pairs]


def _violations(pair: Pair, pack: Pack | None) -> Value:
    source = pair.source
    if source is None or pack is None:
        return None
    if not locked_spans(source["text"], source["language"], pack):
        return None
    return float(violations(source["text"], pair.row["text"], source["language"], pack))


def _length_z(pairs: Sequence[Pair]) -> list[Value]:
    """Against rows of the same two languages."""
    values: list[Value] = [None] * len(pairs)
    groups: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(pairs):
        if pair.source:
            groups.setdefault((pair.source["language"], pair.row["language"]), []).append(i)
    for at in groups.values():
        ratios = [of_text.length_ratio(str(source["text"]), pairs[i].row["text"])
                  for i in at if (source := pairs[i].source)]  # fmt: skip
        for i, z in zip(at, of_text.length_z(ratios), strict=True):
            values[i] = z
    return values


def needs_way_back(wanted: Sequence[Signal], judging: bool) -> bool:
    """Whether a wanted signal reads back-translations."""
    return bool(_ROUND_TRIP & set(wanted)) or (judging and bool(_JUDGED & set(wanted)))


def _backs(pairs: Sequence[Pair], wanted: Sequence[Signal], tools: Tools
           ) -> tuple[list[str | None], dict[str, str]]:  # fmt: skip
    """Back-translations, where a wanted signal reads them."""
    backs: list[str | None] = [None] * len(pairs)
    if not needs_way_back(wanted, tools.judge is not None):
        return backs, {}
    at = [i for i, pair in enumerate(pairs) if pair.source]
    journeys = [Journey(pairs[i].row["text"], pairs[i].row["language"], source["language"])
                for i in at if (source := pairs[i].source)]  # fmt: skip
    done = way_back(tools.backends, journeys)
    for i, text in zip(at, done.texts, strict=True):
        backs[i] = text
    return backs, done.no_way


def _of_round_trip(pairs: Sequence[Pair], wanted: Sequence[Signal], backs: Sequence[str | None]
                   ) -> Values:  # fmt: skip
    known: dict[Signal, Callable[[str, str], Value]] = {
        Signal.ROUND_TRIP_CHRF: round_trip_chrf,
        Signal.ROUND_TRIP_OVERLAP: round_trip_overlap,
    }
    both = [(text, back) if back is not None and (text := pair.edited) is not None else None
            for pair, back in zip(pairs, backs, strict=True)]  # fmt: skip
    return {name: [compare(*texts) if texts else None for texts in both]
            for name, compare in known.items() if name in wanted}  # fmt: skip


def _of_harm(pairs: Sequence[Pair], backs: Sequence[str | None], judge: Judge,
             languages: tuple[str, ...]) -> Values:  # fmt: skip
    """The verdict on the translation where the judge knows its language, else on what came back."""
    judged: list[Judged | None] = []
    for pair, back in zip(pairs, backs, strict=True):
        judged += [_readable(pair, back, languages), _judgeable(pair.source, languages)]
    scores = iter(judge.harmful([item for item in judged if item]))
    found = [next(scores) if item else None for item in judged]
    local, source = found[0::2], found[1::2]
    return {
        Signal.HARM_AGREEMENT: [_agreement(p, pair.row.get("label"))
                                for p, pair in zip(local, pairs, strict=True)],
        Signal.HARM_SHIFT: [None if a is None or b is None else a - b
                            for a, b in zip(local, source, strict=True)],
    }  # fmt: skip


def _readable(pair: Pair, back: str | None, languages: tuple[str, ...]) -> Judged | None:
    direct = _judgeable(pair.row, languages)
    if direct or back is None:
        return direct
    return _judgeable(dict(pair.source or {}) | {"text": back}, languages)


def _judgeable(row: Mapping[str, Any] | None, languages: tuple[str, ...]) -> Judged | None:
    if not row or row["language"] not in languages:
        return None
    return Judged(row["prompt_id"], row["family_id"], row["language"], row["text"])


def _agreement(harmful: Value, label: str | None) -> Value:
    if harmful is None or label is None:
        return None
    return harmful if label == Label.HARMFUL.value else 1.0 - harmful
