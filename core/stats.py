"""Group bootstrap: rows of one group are resampled together, since they are not independent."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Statistic = Callable[[Indices], float]


class Interval(NamedTuple):
    """A point estimate with a percentile interval; `n` rows in `groups` groups."""

    value: float
    low: float
    high: float
    n: int
    groups: int


def group_bootstrap(groups: Sequence[str], statistic: Statistic, *, draws: int = 1000,
                    level: float = 0.95, seed: int = 0,
                    strata: Sequence[str] | None = None) -> Interval:  # fmt: skip
    """Percentile interval of a statistic under resampling of whole groups with replacement.

    Args:
        groups: the group id of each row, length N.
        statistic: maps row indices (M,) to a number; NaN where it is undefined on a draw.
        draws: bootstrap draws; undefined draws are left out of the percentiles.
        level: coverage of the interval.
        seed: seed of the resampling.
        strata: the stratum of each row, length N: groups are drawn within theirs, as many as it
            has (rows that a threshold is fixed on, say, and rows that it is tried on).

    With a single group (in a stratum) nothing can be said of the spread: low and high are NaN, as
    they are where no draw is defined.

    Raises:
        ValueError: there are no rows.

    Source: cluster bootstrap, Cameron, Gelbach and Miller (2008), section II.
    """
    if len(groups) == 0:
        raise ValueError("group_bootstrap needs at least one row, got none")
    whole = groups if strata is None else [
        f"{stratum}\x1f{group}" for stratum, group in zip(strata, groups, strict=True)]  # fmt: skip
    codes, members = _members(whole)
    sizes = [codes] if strata is None else _sizes(strata, members)
    # where each group is one row, as many are, indexing is several times faster than joining
    single = np.concatenate(members) if codes == len(groups) else None
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws if min(sizes) > 1 else 0):
        picked = _picked(rng, sizes)
        rows = (
            single[picked] if single is not None else np.concatenate([members[g] for g in picked])
        )
        values.append(statistic(rows))
    defined = np.array([v for v in values if not np.isnan(v)])
    point = statistic(np.arange(len(groups)))
    if defined.size == 0:
        return Interval(point, float("nan"), float("nan"), len(groups), codes)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Interval(point, float(low), float(high), len(groups), codes)


def _picked(rng: np.random.Generator, sizes: Sequence[int]) -> Indices:
    """Groups drawn with replacement: of each stratum as many as it has, strata side by side."""
    drawn, start = [], 0
    for size in sizes:
        drawn.append(rng.integers(start, start + size, size=size))
        start += size
    return np.concatenate(drawn)


def _sizes(strata: Sequence[str], members: Sequence[Indices]) -> list[int]:
    """Groups of each stratum, in the order of the groups: by stratum first."""
    names = np.asarray([strata[rows[0]] for rows in members])
    return [int(count) for count in np.unique(names, return_counts=True)[1]]


def _members(groups: Sequence[str]) -> tuple[int, list[Indices]]:
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    counts = np.bincount(inverse)
    return len(names), list(np.split(order, np.cumsum(counts)[:-1]))
