"""train/metrics.py: cases by hand, and scikit-learn."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from whyguard.core.schemas import Score
from whyguard.core.tables import frame
from whyguard.train.metrics import (
    arm_differences,
    auroc,
    f1,
    false_refusal_rate,
    fixed_threshold,
    recall,
    score_metrics,
    thresholds,
)

RELATED = ("glg_Latn", "oci_Latn")


def _bools(values: list[int]) -> Any:
    return np.array(values, dtype=bool)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60))
def test_auroc_equals_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([value / 8 for value, _ in rows])
    harmful = np.array([label for _, label in rows])
    if harmful.all() or not harmful.any():
        assert math.isnan(auroc(scores, harmful))
    else:
        assert auroc(scores, harmful) == pytest.approx(roc_auc_score(harmful, scores))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_rates_equal_scikit_learn(rows: list[tuple[bool, bool]]) -> None:
    caught, harmful = _bools([c for c, _ in rows]), _bools([h for _, h in rows])
    if harmful.any():
        assert recall(caught, harmful) == pytest.approx(recall_score(harmful, caught))
    if (~harmful).any():
        passed = recall_score(~harmful, ~caught)
        assert false_refusal_rate(caught, harmful) == pytest.approx(1 - passed)
    if harmful.any() or caught.any():
        assert f1(caught, harmful) == pytest.approx(f1_score(harmful, caught))


def test_threshold_by_hand() -> None:
    benign = np.linspace(0.0, 0.95, 20)
    scores = np.concatenate([benign, [0.99]])
    harmful = _bools([0] * 20 + [1])
    cut = fixed_threshold(scores, harmful)
    assert (benign >= cut).mean() == 0.05
    assert 0.9 <= cut < 0.95
    # 5 % of 10 rows: none may be refused
    assert (scores[:10] >= fixed_threshold(scores[:10], harmful[:10])).sum() == 0
    assert math.isnan(fixed_threshold(scores[20:], harmful[20:]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 0.5))
def test_threshold_is_the_smallest_that_keeps_the_rate(scores: list[float], share: float) -> None:
    values = np.array(scores)
    benign = np.zeros(len(values), dtype=bool)
    cut = fixed_threshold(values, benign, share)
    assert (values >= cut).mean() <= share + 1e-9
    below = np.nextafter(cut, -np.inf)
    assert cut == 0.0 or (values >= below).mean() > share - 1e-9


def _score(arm: str, seed: int, group: int, language: str, split: str, label: str, score: float,
           **more: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "model": f"{arm}-{seed}", "arm": arm, "seed": seed, "mode": "no_think",
        "example_id": f"{group}-{label[0]}:{language}:{split}", "group_id": f"{split}{group}",
        "split": split, "language": language, "label": label, "score": score, "signals": [], **more,
    }  # fmt: skip


def _table(shift: dict[str, float], seeds: int = 1) -> pl.DataFrame:
    """Arms whose harmful rows score `shift` higher; deterministic noise."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for group in range(12):
            for language in ("ast_Latn", *RELATED):
                for split in ("dev", "test"):
                    for label in ("harmful", "unharmful"):
                        noise = rng.uniform(0, 0.6)
                        for arm, plus in shift.items():
                            bonus = plus if label == "harmful" else 0.0
                            rows.append(_score(arm, seed, group, language, split, label,
                                               noise + bonus))  # fmt: skip
    return frame(Score, rows)


def _value(table: pl.DataFrame, **where: str) -> dict[str, Any]:
    found = table.filter(pl.all_horizontal(pl.col(k) == v for k, v in where.items()))
    assert found.height == 1, where
    return found.to_dicts()[0]


def _metrics(table: pl.DataFrame) -> pl.DataFrame:
    return score_metrics(table, train_languages=["ast_Latn"], related_languages=RELATED, draws=50)


def test_metrics_by_language_and_pool() -> None:
    table = _table({"refusal_only": 0.1, "explained": 0.3})
    metrics = _metrics(table)
    one = table.filter((pl.col("arm") == "explained") & (pl.col("split") == "test"))
    pooled = one.filter(pl.col("language").is_in(RELATED))
    row = _value(metrics, name="auroc", arm="explained", language="related")
    harmful = (pooled["label"] == "harmful").to_numpy()
    assert row["value"] == pytest.approx(auroc(pooled["score"].to_numpy(), harmful))
    assert (row["n"], row["groups"]) == (48, 12)
    assert row["low"] <= row["value"] <= row["high"]
    cut = thresholds(table, ["ast_Latn"]).filter(pl.col("arm") == "explained")["threshold"][0]
    caught = (pooled["score"] >= cut).to_numpy()
    for name, expected in (("recall_at_fpr5", recall(caught, harmful)),
                           ("false_refusal_rate", false_refusal_rate(caught, harmful)),
                           ("f1_harmful", f1(caught, harmful))):  # fmt: skip
        found = _value(metrics, name=name, arm="explained", language="related")
        assert found["value"] == pytest.approx(expected)


def test_the_threshold_rests_on_dev_of_the_training_language() -> None:
    table = _table({"refusal_only": 0.2})
    row = _value(_metrics(table), name="threshold")
    dev = table.filter((pl.col("split") == "dev") & (pl.col("language") == "ast_Latn"))
    benign = dev.filter(pl.col("label") == "unharmful")["score"]
    assert (row["language"], row["split"], row["n"]) == ("ast_Latn", "dev", 12)
    assert row["value"] > benign.max()  # 5 % of 12 rows: none may be refused
    rate = _value(_metrics(table), name="dev_false_refusal_rate")
    assert rate["value"] == 0.0


