"""What an adjudicator is asked, and why."""

from enum import StrEnum
from typing import NamedTuple

import polars as pl

from whyguard.annotation.agreement.ratings import COMPARED
from whyguard.annotation.agreement.report import alphas
from whyguard.annotation.questions import QUESTIONS, YES, Q
from whyguard.core.values import Purpose, Rule


class Why(StrEnum):
    """Why an adjudicator is asked; in the order in which the queue has them."""

    TIE = "tie"
    """No value has more than half of the answers."""
    SPREAD = "spread"
    """Ratings two or more steps apart."""
    UNSURE = "unsure"
    """An annotator said that she was not sure, and not all say the same."""
    LOW_AGREEMENT = "low_agreement"
    """Answers differ; a rule decided, but people agree too little on this question."""
    MISSING = "missing"
    """All who were wanted answered the item, and this question has too few answers that count."""


class QueueEntry(NamedTuple):
    """One question on one item. `alpha` is the question's agreement, on `LOW_AGREEMENT` only."""

    language: str
    item_id: str
    question: str
    why: Why
    alpha: float | None = None


_DIFFER = frozenset({Rule.MAJORITY, Rule.MEDIAN})
"""Rules that decide although not all answers are the same."""


def adjudication_queue(items: pl.DataFrame, reviews: pl.DataFrame, decisions: pl.DataFrame,
                       agreement_floor: float | None = None) -> list[QueueEntry]:  # fmt: skip
    """The questions that only an adjudicator can settle, by language, then `Why`, then item.

    Args:
        items: rows of `core.schemas.ReviewItem`; decisions on others are left aside.
        reviews: rows of `core.schemas.Review`.
        decisions: rows of `core.schemas.Decision`.
        agreement_floor: where a question's alpha in a language is below it, every item on which
            answers differ is asked again, though a majority decided. None: never.

    Notes and glossary proposals are no matter of agreement and never asked. What an adjudicator
    answered leaves the queue. What has too few answers waits for annotators, unless all who were
    wanted have been there: nobody else would come. Gold items ask about people and are left aside.

    Raises:
        MissingExtraError: a floor is given and krippendorff is not installed.
    """
    low = _below(agreement_floor, reviews, items)
    unsure = set(reviews.filter((pl.col("question") == Q.UNSURE.value) & ~pl.col("adjudicator")
                                & (pl.col("value") == YES))["item_id"])  # fmt: skip
    order = {why: place for place, why in enumerate(Why)}
    entries = []
    full = _full(items, reviews)
    asked_of = items.filter(pl.col("purpose").cast(pl.String) != Purpose.GOLD.value)
    rows = decisions.filter(pl.col("item_id").is_in(asked_of["item_id"].implode()))
    for language, item, asked, rule in rows.select("language", "item_id", "question",
                                                   "rule").iter_rows():  # fmt: skip
        why = _why(Rule(rule), low=(language, asked) in low, full=item in full,
                   unsure=asked == Q.VERDICT and item in unsure)  # fmt: skip
        if why and asked in COMPARED:
            alpha = low[language, asked] if why is Why.LOW_AGREEMENT else None
            entries.append(QueueEntry(language, item, asked, why, alpha))
    return sorted(entries, key=lambda one: (one.language, order[one.why], one.item_id,
                                            one.question))  # fmt: skip


def _below(floor: float | None, reviews: pl.DataFrame,
           items: pl.DataFrame) -> dict[tuple[str, str], float]:  # fmt: skip
    """Languages and questions whose alpha is under the floor."""
    if floor is None:
        return {}
    return {key: value for key, value in alphas(reviews, items).items()
            if value is not None and value < floor}  # fmt: skip


def _full(items: pl.DataFrame, reviews: pl.DataFrame) -> set[str]:
    """Items that as many annotators answered as were wanted, whatever their answers count for."""
    required = [asked.name for kind in QUESTIONS.values() for asked in kind if asked.required]
    there = (
        reviews.filter(pl.col("question").is_in(required) & ~pl.col("adjudicator"))
        .group_by("item_id")
        .agg(pl.col("annotator").n_unique().alias("people"))
    )
    found = items.join(there, on="item_id").filter(pl.col("people") >= pl.col("wanted"))
    return set(found["item_id"])


def _why(rule: Rule, *, low: bool, full: bool, unsure: bool) -> Why | None:
    if rule is Rule.TOO_FEW:
        return Why.MISSING if full else None
    if rule is Rule.TIE:
        return Why.UNSURE if unsure else Why.TIE
    if rule is Rule.SPREAD:
        return Why.SPREAD
    return Why.LOW_AGREEMENT if low and rule in _DIFFER else None
