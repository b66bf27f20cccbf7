"""Cohen's kappa of two annotators."""

import warnings

import numpy as np

from whyguard.annotation.agreement.ratings import Ratings
from whyguard.annotation.agreement.sums import Array, Figure, Sums
from whyguard.core.optional import require


def kappa(pair: Ratings, *, weighted: bool) -> Figure:
    """Cohen's kappa of a table of two annotators; `weighted`: by squared distance, for ratings.

    No value where they share no item, or both gave one and the same answer to all they share.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Source: Cohen (1960, 1968), as scikit-learn computes it.
    """
    both_U_2 = pair.codes[pair.pairable()]
    if len(both_U_2) == 0:
        return Figure(None, "no item was answered by both")
    if len(np.unique(both_U_2)) < 2:
        return Figure(None, "all answers are the same: kappa is undefined")
    metrics = require("sklearn.metrics", "annotate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.cohen_kappa_score(
            both_U_2[:, 0], both_U_2[:, 1], labels=np.arange(len(pair.domain)),
            weights="quadratic" if weighted else None)  # fmt: skip
    return Figure(float(found))


def kappa_sums(pair: Ratings, *, weighted: bool) -> Sums:
    """Kappa as sums over items: each adds one to its cell of the two annotators' table."""
    size = len(pair.domain)
    both_U = pair.pairable()
    cells_U_F = np.zeros((len(both_U), size * size))
    codes_U_2 = pair.codes[both_U]
    cells_U_F[np.flatnonzero(both_U), codes_U_2[:, 0] * size + codes_U_2[:, 1]] = 1.0
    at = np.arange(size)
    steps_V_V = np.abs(at[:, None] - at[None, :])
    weights_V_V = (steps_V_V**2 if weighted else steps_V_V > 0).astype(np.float64)

    def finish(sums_F: Array) -> float:
        cells_V_V = sums_F.reshape(size, size)
        chance_V_V = np.outer(cells_V_V.sum(axis=1), cells_V_V.sum(axis=0))
        expected = float((weights_V_V * chance_V_V).sum())
        observed = float((weights_V_V * cells_V_V).sum() * cells_V_V.sum())
        return 1.0 - observed / expected if expected > 0.0 else float("nan")

    return Sums(cells_U_F, finish)
