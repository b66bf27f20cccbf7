"""Gwet's AC1 and raw agreement, by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from tests.annotation.agreement.making import FOUR_OBSERVERS, table, tables

from whyguard.annotation.agreement.ac1 import ac1, raw_agreement
from whyguard.annotation.agreement.alpha import Level, alpha
from whyguard.annotation.agreement.pairs import kappa
from whyguard.annotation.agreement.ratings import Ratings


def by_hand(agreed: Fraction, shares: list[Fraction]) -> float:
    assert sum(shares) == 1
    chance = sum((p * (1 - p) for p in shares), Fraction(0)) / (len(shares) - 1)
    return float((agreed - chance) / (1 - chance))


def test_four_raters_with_missing_answers() -> None:
    """The data of Gwet (2014), page 120; the R package irrCAC prints 0.77544 for it."""
    found = table(*FOUR_OBSERVERS, domain="12345")
    agreed = Fraction(8 + 1, 11)  # 8 items of 11 are whole, two agree by half, one not at all
    expected = by_hand(agreed, [Fraction(n, 48) for n in (12, 13, 14, 5, 4)])
    assert round(expected, 5) == 0.77544
    assert ac1(found).value == pytest.approx(expected, abs=1e-9)
    assert raw_agreement(found).value == pytest.approx(float(agreed), abs=1e-9)


def test_a_rare_label_kappa_and_alpha_collapse_and_ac1_does_not() -> None:
    pair = table("u" * 90 + "h" * 5 + "u" * 5, "u" * 90 + "u" * 5 + "h" * 5, domain="hu")
    expected = by_hand(Fraction(90, 100), [Fraction(1, 20), Fraction(19, 20)])
    assert expected == float(Fraction(161, 181))
    assert ac1(pair).value == pytest.approx(expected, abs=1e-9)
    assert kappa(pair, weighted=False).value == pytest.approx(float(Fraction(-1, 19)), abs=1e-9)
    collapsed = alpha(pair, Level.NOMINAL).value
    assert collapsed == pytest.approx(float(1 - Fraction(199 * 20, 2 * 10 * 190)), abs=1e-9)


def test_three_raters_one_item_with_one_answer() -> None:
    """An item with one answer counts for the labels' shares and not for agreement."""
    found = table("hhuu", "hu.u", "huu.", domain="hu")
    expected = by_hand((1 + Fraction(1, 3) + 1 + 1) / 4,
                       [(1 + Fraction(1, 3)) / 4, (Fraction(2, 3) + 2) / 4])  # fmt: skip
    assert ac1(found).value == pytest.approx(expected, abs=1e-9)
    alone = table("hhuuh", "hu.u.", "huu..", domain="hu")
    expected = by_hand((1 + Fraction(1, 3) + 1 + 1) / 4,
                       [(2 + Fraction(1, 3)) / 5, (Fraction(2, 3) + 2) / 5])  # fmt: skip
    assert ac1(alone).value == pytest.approx(expected, abs=1e-9)


def test_all_the_same_is_full_agreement() -> None:
    assert ac1(table("uuu", "uuu", domain="hu")).value == 1.0


@pytest.mark.parametrize("rows", [("h.", ".u"), ("", "")])
def test_nothing_to_compare(rows: tuple[str, str]) -> None:
    found = ac1(table(*rows, domain="hu"))
    assert found.value is None and found.reason == "no item has two answers"
    assert raw_agreement(table(*rows, domain="hu")).value is None


@given(tables("hu"))
def test_it_lies_between_minus_one_and_the_raw_agreement_or_above(found: Ratings) -> None:
    value, raw = ac1(found).value, raw_agreement(found).value
    assert (value is None) == (raw is None)
    if value is not None and raw is not None:
        assert -1.0 - 1e-12 <= value <= raw + 1e-12
