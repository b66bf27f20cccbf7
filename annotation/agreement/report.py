"""All agreement figures, by language, question and who is compared, with bootstrap intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import polars as pl

from whyguard.annotation.agreement import rewrites
from whyguard.annotation.agreement.ac1 import ac1, ac1_sums, raw_agreement, raw_sums
from whyguard.annotation.agreement.alpha import Level, alpha, alpha_sums, level_of
from whyguard.annotation.agreement.pairs import kappa, kappa_sums
from whyguard.annotation.agreement.ratings import COMPARED, MISSING, Ratings, ratings
from whyguard.annotation.agreement.rewrites import Rewrite
from whyguard.annotation.agreement.sums import Figure, Sums, interval
from whyguard.annotation.questions import Answering, Question, question


class Measure(StrEnum):
    """What a figure measures."""

    RAW = "raw"
    """Share of equal answers."""
    ALPHA = "alpha"
    """Krippendorff's alpha: nominal, ordinal or of sets (MASI), as the question is answered."""
    AC1 = "ac1"
    """Gwet's AC1, of labels."""
    KAPPA = "kappa"
    """Cohen's kappa of a pair, of labels."""
    WEIGHTED_KAPPA = "weighted_kappa"
    """Cohen's kappa of a pair with squared weights, of ratings."""
    CHANGED = "changed"
    """Share of texts that were rewritten."""
    CHRF_ORIGINAL = "chrf_original"
    """chrF (0..100) of rewritten texts and their originals."""
    EDIT_ORIGINAL = "edit_original"
    """Edit distance (0..1) of rewritten texts and their originals."""
    CHRF_BETWEEN = "chrf_between"
    """chrF (0..100) of two annotators' versions, where at least one rewrote."""
    EDIT_BETWEEN = "edit_between"
    """Edit distance (0..1) of two annotators' versions, where at least one rewrote."""


@dataclass(frozen=True, slots=True)
class AgreementFigure:
    """One measure. `who` is empty for all annotators; two names are a pair, one stands alone.

    `low` and `high` bound a 95 % group bootstrap interval, and `draws` counts the resamplings on
    which the measure was defined. `n` items (rewrites: comparisons) in `groups` groups were
    compared. `reason` says why there is no value, or no interval.
    """

    language: str
    question: str
    who: tuple[str, ...]
    measure: Measure
    value: float | None
    low: float | None
    high: float | None
    n: int
    annotators: int
    groups: int
    draws: int
    reason: str | None = None


class _Measured(NamedTuple):
    who: tuple[str, ...]
    measure: Measure
    figure: Figure
    sums: Sums
    sum_groups: Sequence[str]
    """The group of each row of `sums`."""
    groups: Sequence[str]
    """The group of each item (or comparison) that counts."""
    annotators: int


def agreement(reviews: pl.DataFrame, items: pl.DataFrame, *, draws: int = 1000,
              seed: int = 0) -> list[AgreementFigure]:  # fmt: skip
    """Every figure there is, by language and question in order, all annotators before pairs.

    Args:
        reviews: rows of `core.schemas.Review`.
        items: rows of `core.schemas.ReviewItem`.
        draws: bootstrap draws; 0: no intervals.
        seed: seed of the resampling.

    A question that nobody answered has no figure, nor has a pair that shares no item. Where all
    agree on every item, resampling has nothing to vary: the interval of raw agreement and AC1 is
    then a point, and only `n` says how little that may mean.

    Raises:
        MissingExtraError: a package of the extra `annotate` is not installed.
    """
    return [
        _figure(language, asked.name, measured, draws, seed)
        for language, of_language in _by_language(items)
        for asked in map(question, COMPARED)
        for measured in _measured(asked, reviews, of_language)
    ]


def alphas(reviews: pl.DataFrame, items: pl.DataFrame) -> dict[tuple[str, str], float | None]:
    """Alpha by (language, question), of questions that have one; None where it is undefined.

    Raises:
        MissingExtraError: krippendorff is not installed.
    """
    return {
        (language, asked.name): alpha(ratings(asked, reviews, chosen), level_of(asked)).value
        for language, chosen in _by_language(items)
        for asked in map(question, COMPARED) if asked.answering is not Answering.TEXT
    }  # fmt: skip


def figures_table(figures: Sequence[AgreementFigure]) -> pl.DataFrame:
    """The figures as a table, one row each; `who` is `all`, a name, or two joined by ` | `."""
    rows = [{**asdict(figure), "who": " | ".join(figure.who) or "all",
             "measure": figure.measure.value} for figure in figures]  # fmt: skip
    return pl.DataFrame(rows, schema=_COLUMNS)


