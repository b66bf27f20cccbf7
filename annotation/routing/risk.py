"""The risk that a row is wrong: fused without answers, learnt where there are some."""

from typing import NamedTuple

from whyguard.annotation.routing.features import Features, Floats
from whyguard.annotation.routing.fitting import Model
from whyguard.annotation.routing.fusion import cold_risk, fused
from whyguard.annotation.routing.reasons import main_aspects, reason


class Assessed(NamedTuple):
    """Of N rows: the order to look at them (larger first), P(wrong) in 0..1, and the words."""

    score: Floats
    risk: Floats
    reasons: tuple[str, ...]
    aspects: tuple[str, ...]
    """What stands out most in a row, '' where nothing does."""


def assess(features: Features, model: Model | None = None) -> Assessed:
    """Score, risk and reasons of every row; without a model by what stands out."""
    if model is None:
        score = fused(features)
        risk = cold_risk(features.languages, score)
    else:
        score, risk = model.score(features), model.risk(features)
    reasons = tuple(reason(features, row) for row in range(len(features)))
    return Assessed(score, risk, reasons, main_aspects(features))
