"""The group bootstrap covers what it says, and says nothing where it knows nothing."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from whyguard.core.stats import Interval, group_bootstrap


def mean_interval(values: list[float], groups: list[str], seed: int = 0) -> Interval:
    data = np.array(values)
    return group_bootstrap(groups, lambda rows: float(data[rows].mean()), draws=300, seed=seed)


def test_coverage_with_dependent_rows() -> None:
    rng = np.random.default_rng(1)
    covered = naive = 0
    for trial in range(120):
        effects = np.repeat(rng.normal(size=40), 5)
        values = (effects + 0.1 * rng.normal(size=200)).tolist()
        groups = [f"g{n // 5}" for n in range(200)]
        found = mean_interval(values, groups, trial)
        covered += found.low <= 0.0 <= found.high
        rows = mean_interval(values, [str(n) for n in range(200)], trial)
        naive += rows.low <= 0.0 <= rows.high
    assert covered >= 105, "95 % of 120 is 114, three standard errors below is 107"
    assert naive < 90, "rows taken as independent give a false certainty"


def test_the_same_in_a_second_process() -> None:
    code = (
        "import numpy as np; from whyguard.core.stats import group_bootstrap;"
        "x = np.arange(9.0); print(repr(tuple(group_bootstrap(list('abcabcabc'),"
        " lambda r: float(x[r].mean()), draws=50, seed=3))))"
    )
    out = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    x = np.arange(9.0)
    here = group_bootstrap(list("abcabcabc"), lambda r: float(x[r].mean()), draws=50, seed=3)
    assert out == [repr(tuple(here)) + "\n"] * 2


def test_a_single_group_has_a_value_and_no_interval() -> None:
    found = mean_interval([1.0, 3.0], ["a", "a"])
    assert (found.value, found.n, found.groups) == (2.0, 2, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_groups_are_drawn_whole() -> None:
    sizes: set[int] = set()
    groups = ["a"] * 3 + ["b"] * 5

    def seen(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        sizes.add(len(rows))
        counts = np.bincount(rows, minlength=8)
        assert len(set(counts[:3])) == 1
        assert len(set(counts[3:])) == 1
        return 0.0

    group_bootstrap(groups, seen, draws=50)
    assert sizes == {6, 8, 10}


def test_undefined_draws_are_left_out() -> None:
    def sometimes(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        return 1.0 if len(set(rows.tolist())) > 1 else float("nan")

    found = group_bootstrap(["a", "b"], sometimes, draws=100)
    assert (found.low, found.high) == (1.0, 1.0)
    nothing = group_bootstrap(["a", "b"], lambda rows: float("nan"), draws=10)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)


def test_order_of_rows_does_not_matter_to_the_interval_width() -> None:
    values, groups = [0.0, 1.0, 2.0, 3.0], ["b", "a", "b", "a"]
    turned = mean_interval(values[::-1], groups[::-1])
    assert mean_interval(values, groups).low == pytest.approx(turned.low)


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="at least one row, got none"):
        group_bootstrap([], lambda rows: 0.0)


def test_groups_of_one_row_are_drawn_like_any_others() -> None:
    names = ["b", "a", "d", "c"]
    values = np.array([1.0, 2.0, 4.0, 8.0])
    found = group_bootstrap(names, lambda rows: float(values[rows].mean()), draws=50, seed=3)
    rng, order = np.random.default_rng(3), np.argsort(names)
    means = [values[order[rng.integers(0, 4, size=4)]].mean() for _ in range(50)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_groups_are_drawn_within_their_strata() -> None:
    groups, strata = list("abcabcde"), list("xxxxxxyy")
    seen: list[list[str]] = []

    def statistic(rows: Any) -> float:
        seen.append([strata[row] for row in rows])
        return float(len(rows))

    found = group_bootstrap(groups, statistic, draws=30, strata=strata)
    assert all(drawn.count("y") == 2 and drawn.count("x") == 6 for drawn in seen)
    assert (found.n, found.groups) == (8, 5)
    alone = group_bootstrap(groups, statistic, draws=30, strata=list("xxxxxxxy"))
    assert math.isnan(alone.low), "a single group in a stratum says nothing of its spread"
