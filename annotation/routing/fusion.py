"""One score from all features without any answer: what stands out, however it does.

The features' surprises (-ln of an upper tail) are brought together by the 1.5-norm of what is above
the neutral surprise. It stands between Fisher's sum of -ln p (1-norm) and the smallest p
(max-norm): a fault that moves one signal far is seen, and so is one that moves several a little. No
example of a fault is needed, so that it sees kinds that nobody met before.

Source: Fisher (1932) and Tippett (1931) for combining p-values; Birnbaum (1954) for why no
combination is best for all alternatives.
"""

import math
from collections.abc import Sequence

import numpy as np

from whyguard.annotation.routing.features import NEUTRAL, Features, Floats

_NORM = 1.5
_PRIOR = 0.1
"""Share of wrong rows that is assumed where nobody has answered."""


def fused(features: Features) -> Floats:
    """Score (N,), 0 and more: how much stands out. Nulls are neutral."""
    excess = np.nan_to_num(features.by_aspect() - NEUTRAL, nan=0.0)
    total = np.sum(np.maximum(excess, 0.0) ** _NORM, axis=1) ** (1.0 / _NORM)
    return np.asarray(total, dtype=np.float64)


def cold_risk(languages: Sequence[str], score: Floats) -> Floats:
    """A guess at P(wrong) (N,), from the score's rank in its language and nothing else.

    A tenth is assumed to be wrong, and the evidence is taken to be as strong as a p-value can make
    it, -1 / (e p ln p). The order is the score's; the level is an assumption.

    Source: Sellke, Bayarri and Berger (2001), The American Statistician 55(1).
    """
    codes = np.asarray(languages)
    risk = np.zeros_like(score)
    for language in sorted(set(languages)):
        at = np.flatnonzero(codes == language)
        ordered = np.sort(score[at])
        tail = 1.0 - np.searchsorted(ordered, score[at], side="left") / (at.size + 1.0)
        inside = np.minimum(tail, math.exp(-1.0))
        odds = -1.0 / (math.e * inside * np.log(inside)) * _PRIOR / (1.0 - _PRIOR)
        risk[at] = odds / (1.0 + odds)
    return risk
