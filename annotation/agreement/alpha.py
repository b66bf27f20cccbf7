"""Krippendorff's alpha: chance-corrected agreement with any number of annotators and gaps."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np

from whyguard.annotation.agreement.masi import masi_distances
from whyguard.annotation.agreement.ratings import Ratings
from whyguard.annotation.agreement.sums import Array, Figure, Sums
from whyguard.annotation.questions import Answering, Question, labels_of
from whyguard.core.optional import require


class Level(StrEnum):
    """What makes two answers more or less different."""

    NOMINAL = "nominal"
    """Equal or not."""
    ORDINAL = "ordinal"
    """By how many answers lie between them."""
    MASI = "masi"
    """Sets: by what they share."""


def level_of(asked: Question) -> Level:
    """The level at which answers to a question are compared; free text has none.

    Raises:
        KeyError: the question is answered by free text.
    """
    return {Answering.LABEL: Level.NOMINAL, Answering.RATING: Level.ORDINAL,
            Answering.LABELS: Level.MASI}[asked.answering]  # fmt: skip


def alpha(table: Ratings, level: Level) -> Figure:
    """Krippendorff's alpha: 1 - observed / expected disagreement; 0 is what chance gives.

    No value where no item has two answers, and where all that can be paired are the same: nothing
    then tells agreement from a lack of variety, and a silent 1.0 would be a lie.

    Raises:
        MissingExtraError: krippendorff is not installed.

    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; as `krippendorff` has
    it.
    """
    counts_U_V = table.counts()[table.pairable()]
    if len(counts_U_V) == 0:
        return Figure(None, "no item has two answers")
    if (counts_U_V.sum(axis=0) > 0).sum() < 2:
        return Figure(None, "all answers are the same: alpha is undefined")
    library = require("krippendorff", "annotate")
    metric: str | Callable[..., Array] = level.value
    if level is Level.MASI:
        metric = _metric(_distances(table, level))
    found = library.alpha(value_counts=counts_U_V, level_of_measurement=metric)
    return Figure(float(found))


def _distances(table: Ratings, level: Level) -> Array:
    if level is Level.MASI:
        return masi_distances([labels_of(value) for value in table.domain])
    return 1.0 - np.eye(len(table.domain))


def _metric(distances_V_V: Array) -> Callable[..., Array]:
    """A distance of the library's form: `i1` and `i2` are indices into the domain."""

    def metric(v1: Any, v2: Any, i1: Any, i2: Any, n_v: Any, dtype: Any = np.float64) -> Array:
        found: Array = distances_V_V[i1, i2].astype(dtype)
        return found

    return metric


def alpha_sums(table: Ratings, level: Level) -> Sums:
    """Alpha as sums over items: the same figure as `alpha`, fast enough to be resampled."""
    counts_U_V = table.counts() * table.pairable()[:, None]
    others_U = np.maximum(counts_U_V.sum(axis=1) - 1, 1)
    if level is Level.ORDINAL:
        return Sums(_coincidences(counts_U_V, others_U), _ordinal)
    distances_V_V = _distances(table, level)
    # A value's distance from itself is 0, so that an answer may be paired with itself here.
    observed_U = ((counts_U_V @ distances_V_V) * counts_U_V).sum(axis=1) / others_U
    columns = np.column_stack([observed_U, counts_U_V.astype(np.float64)])

    def finish(sums_F: Array) -> float:
        n_V = sums_F[1:]
        return _alpha(float(sums_F[0]), float(n_V @ distances_V_V @ n_V), float(n_V.sum()))

    return Sums(columns, finish)


def _coincidences(counts_U_V: Any, others_U: Any) -> Array:
    """Each item's coincidence matrix, as one row of V * V numbers."""
    pairs_U_V_V = counts_U_V[:, :, None] * counts_U_V[:, None, :]
    units, values = counts_U_V.shape
    at = np.arange(values)
    pairs_U_V_V[:, at, at] -= counts_U_V
    found: Array = (pairs_U_V_V / others_U[:, None, None]).reshape(units, values * values)
    return found


def _ordinal(sums_F: Array) -> float:
    """Alpha of a summed coincidence matrix. Ordinal distances depend on how often values occur.

    The squared number of answers from c to k, half of those at both ends left out, is the squared
    difference of the two values' mid-ranks.
    """
    size = round(len(sums_F) ** 0.5)
    observed_V_V = sums_F.reshape(size, size)
    n_V = observed_V_V.sum(axis=0)
    middle_V = np.cumsum(n_V) - n_V / 2.0
    distances_V_V = (middle_V[:, None] - middle_V[None, :]) ** 2
    observed = float((observed_V_V * distances_V_V).sum())
    return _alpha(observed, float(n_V @ distances_V_V @ n_V), float(n_V.sum()))


def _alpha(observed: float, expected: float, n: float) -> float:
    return 1.0 - (n - 1.0) * observed / expected if expected > 0.0 else float("nan")
