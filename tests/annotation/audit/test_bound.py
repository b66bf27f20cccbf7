"""Exact bounds: against enumeration, against scipy, and what must be monotone."""

import importlib
import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyguard.annotation.audit.bound import (
    at_most,
    lower_count,
    lower_rate,
    sample_size,
    shared_alpha,
    statement,
    upper_count,
    upper_rate,
)
from whyguard.core.errors import ConfigError, DataError

ALPHAS = (0.05, 0.05 / 3, 0.21)
SMALL = [(pool, drawn) for pool in range(1, 13) for drawn in range(pool + 1)]


def exactly_at_most(wrong: int, pool: int, bad: int, drawn: int) -> Fraction:
    """P(X <= wrong) by counting every sample."""
    ways = sum(math.comb(bad, x) * math.comb(pool - bad, drawn - x) for x in range(wrong + 1))
    return Fraction(ways, math.comb(pool, drawn))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_upper_bound_is_the_largest_count_that_enumeration_allows(alpha: float) -> None:
    checked = 0
    for pool, drawn in SMALL:
        for wrong in range(drawn + 1):
            possible = [bad for bad in range(wrong, pool - (drawn - wrong) + 1)
                        if exactly_at_most(wrong, pool, bad, drawn) > alpha - 1e-9]  # fmt: skip
            assert upper_count(pool, drawn, wrong, alpha) == max(possible)
            checked += 1
    assert checked == 454


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_bounds_fail_in_at_most_alpha_of_all_samples(alpha: float) -> None:
    for pool, drawn in SMALL:
        for bad in range(pool + 1):
            above = below = Fraction(0)
            for wrong in range(max(0, drawn - (pool - bad)), min(drawn, bad) + 1):
                ways = Fraction(math.comb(bad, wrong) * math.comb(pool - bad, drawn - wrong),
                                math.comb(pool, drawn))  # fmt: skip
                above += ways * (upper_count(pool, drawn, wrong, alpha) < bad)
                below += ways * (lower_count(pool, drawn, wrong, alpha) > bad)
            assert above <= alpha and below <= alpha, (pool, drawn, bad)


def test_probabilities_are_those_of_drawing_real_subsets() -> None:
    pool, bad, drawn = 7, 3, 4
    draws = list(itertools.combinations(range(pool), drawn))
    for wrong in range(drawn + 1):
        found = sum(sum(row < bad for row in draw) <= wrong for draw in draws)
        assert at_most(wrong, pool, bad, drawn) == pytest.approx(found / len(draws), abs=1e-12)


def test_large_pools_agree_with_scipy() -> None:
    stats = importlib.import_module("scipy.stats")
    beta, hypergeom = stats.beta, stats.hypergeom

    for pool, drawn, wrong in ((500, 20, 0), (100_000, 300, 12), (1200, 600, 250), (2000, 1999, 7)):
        top = upper_count(pool, drawn, wrong)
        assert hypergeom.cdf(wrong, pool, top, drawn) > 0.05
        if top < pool - (drawn - wrong):
            assert hypergeom.cdf(wrong, pool, top + 1, drawn) <= 0.05
    assert upper_rate(None, 60, 3) == pytest.approx(beta.ppf(0.95, 4, 57), abs=1e-7)
    assert lower_rate(None, 60, 3) == pytest.approx(beta.ppf(0.05, 3, 58), abs=1e-7)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 400), st.data())
def test_more_errors_raise_both_bounds_and_a_larger_sample_lowers_the_upper(
        pool: int, data: st.DataObject) -> None:  # fmt: skip
    drawn = data.draw(st.integers(1, pool - 1))
    wrong = data.draw(st.integers(0, drawn - 1))
    assert upper_count(pool, drawn, wrong) <= upper_count(pool, drawn, wrong + 1)
    assert lower_count(pool, drawn, wrong) <= lower_count(pool, drawn, wrong + 1)
    assert upper_count(pool, drawn + 1, wrong) <= upper_count(pool, drawn, wrong)
    assert wrong <= lower_count(pool, drawn, wrong) <= upper_count(pool, drawn, wrong) <= pool
    assert upper_count(pool, drawn, wrong, 0.05) <= upper_count(pool, drawn, wrong, 0.01)
    assert upper_rate(pool, drawn, wrong) <= upper_rate(None, drawn, wrong) + 1e-9


def test_a_whole_pool_leaves_no_doubt() -> None:
    assert upper_count(40, 40, 7) == lower_count(40, 40, 7) == 7
    assert upper_rate(0, 0, 0) == upper_rate(9, 0, 0) == upper_rate(None, 0, 0) == 1.0
    assert lower_rate(9, 0, 0) == lower_rate(None, 0, 0) == 0.0


def test_the_sample_size_is_the_smallest_that_does() -> None:
    for pool, target, wrong in ((500, 0.05, 0), (500, 0.05, 2), (60, 0.1, 0), (20, 0.0, 0)):
        size = sample_size(pool, target, wrong)
        assert upper_rate(pool, size, wrong) <= target
        assert size == wrong or upper_rate(pool, size - 1, wrong) > target
    with pytest.raises(ConfigError, match=r"target_rate\n(.*\n)*.*raise the target rate"):
        sample_size(50, 0.01, 1)


def test_impossible_samples_are_errors() -> None:
    for pool, drawn, wrong, alpha in ((5, 6, 0, 0.05), (5, 3, 4, 0.05), (5, 3, -1, 0.05),
                                      (5, 3, 1, 0.0), (5, 3, 1, 1.0)):  # fmt: skip
        with pytest.raises(DataError, match="count the audit's items again"):
            upper_count(pool, drawn, wrong, alpha)


def test_bonferroni_shares_the_level() -> None:
    assert shared_alpha(3) == pytest.approx(0.05 / 3)
    assert shared_alpha(0) == shared_alpha(1) == 0.05


def test_sentences() -> None:
    assert statement(None, 20, 0) == ("0 wrong of 20: at most 14.0 % of the rows are wrong (95 %); "
                                      "the audit is too small to say less")  # fmt: skip
    assert statement(500, 20, 0).startswith("0 wrong of 20: at most 13.6 % of the 500 rows")
    assert statement(500, 100, 3, level="95 %, all 3 questions") == (
        "3 wrong of 100: at most 7.0 % of the 500 rows are wrong (95 %, all 3 questions)"
    )
    assert statement(20, 20, 0) == "0 wrong of 20: at most 0.0 % of the 20 rows are wrong (95 %)"
    assert statement(7, 0, 0) == "nothing was answered: nothing is known of the 7 rows"
