"""MASI: the distance of two sets of labels, between Jaccard's and all-or-nothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = frozenset[str]

_SAME, _SUBSET, _OVERLAP, _DISJOINT = 1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0


def masi_distance(one: Labels, other: Labels) -> float:
    """1 - Jaccard * monotonicity, 0 (the same set) to 1 (nothing in common).

    Monotonicity is 1 for equal sets, 2/3 where one holds the other, 1/3 where they overlap, 0 where
    they do not. Two empty sets are equal: two annotators who found nothing agree.

    Source: Passonneau (2006), Measuring Agreement on Set-valued Items (MASI), section 3.
    """
    if one == other:
        return 0.0
    return 1.0 - len(one & other) / len(one | other) * _monotonicity(one, other)


def _monotonicity(one: Labels, other: Labels) -> float:
    if one == other:
        return _SAME
    if one <= other or other <= one:
        return _SUBSET
    return _OVERLAP if one & other else _DISJOINT


def masi_distances(domain: Sequence[Labels]) -> NDArray[np.float64]:
    """The distances (V, V) of the V sets of a domain."""
    rows = [[masi_distance(one, other) for other in domain] for one in domain]
    return np.array(rows, dtype=np.float64).reshape(len(domain), len(domain))
