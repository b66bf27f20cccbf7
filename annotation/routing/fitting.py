"""What people's answers teach: a regression on the features, and probabilities brought to scale.

The regression learns what the features are worth for the faults that were met, which may mislead
on others. So it gets the fused score as a feature that costs it next to nothing, all others under a
penalty that pulls their weights to zero, and its log-odds are averaged with the fused score.
Answers weigh by the inverse of the probability with which their rows were chosen. Probabilities are
fitted on the random share alone, each row scored by a regression that saw nothing of its group:
routed rows are wrong more often than the rest.

Source: Horvitz and Thompson (1952) for the weights; Platt (1999) for a line of log-odds, here with
priors on its two numbers in place of his smoothed targets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.annotation.routing.features import NEUTRAL, Features, Floats
from whyguard.annotation.routing.fusion import cold_risk, fused
from whyguard.core.optional import require

_FEWEST = 5
"""Wrong rows, and right ones, that a regression needs."""
_FEWEST_ISOTONIC = 40
"""Wrong rows, and right ones, of the random share that isotonic calibration needs."""
_FOLDS = 5
_FREE = 10.0
"""Scale of the fused score among the features: its penalty is this squared times smaller."""
_PENALTY = 0.1
"""Scikit-learn's C: the smaller, the nearer to the fused score alone."""
_RATE = 0.1
_LINE = np.array([1.0, -3.0])
"""Slope and shift that are expected beforehand: a tenth of all rows wrong, mostly those on top."""
_DOUBT = np.array([0.25, 1.0])
"""Variances of both."""
_NEWTON_STEPS = 25
_CUT = 10.0
"""Weights are cut at this many times their median."""

Bools = NDArray[np.bool_]
Places = NDArray[np.int64]


class Answer(NamedTuple):
    """What people found of a row: `weight` is 1 / P(it was chosen), `random` whether by chance."""

    row: int
    group: str
    wrong: bool
    weight: float
    random: bool


class Level(NamedTuple):
    """Mean and spread (1 where there is none) of some numbers."""

    mean: float
    spread: float

    @classmethod
    def of(cls, numbers: Floats) -> "Level":
        """Those of (N,) numbers."""
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    def standard(self, numbers: Floats) -> Floats:
        """The numbers with this mean taken off, in units of this spread."""
        return (numbers - self.mean) / self.spread


@dataclass(frozen=True, slots=True)
class Design:
    """How features become a design matrix: made once, at the fit."""

    alone: Level
    """Of the fused score."""
    columns: tuple[int, ...]
    """Aspects that were measurable on some answered row."""
    marks: tuple[int, ...]
    """Those of them with nulls as well: each null is marked."""

    @classmethod
    def of(cls, features: Features, rows: Places) -> "Design":
        """For these answered rows."""
        missing = np.isnan(features.by_aspect()[rows])
        columns = tuple(int(at) for at in np.flatnonzero(~missing.all(axis=0)))
        marks = tuple(at for at in columns if missing[:, at].any())
        return cls(Level.of(fused(features)), columns, marks)

    def score(self, features: Features) -> Floats:
        """The fused score (N,), in the fit's units."""
        return self.alone.standard(fused(features))

    def matrix(self, features: Features) -> Floats:
        """(N, 1 + columns + marks): the fused score, surprises, what is missing."""
        by_aspect = features.by_aspect()
        excess = np.nan_to_num(by_aspect[:, list(self.columns)] - NEUTRAL, nan=0.0)
        missing = np.isnan(by_aspect[:, list(self.marks)])
        return np.column_stack([_FREE * self.score(features), excess, missing])


@dataclass(frozen=True, slots=True)
class Scale:
    """From scores to probabilities."""

    slope: float
    shift: float
    steps: Any = None
    """Scikit-learn's isotonic regression, where the random share is large enough."""

    def probability(self, score: Floats) -> Floats:
        """P(wrong) (N,)."""
        if self.steps is not None:
            return np.clip(np.asarray(self.steps.predict(score), dtype=np.float64), 0.0, 1.0)
        logits = np.clip(self.slope * score + self.shift, -30.0, 30.0)
        return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Model:
    """A regression that was fitted to answers."""

    regression: Any
    design: Design
    logits: Level
    """Of the regression's log-odds over all rows of the fit."""
    scale: Scale | None
    """None: no row by chance was answered."""

    def score(self, features: Features) -> Floats:
        """The order to look at rows in (N,): the regression and the fused score, half and half."""
        found = self.regression.decision_function(self.design.matrix(features))
        return self.logits.standard(np.asarray(found)) + self.design.score(features)

    def risk(self, features: Features) -> Floats:
        """P(wrong) (N,); without a scale a guess by rank (see `fusion.cold_risk`)."""
        score = self.score(features)
        if self.scale is None:
            return cold_risk(features.languages, score)
        return self.scale.probability(score)


