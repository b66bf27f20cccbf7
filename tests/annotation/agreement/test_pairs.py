"""Cohen's kappa of pairs."""

import warnings
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.agreement.making import table, tables

from whyguard.annotation.agreement.pairs import kappa, kappa_sums
from whyguard.annotation.agreement.ratings import Ratings


def test_labels_by_hand() -> None:
    """Cohen (1960) on the textbook table of 20, 5, 10 and 15: 0.7 agreed, 0.5 by chance."""
    pair = table("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15, domain="yn")
    assert kappa(pair, weighted=False).value == pytest.approx(0.4, abs=1e-9)


def test_ratings_by_hand() -> None:
    pair = table("1235", "1244", domain="12345")
    chance = Fraction(sum((a - b) ** 2 for a in (1, 2, 3, 5) for b in (1, 2, 4, 4)), 16)
    expected = float(1 - Fraction(1 + 1, 4) / chance)
    assert expected == float(Fraction(27, 31))
    assert kappa(pair, weighted=True).value == pytest.approx(expected, abs=1e-9)


def test_items_that_one_left_out_are_not_compared() -> None:
    whole, gaps = table("yynn", "ynnn", domain="yn"), table("yynnyn", "ynnn..", domain="yn")
    assert kappa(gaps, weighted=False) == kappa(whole, weighted=False)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("rows", "reason"), [
    (("y.", ".n"), "no item was answered by both"), (("yyn", "yy."), "all answers are the same"),
])  # fmt: skip
def test_what_has_no_kappa_says_why(weighted: bool, rows: tuple[str, str], reason: str) -> None:
    pair = table(*rows, domain="yn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kappa(pair, weighted=weighted)
        assert str(kappa_sums(pair, weighted=weighted).value()) == "nan"
    assert found.value is None and reason in (found.reason or "")


@given(tables("12345", most=2), st.booleans())
def test_sums_are_the_librarys_kappa(pair: Ratings, weighted: bool) -> None:
    library, ours = kappa(pair, weighted=weighted), kappa_sums(pair, weighted=weighted).value()
    if library.value is None:
        assert str(ours) == "nan"
    else:
        assert ours == pytest.approx(library.value, abs=1e-12)
