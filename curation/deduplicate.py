"""Step `curation.deduplicate`: exact and near-duplicates within a language; groups are joined."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl
from pydantic import Field

from whyguard.core.optional import require
from whyguard.core.schemas import Prompt
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.curation.normalise import fold
from whyguard.curation.unionfind import UnionFind

_PERMUTATIONS = 128
_MISS = 1e-3
"""A pair right at the threshold may escape the index with at most this probability."""


class DeduplicateConfig(StepConfig):
    """How alike two texts must be to count as one."""

    threshold: float = Field(default=0.8, gt=0.0, le=1.0)
    """Least Jaccard similarity of the shingle sets of two near-duplicates."""
    shingle: int = Field(default=5, ge=1)
    """Characters of a shingle, of the case-folded text."""
    seed: int = Field(default=1, ge=0)
    """Seed of the MinHash permutations."""


class Near(NamedTuple):
    """Two clusters whose texts are near-duplicates."""

    first: int
    second: int
    similarity: float


class Alike(NamedTuple):
    """Which rows say the same.

    `cluster[i]` is the first row with the text and language of row i; `near` holds each pair of
    clusters whose similarity reaches the threshold once, smaller first.
    """

    cluster: list[int]
    near: list[Near]


def find_alike(texts: Sequence[str], languages: Sequence[str], config: DeduplicateConfig) -> Alike:
    """Clusters of equal folded texts within a language, and near-duplicate pairs of them.

    Candidates come from a MinHash index (rensa) that misses a pair at the threshold with
    probability below 0.001; each is verified by its true Jaccard similarity, so no pair is named
    wrongly. Deterministic: permutations and hashes are seeded.
    """
    first: dict[tuple[str, str], int] = {}
    keys = [(language, fold(text)) for text, language in zip(texts, languages, strict=True)]
    cluster = [first.setdefault(key, index) for index, key in enumerate(keys)]
    unique: dict[str, dict[int, str]] = defaultdict(dict)
    for (language, folded), index in first.items():
        unique[language][index] = folded
    near = [pair for language in sorted(unique) for pair in _near(unique[language], config)]
    return Alike(cluster, sorted(near))


def _near(unique: dict[int, str], config: DeduplicateConfig) -> Iterator[Near]:
    indices = list(unique)
    shingles = [shingles_of(folded, config.shingle) for folded in unique.values()]
    for left, right in _candidates(shingles, config):
        similarity = jaccard(shingles[left], shingles[right])
        if similarity >= config.threshold:
            low, high = sorted((indices[left], indices[right]))
            yield Near(low, high, similarity)


def _candidates(shingles: Sequence[frozenset[str]],
                config: DeduplicateConfig) -> Iterator[tuple[int, int]]:  # fmt: skip
    rensa = require("rensa", "langid")
    tokens = [sorted(one) for one in shingles]
    hashes = rensa.RMinHash.from_token_sets(tokens, _PERMUTATIONS, config.seed)
    index = rensa.RMinHashLSH(config.threshold, _PERMUTATIONS, bands_for(config.threshold))
    for right, minhash in enumerate(hashes):
        for left in sorted(set(index.query(minhash))):
            yield left, right
        index.insert(right, minhash)


def bands_for(threshold: float) -> int:
    """The fewest bands of 128 permutations that miss a pair at the threshold rarely enough.

    A pair of similarity s meets in one of b bands of r rows with probability 1 - (1 - s^r)^b
    (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4).
    """
    bands = 1
    while bands < _PERMUTATIONS:
        if (1.0 - threshold ** (_PERMUTATIONS // bands)) ** bands <= _MISS:
            break
        bands *= 2
    return bands


def shingles_of(folded: str, size: int) -> frozenset[str]:
    """The set of character n-grams of a folded text; a shorter text is its own only shingle."""
    if len(folded) <= size:
        return frozenset((folded,))
    return frozenset(folded[start : start + size] for start in range(len(folded) - size + 1))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over size of the union."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


class Verdict(NamedTuple):
    """Why a row goes."""

    rule: str
    reason: str


@dataclass(slots=True)
class _Judge:
    """Decides family by family, in order, which rows stay."""

    rows: Sequence[Row]
    alike: Alike
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    _holders: dict[tuple[int, str], int] = field(default_factory=dict)
    """(cluster, label) -> the kept row that holds it."""
    _near: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def judge(self) -> dict[int, Verdict]:
        """Row index -> verdict, for the rows that go."""
        for pair in self.alike.near:
            self._near.setdefault(pair.first, []).append((pair.second, pair.similarity))
            self._near.setdefault(pair.second, []).append((pair.first, pair.similarity))
        families: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(self.rows):
            families[row["family_id"]].append(index)
        conflicts = self._conflicts()
        for members in families.values():
            broken = {i: conflicts[i] for i in members if i in conflicts}
            broken = broken or {i: found for i in members if (found := self._absorbed(i))}
            if broken:
                self._drop_family(members, broken)
            else:
                self._keep_family(members)
        return self.verdicts

    def _conflicts(self) -> dict[int, Verdict]:
        clusters: dict[int, list[int]] = defaultdict(list)
        for index, cluster in enumerate(self.alike.cluster):
            clusters[cluster].append(index)
        found = {}
        for same in clusters.values():
            firsts: dict[str, str] = {}
            for index in same:
                firsts.setdefault(self.rows[index]["label"], self.rows[index]["prompt_id"])
            for index in same if len(firsts) > 1 else ():
                label, other = next(
                    item for item in firsts.items() if item[0] != self.rows[index]["label"]
                )
                found[index] = Verdict("label_conflict", f"same text as {other}, labelled {label}")
        return found

    def _absorbed(self, index: int) -> Verdict | None:
        """By which kept row of the same label, if any."""
        label, cluster = self.rows[index]["label"], self.alike.cluster[index]
        holder = self._holders.get((cluster, label))
        if holder is not None:
            return Verdict("exact_duplicate", f"absorbed by {self.rows[holder]['prompt_id']}")
        for other, similarity in self._near.get(cluster, ()):
            holder = self._holders.get((other, label))
            if holder is not None:
                reason = f"absorbed by {self.rows[holder]['prompt_id']}"
                return Verdict("near_duplicate", f"{reason} (similarity {similarity:.2f})")
        return None

    def _keep_family(self, members: Sequence[int]) -> None:
        for index in members:
            # Repeats inside a family cost that row only.
            verdict = self._absorbed(index)
            if verdict:
                self.verdicts[index] = verdict
            else:
                self._holders[(self.alike.cluster[index], self.rows[index]["label"])] = index

    def _drop_family(self, members: Sequence[int], broken: dict[int, Verdict]) -> None:
        index, verdict = next(iter(broken.items()))
        because = f"{self.rows[index]['prompt_id']} of its family went: {verdict.reason}"
        for member in members:
            self.verdicts[member] = broken.get(member, Verdict("family_dropped", because))


def deduplicate(prompts: pl.DataFrame, config: DeduplicateConfig) -> StepResult:
    """Keep the first of each cluster of alike prompts; join the groups of all that are alike.

    Families are kept or dropped whole, so that no language is orphaned: a family goes when one of
    its rows repeats a kept row of an earlier family (`exact_duplicate`, `near_duplicate`; the
    reason names the row that absorbed it), and its other rows go as `family_dropped`. Equal texts
    with unlike labels go on both sides (`label_conflict`). Near-duplicates with unlike labels
    (contrast twins) stay, in one group. A joined group is called by its smallest former id.

    Raises:
        MissingExtraError: rensa is not installed.
    """
    rows = prompts.to_dicts()
    alike = find_alike([row["text"] for row in rows], [row["language"] for row in rows], config)
    verdicts = _Judge(rows, alike).judge()
    groups = _joined_groups(rows, alike)
    kept = [row | {"group_id": groups.find(row["group_id"])}
            for index, row in enumerate(rows) if index not in verdicts]  # fmt: skip
    drops = [drop(rows[index], rows[index]["prompt_id"], verdict.rule, verdict.reason)
             for index, verdict in sorted(verdicts.items())]  # fmt: skip
    return StepResult(
        rows=frame(Prompt, kept),
        drops=drops_frame(drops),
        licences=tuple(sorted({f"{row['source']}: {row['licence']}" for row in kept})),
        notes=_notes(rows, kept, alike),
        read=len(rows),
    )


def _joined_groups(rows: Sequence[Row], alike: Alike) -> UnionFind:
    groups = UnionFind()
    families: dict[str, str] = {}
    for index, row in enumerate(rows):
        groups.union(row["group_id"], rows[alike.cluster[index]]["group_id"])
        groups.union(row["group_id"], families.setdefault(row["family_id"], row["group_id"]))
    for pair in alike.near:
        groups.union(rows[pair.first]["group_id"], rows[pair.second]["group_id"])
    return groups


def _notes(rows: Sequence[Row], kept: Sequence[Row], alike: Alike) -> dict[str, Any]:
    twins = [pair for pair in alike.near
             if rows[pair.first]["label"] != rows[pair.second]["label"]]  # fmt: skip
    sources = Counter(row["source"] for row in rows)
    left = Counter(row["source"] for row in kept)
    return {
        "groups_before": len({row["group_id"] for row in rows}),
        "groups_after": len({row["group_id"] for row in kept}),
        "near_pairs": len(alike.near),
        "near_pairs_of_unlike_label": len(twins),
        "sources": {name: {"read": n, "kept": left[name]} for name, n in sorted(sources.items())},
    }


def run_deduplicate(
    inputs: Inputs, config: DeduplicateConfig, runtime: Runtime, room: Room
) -> StepResult:
    """See `deduplicate`."""
    return deduplicate(inputs["prompts"].rows, config)


DEDUPLICATE = Step(
    name="curation.deduplicate",
    version="1",
    summary="removing duplicates, joining groups",
    config=DeduplicateConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_deduplicate,
    light=always,
)
