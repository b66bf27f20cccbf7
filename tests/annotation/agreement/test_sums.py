"""The bootstrap of sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.agreement.making import table, tables

from whyguard.annotation.agreement.alpha import Level, alpha, alpha_sums
from whyguard.annotation.agreement.ratings import Ratings
from whyguard.annotation.agreement.sums import interval
from whyguard.core.stats import group_bootstrap


def _taken(found: Ratings, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Ratings:
    return Ratings(tuple(found.units[i] for i in rows), tuple(found.groups[i] for i in rows),
                   found.annotators, found.domain, found.codes[rows])  # fmt: skip


def test_it_is_the_bootstrap_of_the_librarys_figure() -> None:
    rng = np.random.default_rng(7)
    rows = ["".join(rng.choice(list("1234."), 40)) for _ in range(3)]
    found = table(*rows, domain="1234")
    kept = _taken(found, np.flatnonzero(found.pairable()))

    def whole(picked: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        value = alpha(_taken(kept, picked), Level.ORDINAL).value
        return float("nan") if value is None else value

    spread = interval(alpha_sums(found, Level.ORDINAL), found.groups, 60, 3)
    slow = group_bootstrap(kept.groups, whole, draws=60, seed=3)
    assert spread.interval == pytest.approx(slow, abs=1e-12)
    assert spread.defined == 60


def test_items_of_one_group_stand_or_fall_together() -> None:
    found = table("hhuuhhuu", "hhuuuuhh", domain="hu")  # the first half agrees, the second does not
    sums = alpha_sums(found, Level.NOMINAL)
    apart = interval(sums, found.groups, 400, 1).interval
    together = interval(sums, ["a"] * 4 + ["b"] * 4, 400, 1).interval
    assert together.high - together.low > apart.high - apart.low
    assert (together.low, together.high) == pytest.approx((1 - 15 * 16 / 128, 1.0))


def test_one_group_has_no_interval() -> None:
    spread = interval(alpha_sums(table("hu", "hu", domain="hu"), Level.NOMINAL), ["a", "a"], 50, 1)
    assert spread.defined == 0 and np.isnan(spread.interval.low)


def test_draws_without_a_value_are_counted() -> None:
    found = table("hu", "hu", domain="hu")  # every draw of one item twice has one label alone
    spread = interval(alpha_sums(found, Level.NOMINAL), found.groups, 200, 1)
    assert 60 < spread.defined < 140


@given(tables("hu"), st.integers(0, 5))
def test_an_interval_is_the_same_on_every_run(found: Ratings, seed: int) -> None:
    sums = alpha_sums(found, Level.NOMINAL)
    if not np.isnan(sums.value()):
        once, again = (interval(sums, found.groups, 20, seed) for _ in range(2))
        assert repr(once) == repr(again)
