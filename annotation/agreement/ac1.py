"""Gwet's AC1: agreement beyond chance that does not collapse where one label is rare."""

import numpy as np

from whyguard.annotation.agreement.ratings import Ratings
from whyguard.annotation.agreement.sums import Array, Figure, Sums

_AGREED, _PAIRED, _RATED, _SHARES = 0, 1, 2, 3


def raw_agreement(table: Ratings) -> Figure:
    """The share of pairs of answers that are equal, averaged over items with two or more."""
    return _figure(raw_sums(table))


def ac1(table: Ratings) -> Figure:
    """Gwet's AC1 = (a - e) / (1 - e), of labels without order.

    a is the raw agreement over items with two answers or more; e = sum of p (1 - p) / (V - 1) over
    the V labels of the domain, p a label's share averaged over items with an answer. Since e is at
    most 1/V, AC1 is defined wherever two answers meet, also if all are the same (then it is 1).

    Source: Gwet (2008), Computing inter-rater reliability and its variance in the presence of high
    agreement, equations 5 to 7; with missing answers: Gwet (2014), Handbook of Inter-Rater
    Reliability, chapter 4.
    """
    return _figure(ac1_sums(table))


def raw_sums(table: Ratings) -> Sums:
    """Raw agreement as sums over items."""
    return Sums(_agreed(table), lambda sums_F: _raw(sums_F))


def ac1_sums(table: Ratings) -> Sums:
    """AC1 as sums over items."""
    counts_U_V = table.counts().astype(np.float64)
    rated_U = counts_U_V.sum(axis=1)
    shares_U_V = counts_U_V / np.maximum(rated_U, 1.0)[:, None]
    return Sums(np.column_stack([_agreed(table), rated_U > 0, shares_U_V]), _ac1)


def _agreed(table: Ratings) -> Array:
    """For each item: the share of its pairs that are equal, and 1 if it has any pair."""
    counts_U_V = table.counts().astype(np.float64)
    rated_U = counts_U_V.sum(axis=1)
    equal_U = (counts_U_V * (counts_U_V - 1.0)).sum(axis=1)
    share_U = equal_U / np.maximum(rated_U * (rated_U - 1.0), 1.0)
    return np.column_stack([share_U, rated_U >= 2])


def _raw(sums_F: Array) -> float:
    return float(sums_F[_AGREED] / sums_F[_PAIRED]) if sums_F[_PAIRED] > 0 else float("nan")


def _ac1(sums_F: Array) -> float:
    if sums_F[_PAIRED] == 0 or len(sums_F) - _SHARES < 2:
        return float("nan")
    shares_V = sums_F[_SHARES:] / sums_F[_RATED]
    chance = float((shares_V * (1.0 - shares_V)).sum()) / (len(shares_V) - 1)
    return (_raw(sums_F) - chance) / (1.0 - chance)


def _figure(sums: Sums) -> Figure:
    value = sums.value()
    return Figure(None, "no item has two answers") if np.isnan(value) else Figure(value)
