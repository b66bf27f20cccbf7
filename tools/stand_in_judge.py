"""For measure_signals.py: a stand-in for a guard, bag of character n-grams, cross-fitted."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyguard.core.artefact import ModelUse
from whyguard.generation.signals.harm import Judged

FIELDS = ("en", "es")
"""Starter prompts' languages: English and Spanish."""


class StandInJudge:
    """Two logistic regressions over the starter pack's prompts, each of one half of the groups.

    A text of a starter group is judged by the half that did not see the group; any other text by
    the mean of both. The group is the row's: a row may hold another row's text only if both are of
    one half. It stands in where no trained guard is at hand, and is far weaker than one.
    """

    def __init__(self, groups: Path) -> None:
        rows = [json.loads(line) for line in groups.read_text("utf-8").strip().split("\n")]
        self._halves = [_trained([row for row in rows if half_of(row["group"]) == half])
                        for half in (0, 1)]  # fmt: skip
        self._known = {str(row["group"]) for row in rows}
        self.use: ModelUse | None = None

    def harmful(self, texts: Sequence[Judged]) -> list[float | None]:
        """P(harmful) of each text."""
        if not texts:
            return []
        columns = [half.predict_proba([item.text for item in texts])[:, 1] for half in self._halves]
        return [self._choose(item, float(columns[0][i]), float(columns[1][i]))
                for i, item in enumerate(texts)]  # fmt: skip

    def _choose(self, item: Judged, first: float, second: float) -> float:
        source, _, rest = item.family_id.partition(":")
        group = rest.rpartition("-")[0]
        if source != "starter" or group not in self._known:
            return (first + second) / 2
        return second if half_of(group) == 0 else first


def half_of(group: str) -> int:
    """Which half a starter group is in, 0 or 1."""
    return hashlib.sha256(group.encode()).digest()[0] % 2


def _trained(rows: Sequence[dict[str, Any]]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = [], []
    for row in rows:
        for side in ("harmful", "benign"):
            texts += [row[side][field] for field in FIELDS]
            labels += [side == "harmful"] * len(FIELDS)
    model = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2),
                          LogisticRegression(C=10.0, max_iter=1000))  # fmt: skip
    return model.fit(texts, labels)