def fit(features: Features, answers: Sequence[Answer]) -> Model | None:
    """Learn from answers; None where there are fewer than 5 wrong or 5 right rows.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    wrong = np.array([answer.wrong for answer in answers], dtype=bool)
    if min(wrong.sum(), (~wrong).sum()) < _FEWEST:
        return None
    rows = np.array([answer.row for answer in answers], dtype=np.int64)
    design = Design.of(features, rows)
    matrix = design.matrix(features)
    learnt = _Learnt(matrix[rows], wrong, _weights(answers))
    regression = _regression(learnt)
    level = Level.of(np.asarray(regression.decision_function(matrix)))
    chance = np.array([answer.random for answer in answers], dtype=bool)
    unseen = _out_of_fold(learnt, [answer.group for answer in answers])
    score = level.standard(unseen) + design.score(features)[rows]
    return Model(regression, design, level, calibrate(score[chance], wrong[chance]))


def calibrate(score: Floats, wrong: Bools) -> Scale | None:
    """Fit the scores (M,) of rows drawn by chance to what was found of them; None of no row.

    A slope below 0 would turn the order round: then all get the share of wrong rows.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    bad, good = int(wrong.sum()), int((~wrong).sum())
    if not wrong.size:
        return None
    if min(bad, good) >= _FEWEST_ISOTONIC:
        isotonic = require("sklearn.isotonic", "annotate").IsotonicRegression(out_of_bounds="clip")
        return Scale(1.0, 0.0, isotonic.fit(score, wrong))
    slope, shift = _slope_and_shift(score, wrong)
    if slope <= 0.0:
        return Scale(0.0, math.log((bad + 2 * _RATE) / (good + 2 * (1.0 - _RATE))))
    return Scale(slope, shift)


def _slope_and_shift(score: Floats, wrong: Bools) -> tuple[float, float]:
    """Most probable line of log-odds under normal priors, by Newton's method (it is concave).

    Few rows by chance are wrong, often none: without priors nothing could be said of them.
    """
    matrix = np.column_stack([score, np.ones_like(score)])
    line = np.array(_LINE)
    for _ in range(_NEWTON_STEPS):
        expected = 1.0 / (1.0 + np.exp(-np.clip(matrix @ line, -30.0, 30.0)))
        gradient = matrix.T @ (wrong - expected) - (line - _LINE) / _DOUBT
        curvature = (matrix.T * (expected * (1.0 - expected))) @ matrix + np.diag(1.0 / _DOUBT)
        line = line + np.linalg.solve(curvature, gradient)
    return float(line[0]), float(line[1])


class _Learnt(NamedTuple):
    """What a regression is fitted to: (M, D) features, (M,) answers and weights."""

    matrix: Floats
    wrong: Bools
    weights: Floats

    def at(self, rows: Bools) -> "_Learnt":
        return _Learnt(self.matrix[rows], self.wrong[rows], self.weights[rows])


def _weights(answers: Sequence[Answer]) -> Floats:
    """Inverse probabilities, cut, with mean 1."""
    weights = np.array([answer.weight for answer in answers], dtype=np.float64)
    weights = np.minimum(weights, _CUT * float(np.median(weights)))
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def _regression(learnt: _Learnt) -> Any:
    linear = require("sklearn.linear_model", "annotate")
    return linear.LogisticRegression(C=_PENALTY, solver="newton-cholesky").fit(
        learnt.matrix, learnt.wrong, sample_weight=learnt.weights
    )


def _out_of_fold(learnt: _Learnt, groups: Sequence[str]) -> Floats:
    """Log-odds (M,) of each answered row by a regression that saw nothing of its group."""
    names = {name: number for number, name in enumerate(sorted(set(groups)))}
    fold = np.array([names[group] % _FOLDS for group in groups])
    logits = np.zeros(len(groups))
    for number in sorted(set(fold.tolist())):
        own = fold == number
        rest = learnt.at(~own)
        if len(set(rest.wrong.tolist())) == 2:  # else nothing can be learnt: 0, even odds
            logits[own] = _regression(rest).decision_function(learnt.matrix[own])
    return logits
