"""Rewritten texts: how much was changed, and how near annotators' versions are to each other."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from whyguard.annotation.agreement.ratings import counted, left_out
from whyguard.annotation.agreement.sums import Array, Sums
from whyguard.annotation.questions import CORRECTIONS, Q, Question
from whyguard.core.optional import require
from whyguard.curation.normalise import normalise
from whyguard.generation.signals.roundtrip import round_trip_chrf


class Rewrite(NamedTuple):
    """One annotator's version of a text, both normalised; `changed` where it is another one."""

    item_id: str
    group_id: str
    annotator: str
    original: str
    text: str

    @property
    def changed(self) -> bool:
        """Whether the version is not the original."""
        return self.text != self.original


class Versions(NamedTuple):
    """Two texts to compare, and whose they are."""

    group_id: str
    who: tuple[str, ...]
    one: str
    other: str


def rewrites(asked: Question, reviews: pl.DataFrame, items: pl.DataFrame) -> list[Rewrite]:
    """Everybody's version of the text that a correction question asks about.

    Who answered an item's required question and left the correction out kept the original. Items
    without such a text are left aside.

    Raises:
        KeyError: the question asks for no correction.
    """
    original = pl.col(CORRECTIONS[Q(asked.name)]).alias("original")
    kept = left_out(asked, reviews).with_columns(pl.lit(None, pl.String).alias("value"))
    rows = pl.concat([counted(asked, reviews), kept])
    shown = items.select("item_id", "group_id", original).drop_nulls("original")
    rows = rows.join(shown, on="item_id").sort("item_id", "annotator")
    return [
        Rewrite(row["item_id"], row["group_id"], row["annotator"], normalise(row["original"]),
                normalise(row["original"] if row["value"] is None else row["value"]))
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def against_original(found: Sequence[Rewrite]) -> list[Versions]:
    """Each changed version beside its original."""
    return [Versions(row.group_id, (row.annotator,), row.original, row.text)
            for row in found if row.changed]  # fmt: skip


def between(found: Sequence[Rewrite]) -> list[Versions]:
    """Any two annotators' versions of one text, where at least one of them changed it.

    Two who both left a text alone would make the versions look nearer than rewriting is.
    """
    return [Versions(one.group_id, (one.annotator, other.annotator), one.text, other.text)
            for rows in _by_item(found) for one, other in combinations(rows, 2)
            if one.changed or other.changed]  # fmt: skip


def _by_item(found: Sequence[Rewrite]) -> Iterator[list[Rewrite]]:
    items: dict[str, list[Rewrite]] = {}
    for row in found:
        items.setdefault(row.item_id, []).append(row)
    yield from items.values()


def chrf(one: str, other: str) -> float:
    """chrF2 of two texts, 0..100 (higher: closer), the mean of both directions.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    require("sacrebleu", "annotate")
    return (round_trip_chrf(one, other) + round_trip_chrf(other, one)) / 2.0


def edit_distance(one: str, other: str) -> float:
    """Levenshtein distance in code points over the longer text's length, 0 (equal) to 1."""
    longer = max(len(one), len(other))
    return levenshtein(one, other) / longer if longer else 0.0


def levenshtein(one: str, other: str) -> int:
    """Insertions, deletions and substitutions of code points that turn one text into the other.

    A column of the classic table is kept as two bit vectors (where the distance rises by one, where
    it falls), so that a text costs one step a character of the other, not one a cell.

    Source: Myers (1999), A fast bit-vector algorithm for approximate string matching; as a distance
    of whole texts: Hyyro (2003).
    """
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for at, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << at
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = full, 0, len(one)
    for char in other:
        match = places.get(char, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up, right_down = (down | ~(diagonal | up)) & full, up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up, right_down = (right_up << 1 | 1) & full, right_down << 1 & full
        up, down = (right_down | ~(diagonal | right_up)) & full, right_up & diagonal
    return distance


def mean_sums(values: Sequence[float]) -> Sums:
    """The mean of one value a comparison, as sums."""
    return Sums(np.array([(value, 1.0) for value in values]).reshape(-1, 2), _mean)


def _mean(sums_F: Array) -> float:
    return float(sums_F[0] / sums_F[1]) if sums_F[1] > 0 else float("nan")