_COLUMNS = {
    "language": pl.String, "question": pl.String, "who": pl.String, "measure": pl.String,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64,
    "annotators": pl.Int64, "groups": pl.Int64, "draws": pl.Int64, "reason": pl.String,
}  # fmt: skip


def _by_language(items: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for language in items["language"].unique().sort():
        yield language, items.filter(pl.col("language") == language)


def _measured(asked: Question, reviews: pl.DataFrame, items: pl.DataFrame) -> Iterator[_Measured]:
    if asked.answering is Answering.TEXT:
        yield from _of_texts(rewrites.rewrites(asked, reviews, items))
        return
    table, level = ratings(asked, reviews, items), level_of(asked)
    if not table.units:
        return
    yield from _of_all(table, level)
    for one, other in combinations(table.annotators, 2):
        pair = table.of((one, other))
        if pair.pairable().any():
            yield from _of_pair(pair, level)


def _of_all(table: Ratings, level: Level) -> Iterator[_Measured]:
    yield _of_table(table, (), Measure.RAW, raw_agreement(table), raw_sums(table))
    yield _of_table(table, (), Measure.ALPHA, alpha(table, level), alpha_sums(table, level))
    if level is Level.NOMINAL:
        yield _of_table(table, (), Measure.AC1, ac1(table), ac1_sums(table))


def _of_pair(pair: Ratings, level: Level) -> Iterator[_Measured]:
    who = pair.annotators
    yield _of_table(pair, who, Measure.RAW, raw_agreement(pair), raw_sums(pair))
    if level is Level.MASI:
        yield _of_table(pair, who, Measure.ALPHA, alpha(pair, level), alpha_sums(pair, level))
        return
    weighted = level is Level.ORDINAL
    yield _of_table(pair, who, Measure.WEIGHTED_KAPPA if weighted else Measure.KAPPA,
                    kappa(pair, weighted=weighted),
                    kappa_sums(pair, weighted=weighted))  # fmt: skip
    if level is Level.NOMINAL:
        yield _of_table(pair, who, Measure.AC1, ac1(pair), ac1_sums(pair))


def _of_table(table: Ratings, who: tuple[str, ...], measure: Measure, figure: Figure,
              sums: Sums) -> _Measured:  # fmt: skip
    mask = table.pairable()
    groups = [group for group, counts in zip(table.groups, mask, strict=True) if counts]
    present = (table.codes[mask] != MISSING).any(axis=0)
    return _Measured(who, measure, figure, sums, table.groups, groups, int(present.sum()))


class _Value(NamedTuple):
    who: tuple[str, ...]
    group_id: str
    value: float


def _of_texts(found: Sequence[Rewrite]) -> Iterator[_Measured]:
    if not found:
        return
    changed = [_Value((row.annotator,), row.group_id, float(row.changed)) for row in found]
    yield from _of_values(Measure.CHANGED, changed)
    original, pairs = rewrites.against_original(found), rewrites.between(found)
    for measure, versions, compare in (
        (Measure.CHRF_ORIGINAL, original, rewrites.chrf),
        (Measure.EDIT_ORIGINAL, original, rewrites.edit_distance),
        (Measure.CHRF_BETWEEN, pairs, rewrites.chrf),
        (Measure.EDIT_BETWEEN, pairs, rewrites.edit_distance),
    ):
        yield from _of_values(measure, [_Value(two.who, two.group_id, compare(two.one, two.other))
                                        for two in versions])  # fmt: skip


def _of_values(measure: Measure, values: list[_Value]) -> Iterator[_Measured]:
    """The mean of all values, and of each person's or pair's own."""
    for who in [(), *sorted({value.who for value in values})]:
        own = [value for value in values if not who or value.who == who]
        sums = rewrites.mean_sums([value.value for value in own])
        figure = Figure(sums.value()) if own else Figure(None, "no text was rewritten")
        groups = [value.group_id for value in own]
        people = {name for value in own for name in value.who}
        yield _Measured(who, measure, figure, sums, groups, groups, len(people))


def _figure(language: str, asked: str, of: _Measured, draws: int, seed: int) -> AgreementFigure:
    n, groups = len(of.groups), len(set(of.groups))
    value, reason = of.figure
    low = high = None
    defined = 0
    if value is not None and draws:
        spread = interval(of.sums, of.sum_groups, draws, seed)
        defined = spread.defined
        if defined:
            low, high = spread.interval.low, spread.interval.high
        else:
            reason = f"{groups} group(s): no resampling has a value, so no interval"
    return AgreementFigure(language, asked, of.who, of.measure, value, low, high, n,
                           of.annotators, groups, defined, reason)  # fmt: skip
