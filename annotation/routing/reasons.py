"""A risk in words: which signals of a row stand out among the rows of its language."""

import math

import numpy as np

from whyguard.annotation.routing.features import ASPECTS, KINDS, NAMES, Features

_NOTABLE = 1.5
"""Surprise (nats) from which a signal is named: the worst fifth of its language."""
_MOST = 2
_STEP = 1e-3
NOTHING = "no signal stands out"


def reason(features: Features, row: int) -> str:
    """`numbers_kept 0.5 (lower than 98 % of ast_Latn rows)`: two aspects at most, worst first."""
    surprise = np.nan_to_num(features.surprise[row], nan=0.0)
    named: dict[str, str] = {}
    for column in np.argsort(-surprise, kind="stable"):
        aspect = KINDS[NAMES[column]].aspect
        if surprise[column] >= _NOTABLE and aspect not in named and len(named) < _MOST:
            named[aspect] = _words(features, row, int(column))
    return "; ".join(named.values()) or NOTHING


def main_aspects(features: Features) -> tuple[str, ...]:
    """The aspect of each row that stands out most, '' where none does."""
    by_aspect = np.nan_to_num(features.by_aspect(), nan=0.0)
    strongest = by_aspect.argmax(axis=1)
    return tuple(ASPECTS[at] if by_aspect[row, at] >= _NOTABLE else ""
                 for row, at in enumerate(strongest))  # fmt: skip


def _words(features: Features, row: int, column: int) -> str:
    value = float(features.values[row, column])
    share = math.floor(100 * features.better[row, column])
    bad = KINDS[NAMES[column]].badness
    if value and bad(value) == bad(-value):
        side = "farther from 0 than"
    else:
        side = "lower than" if bad(value + _STEP) < bad(value - _STEP) else "higher than"
    return f"{NAMES[column]} {value:.3g} ({side} {share} % of {features.languages[row]} rows)"
