"""Score, risk, words and aspects of rows, with and without answers."""

import numpy as np
from tests.annotation.routing.making import faulty, ordinary

from whyguard.annotation.routing.features import features_of
from whyguard.annotation.routing.fitting import Answer, fit
from whyguard.annotation.routing.reasons import NOTHING
from whyguard.annotation.routing.risk import assess


def test_cold_and_fitted_say_all_of_every_row() -> None:
    rows = ordinary(80)
    rows = [faulty(row, length_ratio_z=7.0) if n % 8 == 0 else row for n, row in enumerate(rows)]
    features = features_of(rows)
    model = fit(features, [Answer(n, f"{n}", n % 8 == 0, 1.0, True) for n in range(80)])
    assert model is not None
    for found in (assess(features), assess(features, model)):
        assert len(found.score) == len(found.risk) == len(found.reasons) == len(found.aspects) == 80
        assert ((found.risk >= 0.0) & (found.risk <= 1.0)).all()
        assert set(np.argsort(-found.score)[:10].tolist()) == set(range(0, 80, 8))
        assert (
            found.reasons[0].startswith("length_ratio_z 7 (farther") and "length" in found.aspects
        )
        assert all((words == NOTHING) == (aspect == "")
                   for words, aspect in zip(found.reasons, found.aspects, strict=True))  # fmt: skip


def test_the_same_rows_get_the_same_risk_twice() -> None:
    rows = ordinary(50)
    one, other = assess(features_of(rows)), assess(features_of(list(rows)))
    assert one.score.tolist() == other.score.tolist() and one.reasons == other.reasons
