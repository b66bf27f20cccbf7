"""How often an annotator's blind verdict is right where the answer is known."""

from dataclasses import dataclass

import polars as pl

from whyguard.annotation.agreement.ratings import counted
from whyguard.annotation.questions import Q, question
from whyguard.core.optional import require
from whyguard.core.values import Purpose

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class GoldFigure:
    """`right` of `n` gold items of a language, and the exact 95 % interval of the share."""

    annotator: str
    language: str
    right: int
    n: int
    low: float
    high: float


def gold(reviews: pl.DataFrame, items: pl.DataFrame) -> list[GoldFigure]:
    """One figure an annotator and language, in that order, over gold items with a known answer.

    Blind verdicts of annotators alone count; who met no gold item has no figure.

    Raises:
        MissingExtraError: scipy (through scikit-learn) is not installed.
    """
    known = items.filter((pl.col("purpose") == Purpose.GOLD.value) & pl.col("gold").is_not_null())
    rows = (
        counted(question(Q.VERDICT), reviews)
        .join(known.select("item_id", "language", pl.col("gold").cast(pl.String)), on="item_id")
        .group_by("annotator", "language")
        .agg((pl.col("value") == pl.col("gold")).sum().alias("right"), pl.len().alias("n"))
        .sort("annotator", "language")
    )
    return [_figure(**row) for row in rows.iter_rows(named=True)]


def _figure(annotator: str, language: str, right: int, n: int) -> GoldFigure:
    low, high = exact_interval(right, n)
    return GoldFigure(annotator, language, right, n, low, high)


def exact_interval(right: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share of `right` in `n` > 0 independent trials.

    Source: Clopper and Pearson (1934), as scipy computes it.
    """
    test = require("scipy.stats", "annotate").binomtest(right, n)
    found = test.proportion_ci(confidence_level=LEVEL, method="exact")
    return float(found.low), float(found.high)
