"""The score without answers: far-out rows first, nulls neutral, risk in the score's order."""

import numpy as np
import pytest
from tests.annotation.routing.making import faulty, ordinary

from whyguard.annotation.routing.features import features_of
from whyguard.annotation.routing.fusion import cold_risk, fused


@pytest.mark.parametrize("fault", [
    {"language_confidence": 0.02}, {"length_ratio_z": 9.0}, {"round_trip_chrf": 20.0},
    {"negation_shift": 1.0, "round_trip_chrf": 88.0}, {"numbers_kept": 0.0},
])  # fmt: skip
def test_one_signal_far_out_is_enough(fault: dict[str, float | None]) -> None:
    rows = ordinary(120)
    rows[40] = faulty(rows[40], **fault)
    order = np.argsort(-fused(features_of(rows)), kind="stable")
    assert 40 in order[:12].tolist()


def test_several_signals_a_little_off_add_up() -> None:
    rows = ordinary(120)
    rows[10] = faulty(rows[10], language_confidence=0.95, length_ratio_z=2.2, round_trip_chrf=89.2)
    one = faulty(rows[10], language_confidence=1.0, length_ratio_z=0.0)
    together = fused(features_of(rows))[10]
    rows[10] = one
    assert together > fused(features_of(rows))[10]


def test_what_was_not_measured_changes_nothing() -> None:
    rows = ordinary(40)
    with_nulls = [faulty(row, harm_agreement=None, copied_share=None) for row in rows]
    assert fused(features_of(rows)).tolist() == fused(features_of(with_nulls)).tolist()


def test_cold_risk_keeps_the_order_and_says_a_tenth() -> None:
    languages = ["ast_Latn"] * 60 + ["glg_Latn"] * 30
    score = np.concatenate([np.arange(60.0), np.arange(30.0) * 5])
    risk = cold_risk(languages, score)
    assert (np.diff(risk[:60]) >= 0).all() and (np.diff(risk[60:]) >= 0).all()
    assert risk[0] == pytest.approx(0.1) and 0.2 < risk[59] < 1.0
    assert cold_risk(["ast_Latn"], np.array([3.0])).tolist() == pytest.approx([0.1])
    assert len(cold_risk([], np.array([]))) == 0
