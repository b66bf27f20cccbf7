"""What is known of a row that may tell that it is wrong: one matrix of named features.

Every feature runs one way: higher is worse. Rows of one language are compared with each other only,
and a value becomes its *surprise*, the negative natural logarithm of the share of the language's
rows that are as bad or worse: 0 for the best rows, ln 10 for the worst tenth. Beyond the worst
quarter the surprise goes on with the distance, as an exponential tail does, so that a value far out
counts for more than the worst of many ordinary ones. Where it is known beforehand how a value
should be (all numbers kept, no negation lost), anything else surprises by itself.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.core.tables import Row
from whyguard.core.values import Label
from whyguard.generation.signals.names import LOST_PLACEHOLDERS, UNKNOWN_WORD_SHARE, Signal

Floats = NDArray[np.float64]
Value = float | None
NEUTRAL = 1.0
"""Mean surprise of a value that says nothing: what a null counts as."""
_FARTHEST = 8.0
"""No surprise is larger: a value far out is not worse than one just as clearly out."""
_FAULT = 6.0
"""Surprise of a fault in a signal where nearly all rows have none."""
_COMMON = 0.5
"""Share of rows with such a fault from which on it tells nothing."""
_BULK = 0.75
"""Share of the rows whose surprise is by rank alone."""
_EDGE = 1e-4
_NO_SPREAD = 1e-9
EXPLANATION = "explanation "
"""What the names of the explanation's own signals begin with."""


class Kind(NamedTuple):
    """How a signal becomes a feature: `aspect` is what it looks at, `badness` the direction."""

    aspect: str
    badness: Callable[[float], float]
    crisp: bool = False
    """Badness 0 is as it should be, and anything else a fault by itself."""


def _unlikely(share: float) -> float:
    """Log-odds against: probabilities near 1 differ in their logarithm."""
    inside = min(max(share, _EDGE), 1.0 - _EDGE)
    return math.log((1.0 - inside) / inside)


def _lost(share: float) -> float:
    return 1.0 - share


def _as_it_is(value: float) -> float:
    return value


_OF_TEXT: dict[str, Kind] = {
    Signal.LANGUAGE_CONFIDENCE.value: Kind("language", _unlikely),
    Signal.SCRIPT_PURITY.value: Kind("language", _lost),
    Signal.CODE_SWITCH_SHARE.value: Kind("language", _as_it_is),
    Signal.COPIED_SHARE.value: Kind("copied", _as_it_is),
    UNKNOWN_WORD_SHARE: Kind("words", _as_it_is),
    Signal.LENGTH_RATIO_Z.value: Kind("length", abs),
    Signal.NUMBERS_KEPT.value: Kind("numbers", _lost, crisp=True),
    Signal.PLACEHOLDERS_KEPT.value: Kind("placeholders", _lost, crisp=True),
    LOST_PLACEHOLDERS: Kind("placeholders", _as_it_is, crisp=True),
    Signal.GLOSSARY_VIOLATIONS.value: Kind("glossary", _as_it_is, crisp=True),
    Signal.NEGATION_SHIFT.value: Kind("negation", abs, crisp=True),
    Signal.ROUND_TRIP_CHRF.value: Kind("round trip", lambda chrf: 1.0 - chrf / 100.0),
    Signal.ROUND_TRIP_OVERLAP.value: Kind("round trip", _lost),
    Signal.HARM_AGREEMENT.value: Kind("harm", _lost),
    Signal.HARM_SHIFT.value: Kind("harm", abs),
    Signal.PROMPT_REPEATED.value: Kind("repeated", _as_it_is),
}
FAMILY_SPREAD, VOTE_AGAINST, VOTE_ENTROPY = "family_spread", "votes_against", "vote_entropy"
_OF_FAMILY: dict[str, Kind] = {
    FAMILY_SPREAD: Kind("family", _as_it_is),
    VOTE_AGAINST: Kind("votes", _as_it_is),
    VOTE_ENTROPY: Kind("votes", _as_it_is),
}
KINDS: dict[str, Kind] = _OF_TEXT | _OF_FAMILY | {
    f"{EXPLANATION}{name}": kind._replace(aspect=f"{EXPLANATION}{kind.aspect}")
    for name, kind in _OF_TEXT.items()
}  # fmt: skip
"""Every feature there is. A judge's `harm_agreement` of an explanation tells whether it fits the
verdict."""
NAMES = tuple(KINDS)
ASPECTS = tuple(dict.fromkeys(kind.aspect for kind in KINDS.values()))


@dataclass(frozen=True, slots=True)
class Features:
    """The features of N rows; the F columns are those of `NAMES`, NaN where not measurable."""

    languages: tuple[str, ...]
    values: Floats
    """(N, F) as the signals have them."""
    surprise: Floats
    """(N, F) negative natural logarithms, 0 .. 8."""
    better: Floats
    """(N, F) share of the language's rows that are less bad, 0..1."""

    def __len__(self) -> int:
        return len(self.languages)

    def by_aspect(self) -> Floats:
        """(N, A) the largest surprise of each aspect of `ASPECTS`; NaN where none is measurable."""
        columns = []
        for aspect in ASPECTS:
            at = [i for i, name in enumerate(NAMES) if KINDS[name].aspect == aspect]
            own = self.surprise[:, at]
            filled = np.where(np.isnan(own), -np.inf, own).max(axis=1)
            columns.append(np.where(np.isinf(filled), np.nan, filled))
        return np.column_stack(columns)


