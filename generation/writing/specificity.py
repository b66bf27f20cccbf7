"""Does an explanation fit its own prompt better than other prompts of the same category?"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from whyguard.core.hashing import sha256_text
from whyguard.core.tables import Row
from whyguard.curation.normalise import fold
from whyguard.generation.signals.text import words_of

_SHORTEST, _LONGEST = 3, 5
Vector = Mapping[str, float]


class _Known(NamedTuple):
    """What is kept of a prompt."""

    family: str
    group: str
    language: str
    categories: frozenset[str]
    vector: Vector


class Specificity:
    """Compares explanations with prompts in the same language, by TF-IDF of character n-grams.

    N-grams of 3 to 5 characters do without stemming, and work in scripts without spaces. They see
    shared wording, not meaning: a rationale in other words than its prompt may look unspecific.
    """

    def __init__(self, prompts: Sequence[Row], most_others: int = 8) -> None:
        self._most = most_others
        self._idf = _idf(prompts)
        self._own: dict[tuple[str, str], _Known] = {}
        self._rivals: dict[tuple[str, str], list[_Known]] = defaultdict(list)
        self._chosen: dict[tuple[str, str], list[_Known]] = {}
        for row in prompts:
            known = self._known(row)
            self._own[known.family, known.language] = known
            for code in known.categories:
                self._rivals[known.language, code].append(known)

    def margin(self, text: str, family: str, language: str) -> float | None:
        """Cosine with its own prompt minus the highest with up to `most_others` other prompts.

        In -1..1; the others have a category with it in common and are of another group. None: no
        prompt text of the family in that language, or no other prompt to compare with.
        """
        own = self._own.get((family, language))
        if own is None:
            return None
        others = self._chosen.get((family, language))
        if others is None:
            others = self._chosen[family, language] = self._others(own)
        if not others:
            return None
        vector = self._vector(text, language)
        return cosine(vector, own.vector) - max(cosine(vector, item.vector) for item in others)

    def _others(self, own: _Known) -> list[_Known]:
        """Rivals in an order of each family's own, so that all prompts are somebody's rivals."""
        found = {sha256_text(f"{own.family} {item.family}"): item
                 for code in own.categories for item in self._rivals[own.language, code]
                 if item.group != own.group}  # fmt: skip
        return [found[order] for order in heapq.nsmallest(self._most, found)]

    def _known(self, row: Row) -> _Known:
        family, group, language = row["family_id"], row["group_id"], row["language"]
        vector = self._vector(row["text"], language)
        return _Known(family, group, language, frozenset(row["categories"]), vector)

    def _vector(self, text: str, language: str) -> Vector:
        idf = self._idf[language]
        return {gram: (1 + math.log(count)) * idf.get(gram, idf[""])
                for gram, count in ngrams(text).items()}  # fmt: skip


def ngrams(text: str) -> Counter[str]:
    """Character n-grams within words, their ends marked by a blank."""
    grams: Counter[str] = Counter()
    for word in words_of(fold(text)):
        marked = f" {word} "
        grams.update(marked[start : start + n] for n in range(_SHORTEST, _LONGEST + 1)
                     for start in range(len(marked) - n + 1))  # fmt: skip
    return grams


def cosine(left: Vector, right: Vector) -> float:
    """Cosine of two sparse vectors, 0 where one has no length."""
    dot = sum(value * right[key] for key, value in left.items() if key in right)
    length = math.hypot(*left.values()) * math.hypot(*right.values())
    return dot / length if length else 0.0


def _idf(prompts: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Inverse document frequency by language; "" is that of an n-gram that no prompt has."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for row in prompts:
        seen[row["language"]].update(set(ngrams(row["text"])))
        sizes[row["language"]] += 1
    return {
        language: {gram: math.log((1 + sizes[language]) / (1 + count))
                   for gram, count in counts.items()} | {"": math.log(1 + sizes[language])}
        for language, counts in seen.items()
    }  # fmt: skip
