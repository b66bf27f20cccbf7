"""Measures as sums over items, so that a thousand resamplings cost a thousand additions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.core.stats import Indices, Interval, group_bootstrap

Array = NDArray[np.float64]


class Sums(NamedTuple):
    """A measure that depends on its U items through a sum alone.

    `of_units` (U, F) has F numbers an item; `finish` makes the measure out of their sum over items
    (F,), NaN where it is undefined.
    """

    of_units: Array
    finish: Callable[[Array], float]

    def value(self) -> float:
        """The measure over all items; NaN where it is undefined."""
        return self.finish(self.of_units.sum(axis=0))


class Figure(NamedTuple):
    """A measure, or why it has no value."""

    value: float | None
    reason: str | None = None


class Spread(NamedTuple):
    """An interval, and how many draws it stands on (the measure was undefined on the others)."""

    interval: Interval
    defined: int


def interval(sums: Sums, groups: Sequence[str], draws: int, seed: int) -> Spread:
    """The group bootstrap of a measure; `groups` has the group id of each item.

    Items that add nothing (all numbers 0) are left out first: they would only blur the draws.
    """
    used = np.flatnonzero(np.any(sums.of_units != 0.0, axis=1))
    names, member = np.unique(np.asarray(groups)[used], return_inverse=True)
    of_groups = np.zeros((len(names), sums.of_units.shape[1]))
    np.add.at(of_groups, member, sums.of_units[used])
    defined = 0

    def statistic(picked: Indices) -> float:
        nonlocal defined
        value = sums.finish(of_groups[picked].sum(axis=0))
        defined += not np.isnan(value)
        return value

    found = group_bootstrap(names.tolist(), statistic, draws=draws, seed=seed)
    return Spread(found, defined - 1)  # the point estimate is no draw
