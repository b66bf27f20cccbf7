"""Dawid-Skene: labels and error rates estimated together. A figure beside the votes, never a vote.

It takes answers for independent given the true label, and learns who errs how from the overlap
alone: with two annotators, or few shared items, it has nothing to learn that from.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from whyguard.annotation.agreement.ratings import MISSING, Ratings
from whyguard.annotation.agreement.sums import Array
from whyguard.core.optional import require

OVERLAP = 3
"""Annotators that must meet on an item for it to count as shared."""
ENOUGH = 20
"""Shared items without which nothing is estimated."""
_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class Posterior:
    """The probability of each label of the domain for one item, given everybody's answers."""

    item_id: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """How an annotator errs by the estimate.

    `confusion[t][g]` is the probability that she gives label g where t is true; `rate` is the
    probability of a wrong label on an item drawn from the estimated shares of labels.
    """

    annotator: str
    n: int
    rate: float
    confusion: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """All that was estimated, or `reason` why nothing was. `labels` is the domain's order."""

    labels: tuple[str, ...]
    posteriors: tuple[Posterior, ...] = ()
    errors: tuple[ErrorRate, ...] = ()
    reason: str | None = None


def dawid_skene(table: Ratings) -> Estimate:
    """The estimate of a table of labels, from the majority vote on; the same on every run.

    Items and annotators without any answer have no estimate.

    Raises:
        MissingExtraError: crowd-kit is not installed.

    Source: Dawid and Skene (1979), as crowd-kit computes it.
    """
    reason = _too_little(table)
    if reason:
        return Estimate(table.domain, reason=reason)
    fitted = _fit(table)
    at_units, at_annotators = (np.flatnonzero((table.codes != MISSING).any(axis=axis)).tolist()
                               for axis in (1, 0))  # fmt: skip
    labels = list(range(len(table.domain)))
    of_items = fitted.probas_.reindex(index=at_units, columns=labels, fill_value=0.0)
    posteriors_U_V: Array = of_items.to_numpy()
    posteriors_U_V = posteriors_U_V / posteriors_U_V.sum(axis=1, keepdims=True)
    posteriors = tuple(Posterior(table.units[at], tuple(row.tolist()))
                       for at, row in zip(at_units, posteriors_U_V, strict=True))  # fmt: skip
    shares_V = posteriors_U_V.mean(axis=0)
    errors = tuple(_error_rate(table.annotators[at], table.codes[:, at], fitted.errors_.loc[at],
                               shares_V) for at in at_annotators)  # fmt: skip
    return Estimate(table.domain, posteriors, errors)


def _too_little(table: Ratings) -> str | None:
    if len(table.annotators) < OVERLAP:
        return f"{len(table.annotators)} annotators: {OVERLAP} or more must overlap"
    shared = int(((table.codes != MISSING).sum(axis=1) >= OVERLAP).sum())
    if shared < ENOUGH:
        return f"{shared} items have {OVERLAP} answers or more: {ENOUGH} are needed"
    if len(np.unique(table.codes[table.codes != MISSING])) < 2:
        return "all answers are the same: there is nothing to tell apart"
    return None


def _fit(table: Ratings) -> Any:
    """crowd-kit's model of the answers; items, annotators and labels go by their numbers."""
    pandas = require("pandas", "annotate")
    model = require("crowdkit.aggregation", "annotate").DawidSkene(n_iter=_ITERATIONS)
    items, annotators = np.nonzero(table.codes != MISSING)
    labels = table.codes[items, annotators]
    return model.fit(pandas.DataFrame({"task": items, "worker": annotators, "label": labels}))


def _error_rate(name: str, codes_U: Any, given: Any, shares_V: Array) -> ErrorRate:
    """`given` is the annotator's own block of the model: rows given, columns true."""
    labels = list(range(len(shares_V)))
    given_true_V_V: Array = given.reindex(index=labels, columns=labels, fill_value=0.0).to_numpy()
    confusion_V_V = given_true_V_V.T
    rate = 1.0 - float((shares_V * confusion_V_V.diagonal()).sum())
    rows = tuple(tuple(row) for row in confusion_V_V.tolist())
    return ErrorRate(name, int((codes_U != MISSING).sum()), max(rate, 0.0), rows)
