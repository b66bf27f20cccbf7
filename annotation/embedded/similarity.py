"""Nearest vectors by cosine."""

from collections.abc import Sequence

import numpy as np


def scores(vectors: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """(1 + cosine) / 2 of each vector with the wanted one: 1 = same direction, 0 = opposite.

    A vector of length 0 has no direction: its cosine counts as 0.
    """
    stored = np.asarray(vectors, dtype=np.float64)
    asked = np.asarray(wanted, dtype=np.float64)
    lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(asked)
    cosines = np.divide(stored @ asked, lengths, out=np.zeros(len(stored)), where=lengths > 0)
    return [float(score) for score in (1 + cosines) / 2]
