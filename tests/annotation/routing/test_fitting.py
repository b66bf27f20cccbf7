"""What answers teach, and probabilities that the random share alone brings to scale."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.annotation.routing.making import faulty, ordinary

from whyguard.annotation.routing.features import Features, features_of
from whyguard.annotation.routing.fitting import Answer, Design, Level, Model, calibrate, fit
from whyguard.annotation.routing.fusion import fused


def mixed(count: int = 240, seed: int = 0) -> tuple[Features, list[bool]]:
    """Rows of which every eighth has a number lost, and is wrong; another sign means nothing."""
    rows = ordinary(count, seed=seed)
    wrong = [n % 8 == 3 for n in range(count)]
    rows = [faulty(row, numbers_kept=0.0 if bad else 1.0, negation_shift=float(n % 8 == 5))
            for n, (row, bad) in enumerate(zip(rows, wrong, strict=True))]  # fmt: skip
    return features_of(rows), wrong


def answered(wrong: list[bool], places: range, *, random: bool = True, weight: float = 1.0
             ) -> list[Answer]:  # fmt: skip
    return [Answer(n, f"group {n // 2}", wrong[n], weight, random) for n in places]


def fitted(features: Features, answers: list[Answer]) -> Model:
    model = fit(features, answers)
    assert model is not None
    return model


def found(order: NDArray[np.float64], wrong: list[bool], most: int) -> int:
    top = np.argsort(-order, kind="stable")[:most]
    return sum(wrong[int(n)] for n in top)


def test_answers_raise_what_is_found_of_the_faults_that_were_met() -> None:
    features, wrong = mixed()
    model = fitted(features, answered(wrong, range(120)))
    later, also = mixed(seed=1)
    assert found(model.score(later), also, 30) > found(fused(later), also, 30)


def test_a_fault_that_nobody_met_is_still_found() -> None:
    features, wrong = mixed()
    model = fitted(features, answered(wrong, range(240)))
    rows = ordinary(100, seed=2)
    rows[17] = faulty(rows[17], language_confidence=0.01)
    assert 17 in np.argsort(-model.score(features_of(rows)))[:8].tolist()


def test_a_few_answers_fit_nothing() -> None:
    features, wrong = mixed()
    bad = [n for n in range(240) if wrong[n]]
    good = [n for n in range(240) if not wrong[n]]
    for few in (bad[:4] + good, bad + good[:4], []):
        assert fit(features, [Answer(n, f"{n}", wrong[n], 1.0, True) for n in few]) is None
    both = [Answer(n, f"{n}", wrong[n], 1.0, True) for n in bad[:5] + good[:5]]
    assert fit(features, both) is not None


def test_risk_is_scaled_by_the_random_share_not_by_routed_rows() -> None:
    features, wrong = mixed(800)
    bad = [n for n in range(800) if wrong[n]]
    routed = [Answer(n, f"r {n}", True, 1.0, False) for n in bad[:60]]
    chance = answered(wrong, range(400, 800), weight=2.0)
    with_routed = fitted(features, routed + chance).risk(features)
    assert with_routed.mean() == pytest.approx(1 / 8, abs=0.04)
    assert ((with_routed >= 0.0) & (with_routed <= 1.0)).all()
    on_top = np.argsort(-with_routed, kind="stable")[:50]
    assert with_routed[on_top].mean() > 3 * with_routed.mean()


def test_risk_follows_the_score() -> None:
    features, wrong = mixed()
    model = fitted(features, answered(wrong, range(100)))
    order = np.argsort(model.score(features))
    assert (np.diff(model.risk(features)[order]) >= -1e-12).all()


def test_without_rows_by_chance_the_risk_is_a_guess_by_rank() -> None:
    features, wrong = mixed()
    model = fitted(features, answered(wrong, range(100), random=False))
    assert model.scale is None
    risk = model.risk(features)
    assert risk[model.score(features).argmin()] == pytest.approx(0.1)


def test_the_same_answers_in_another_order_fit_the_same() -> None:
    features, wrong = mixed()
    answers = answered(wrong, range(100))
    one, other = fitted(features, answers), fitted(features, answers[::-1])
    assert one.score(features) == pytest.approx(other.score(features), abs=1e-6)


def test_rare_rows_weigh_as_much_as_they_stand_for() -> None:
    features, wrong = mixed()
    light = answered(wrong, range(60), weight=1.0) + answered(wrong, range(60, 90), weight=1.0)
    heavy = answered(wrong, range(60), weight=1.0) + answered(wrong, range(60, 90), weight=8.0)
    assert not np.allclose(fitted(features, light).score(features),
                           fitted(features, heavy).score(features))  # fmt: skip


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.4])
def test_calibration_meets_the_rate(rate: float) -> None:
    rng = np.random.default_rng(3)
    score = rng.normal(size=3000)
    wrong = rng.random(3000) < rate
    scale = calibrate(score, wrong)
    assert scale is not None
    assert scale.probability(score).mean() == pytest.approx(wrong.mean(), abs=0.01)


def test_calibration_of_few_rows_stays_near_what_is_expected() -> None:
    scale = calibrate(np.array([0.1, -0.3, 0.5, 1.0]), np.zeros(4, dtype=bool))
    assert scale is not None and scale.steps is None and scale.slope > 0
    assert 0.01 < float(scale.probability(np.array([0.0]))[0]) < 0.1
    assert calibrate(np.array([]), np.zeros(0, dtype=bool)) is None


def test_a_score_that_says_the_opposite_gives_all_the_same_risk() -> None:
    score = np.linspace(-3, 3, 60)
    scale = calibrate(score, score < -1.5)
    assert scale is not None
    risk = scale.probability(score)
    assert np.ptp(risk) == 0.0 and risk[0] == pytest.approx(0.25, abs=0.01)


def test_nulls_are_marked_where_both_occur() -> None:
    rows = ordinary(40)
    features = features_of(rows)
    design = Design.of(features, np.arange(40))
    marked = features.by_aspect()[:, list(design.marks)]
    assert np.isnan(marked).any(axis=0).all() and not np.isnan(marked).all(axis=0).any()
    assert design.matrix(features).shape == (40, 1 + len(design.columns) + len(design.marks))
    assert not np.isnan(design.matrix(features)).any()
    assert Level.of(np.array([2.0, 2.0])) == (2.0, 1.0)