def test_without_dev_rows_only_auroc_is_defined() -> None:
    table = _table({"refusal_only": 0.2}).filter(pl.col("split") == "test")
    assert set(_metrics(table)["name"]) == {"auroc"}


def test_seeds_are_averaged() -> None:
    table = _table({"explained": 0.2}, seeds=2).filter(pl.col("split") == "test")
    metrics = _metrics(table)
    each = [_metrics(table.filter(pl.col("seed") == s)) for s in (0, 1)]
    where = {"name": "auroc", "language": "related"}
    expected = np.mean([_value(part, **where)["value"] for part in each])
    assert _value(metrics, **where)["value"] == pytest.approx(expected)


def test_the_threshold_counts_the_dev_rows_of_one_model() -> None:
    row = _value(_metrics(_table({"explained": 0.2}, seeds=2)), name="threshold")
    assert row["n"] == 12


def test_paired_differences() -> None:
    table = _table({"refusal_only": 0.1, "explained": 0.4})
    found = arm_differences(table, train_languages=["ast_Latn"], related_languages=RELATED,
                            draws=50)  # fmt: skip
    metrics = _metrics(table)
    for name in ("auroc", "recall_at_fpr5"):
        row = _value(found, name=f"{name}_difference", language="related")
        one, other = (_value(metrics, name=name, arm=arm, language="related")["value"]
                      for arm in ("explained", "refusal_only"))  # fmt: skip
        assert row["arm"] == "explained - refusal_only"
        assert row["value"] == pytest.approx(one - other)
        assert (row["n"], row["groups"]) == (48, 12)


def test_equal_arms_differ_by_exactly_zero() -> None:
    table = _table({"refusal_only": 0.1, "explained": 0.1})
    found = arm_differences(table, train_languages=["ast_Latn"], related_languages=RELATED,
                            draws=20)  # fmt: skip
    assert found["low"].unique().to_list() == found["high"].unique().to_list() == [0.0]


def test_rationales_are_averaged_where_measured() -> None:
    signals = [[1.0, 30.0, None], [0.0, 10.0, None], [None, 20.0, 1.0]]
    rows = [
        _score("explained", 0, i, "glg_Latn", "test", "harmful", 0.5, explanation="x",
               signals=[{"name": "right_language", "value": right}, {"name": "chrf", "value": near},
                        {"name": "specific", "value": own}])
        for i, (right, near, own) in enumerate(signals)
    ]  # fmt: skip
    metrics = _metrics(frame(Score, rows))
    found = {name: _value(metrics, name=name, language="glg_Latn")
             for name in ("right_language", "chrf", "specific")}  # fmt: skip
    assert {name: (row["value"], row["n"]) for name, row in found.items()} == {
        "right_language": (0.5, 2), "chrf": (20.0, 3), "specific": (1.0, 1)}  # fmt: skip
    assert metrics.filter(pl.col("name") == "auroc")["value"].null_count() == 2


def test_rationales_of_two_arms_are_compared_where_measured() -> None:
    measured = {"explained": [40.0, 20.0, None], "refusal_only": [10.0, None, 30.0]}
    rows = [
        _score(arm, 0, i, "glg_Latn", "test", "harmful", 0.5,
               signals=[{"name": "chrf", "value": value}])
        for arm, values in measured.items()
        for i, value in enumerate(values)
    ]  # fmt: skip
    found = arm_differences(frame(Score, rows), train_languages=["ast_Latn"],
                            related_languages=RELATED, draws=50)  # fmt: skip
    row = _value(found, name="chrf_difference", language="glg_Latn")
    assert (row["value"], row["n"]) == (30.0 - 20.0, 2)
    assert row["low"] <= row["value"] <= row["high"]
    assert "right_language_difference" not in found["name"].to_list()


def _separated(rng: np.random.Generator, dev: int, test: int, apart: float) -> pl.DataFrame:
    """Normal scores; harmful rows score `apart` standard deviations higher."""
    rows = []
    for split, count in (("dev", dev), ("test", test)):
        for group in range(count):
            for label in ("harmful", "unharmful"):
                score = NormalDist().cdf(rng.normal() + apart * (label == "harmful"))
                rows.append(_score("explained", 0, group, "ast_Latn", split, label, score))
    return frame(Score, rows)


@pytest.mark.slow
def test_intervals_of_recall_count_that_the_threshold_is_a_guess() -> None:
    rng, runs, covered = np.random.default_rng(1), 60, 0
    true = 1.0 - NormalDist().cdf(NormalDist().inv_cdf(0.95) - 1.5)
    for _ in range(runs):
        found = score_metrics(_separated(rng, 40, 100, 1.5), train_languages=["ast_Latn"],
                              related_languages=[], draws=150)  # fmt: skip
        row = _value(found, name="recall_at_fpr5")
        assert (row["n"], row["groups"]) == (200, 100)
        covered += row["low"] <= true <= row["high"]
    assert covered / runs >= 0.75, "with the threshold taken as known: 0.47"


def test_modes_have_thresholds_of_their_own() -> None:
    table = _table({"explained": 0.2})
    other = table.with_columns(mode=pl.lit("think_greedy"), score=pl.col("score") * 0.5 + 0.4)
    both = _metrics(frame(Score, [*table.to_dicts(), *other.to_dicts()]))
    for mode, alone in (("no_think", _metrics(table)),
                        ("think_greedy", _metrics(frame(Score, other.to_dicts())))):  # fmt: skip
        own = both.filter(pl.col("mode") == mode)
        assert own.sort("name", "language", "split").equals(alone.sort("name", "language", "split"))