def features_of(examples: Sequence[Row], traces: Sequence[Row] = (),
                explanations: Sequence[Row] = ()) -> Features:  # fmt: skip
    """The features of version rows, in their order.

    Traces and explanations belong to families: their `prompt_id` is an example's, or
    `FAMILY:LANGUAGE`.
    """
    families = {str(row["example_id"]): str(row["family_id"]) for row in examples}
    found = [_signals(row["signals"]) for row in examples]
    spread = _family_spread(examples, found)
    votes = _votes(examples, traces, families)
    own = {(_family(row, families), row["language"]): _signals(row["signals"])
           for row in explanations}  # fmt: skip
    for row, values, apart, vote in zip(examples, found, spread, votes, strict=True):
        values[FAMILY_SPREAD] = apart
        values[VOTE_AGAINST], values[VOTE_ENTROPY] = vote
        if row["explanation"] is not None:
            theirs = own.get((row["family_id"], row["language"]), {})
            values.update({f"{EXPLANATION}{name}": value for name, value in theirs.items()})
    table = np.array([[_number(values.get(name)) for name in NAMES] for values in found])
    return standardised([str(row["language"]) for row in examples],
                        table.reshape(len(examples), len(NAMES)))  # fmt: skip


def standardised(languages: Sequence[str], values: Floats) -> Features:
    """Surprises of (N, F) values within each language."""
    surprise, better = np.full_like(values, np.nan), np.full_like(values, np.nan)
    codes = np.asarray(languages)
    for column, name in enumerate(NAMES):
        for language in sorted(set(languages)):
            at = np.flatnonzero((codes == language) & ~np.isnan(values[:, column]))
            bad = np.array([KINDS[name].badness(float(v)) for v in values[at, column]])
            found, better[at, column] = surprises(bad)
            surprise[at, column] = with_faults(found, bad) if KINDS[name].crisp else found
    return Features(tuple(languages), values, surprise, better)


def surprises(bad: Floats) -> tuple[Floats, Floats]:
    """Surprise (M,) of each of M values, and the share of values that are less bad."""
    if not bad.size:
        return bad, bad
    ordered = np.sort(bad)
    better = np.searchsorted(ordered, bad, side="left") / bad.size
    by_rank = -np.log(1.0 - better)
    middle, edge = np.quantile(bad, [0.5, _BULK])
    scale = (edge - middle) / math.log(0.5 / (1.0 - _BULK))
    if scale <= _NO_SPREAD:
        return np.minimum(by_rank, _FARTHEST), better
    beyond = -math.log(1.0 - _BULK) + (bad - edge) / scale
    tail = np.where(bad > edge, (by_rank + beyond) / 2.0, by_rank)
    return np.minimum(tail, _FARTHEST), better


def with_faults(found: Floats, bad: Floats) -> Floats:
    """Surprises (M,) of a crisp signal: a fault surprises by itself, however many rows have it.

    Only where half of the language's rows have it, it is the signal that is at fault (a list of
    words that does not fit), and ranks alone count.
    """
    faults = bad > 0.0
    share = float(faults.mean()) if bad.size else 0.0
    return np.where(faults, np.maximum(found, _FAULT * (1.0 - share / _COMMON)), found)


def _signals(signals: Sequence[Row]) -> dict[str, Value]:
    return {item["name"]: item["value"] for item in signals}


def _number(value: Value) -> float:
    return math.nan if value is None else float(value)


def _family(row: Row, families: Mapping[str, str]) -> str:
    name = str(row["prompt_id"])
    return families.get(name) or name.rpartition(":")[0]


def _family_spread(examples: Sequence[Row], found: Sequence[Mapping[str, Value]]) -> list[Value]:
    """How far each row's P(source label) is from the median of its family's other languages."""
    known: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, (row, values) in enumerate(zip(examples, found, strict=True)):
        value = values.get(Signal.HARM_AGREEMENT.value)
        if value is not None:
            known[row["family_id"]].append((number, value))
    spread: list[Value] = [None] * len(examples)
    for members in known.values():
        for number, value in members:
            others = [other for at, other in members if at != number]
            if others:
                spread[number] = abs(value - statistics.median(others))
    return spread


def _votes(examples: Sequence[Row], traces: Sequence[Row], families: Mapping[str, str]
           ) -> list[tuple[Value, Value]]:  # fmt: skip
    """Share of the family's traces that came to another verdict than the label, and their entropy.

    Both null where there are fewer than two.
    """
    harmful: dict[str, list[bool]] = defaultdict(list)
    for row in traces:
        harmful[_family(row, families)].append(row["verdict"] == Label.HARMFUL)
    return [_vote(harmful.get(row["family_id"], []), row["label"] == Label.HARMFUL)
            for row in examples]  # fmt: skip


def _vote(verdicts: Sequence[bool], label: bool) -> tuple[Value, Value]:
    if len(verdicts) < 2:
        return None, None
    against = sum(verdict != label for verdict in verdicts) / len(verdicts)
    entropy = -sum(p * math.log2(p) for p in (against, 1.0 - against) if p > 0.0)
    return against, abs(entropy)
