"""The answers to one question as a table of items and annotators."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyguard.annotation.questions import (
    BLIND,
    QUESTIONS,
    RATINGS,
    Answering,
    Q,
    Question,
    labels_of,
)

MISSING = -1
"""Code of an answer that was not given."""
COMPARED = (Q.VERDICT, Q.LOCAL_HARM, Q.TRANSLATION_ADEQUACY, Q.CORRECTED_TRANSLATION,
            Q.RATIONALE_QUALITY, Q.CORRECTED_RATIONALE, Q.ISSUES)  # fmt: skip
"""Questions about the item, on which people can agree. Notes and glossary proposals are free; being
unsure is about the annotator."""
NO_ISSUES = "[]"
_BLIND = frozenset(asked.name for asked in BLIND)


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """What U items got from A annotators.

    `codes` (U, A) holds the index into `domain` of each answer, `MISSING` where there is none.
    Rating domains are in order; the domain of sets holds those that occur.
    """

    units: tuple[str, ...]
    groups: tuple[str, ...]
    annotators: tuple[str, ...]
    domain: tuple[str, ...]
    codes: NDArray[np.int64]

    def counts(self) -> NDArray[np.int64]:
        """How many annotators gave each item each of the V values, (U, V)."""
        values = np.arange(len(self.domain))
        found: NDArray[np.int64] = (self.codes[:, :, None] == values).sum(axis=1)
        return found

    def of(self, annotators: Sequence[str]) -> "Ratings":
        """The same items, with the answers of these annotators alone."""
        at = [self.annotators.index(name) for name in annotators]
        return Ratings(self.units, self.groups, tuple(annotators), self.domain,
                       self.codes[:, at])  # fmt: skip

    def pairable(self) -> NDArray[np.bool_]:
        """Which items have two answers or more, (U,)."""
        mask: NDArray[np.bool_] = (self.codes != MISSING).sum(axis=1) >= 2
        return mask


def counted(asked: Question, reviews: pl.DataFrame) -> pl.DataFrame:
    """The answers to a question that count for agreement: item_id, annotator, value.

    An adjudicator's answer is no independent one and never counts. A question of the blind sheet
    counts where it was answered blind.
    """
    rows = reviews.filter((pl.col("question") == asked.name) & ~pl.col("adjudicator"))
    if asked.name in _BLIND:
        rows = rows.filter(pl.col("blind"))
    return rows.select("item_id", "annotator", "value")


def left_out(asked: Question, reviews: pl.DataFrame) -> pl.DataFrame:
    """Who answered an item's required question and left this one out: item_id, annotator."""
    required = next(item for kind in QUESTIONS.values() if asked in kind
                    for item in kind if item.required)  # fmt: skip
    present = counted(required, reviews).select("item_id", "annotator")
    return present.join(counted(asked, reviews), on=["item_id", "annotator"], how="anti")


def ratings(asked: Question, reviews: pl.DataFrame, items: pl.DataFrame) -> Ratings:
    """The table of one question (labels, a rating or a set of labels) over these items.

    Args:
        asked: the question.
        reviews: rows of `core.schemas.Review`.
        items: rows of `core.schemas.ReviewItem`; answers to other items are left aside.

    Issues that somebody left out, who answered the item's required question, are an empty set: she
    looked and found none. Every other answer that was left out is missing.
    """
    rows = counted(asked, reviews)
    if asked.answering is Answering.LABELS:
        none = left_out(asked, reviews).with_columns(pl.lit(NO_ISSUES).alias("value"))
        rows = pl.concat([rows, none])
    rows = rows.join(items.select("item_id", "group_id"), on="item_id").sort("item_id", "annotator")
    domain = _domain(asked, rows["value"].to_list())
    units = rows.unique("item_id").sort("item_id")
    annotators = rows["annotator"].unique().sort().to_list()
    codes_U_A = np.full((len(units), len(annotators)), MISSING, dtype=np.int64)
    codes_U_A[_codes(rows["item_id"], units["item_id"].to_list()),
          _codes(rows["annotator"], annotators)] = _codes(rows["value"], domain)  # fmt: skip
    return Ratings(tuple(units["item_id"]), tuple(units["group_id"]), tuple(annotators),
                   tuple(domain), codes_U_A)  # fmt: skip


def _domain(asked: Question, values: Sequence[str]) -> list[str]:
    if asked.answering is Answering.LABEL:
        return list(asked.options)
    if asked.answering is Answering.RATING:
        return [str(rating) for rating in RATINGS]
    return sorted(set(values), key=lambda value: (len(labels_of(value)), value))


def _codes(column: pl.Series, domain: Sequence[str]) -> NDArray[np.int64]:
    place = {value: code for code, value in enumerate(domain)}
    return np.array([place[value] for value in column], dtype=np.int64)
