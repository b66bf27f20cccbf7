"""Krippendorff's alpha: published examples as exact fractions, and what has no alpha."""

import warnings
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.agreement.making import FOUR_OBSERVERS, table, tables

from whyguard.annotation.agreement.alpha import Level, alpha, alpha_sums, level_of
from whyguard.annotation.agreement.ratings import Ratings
from whyguard.annotation.questions import Q, question

Matrix = list[list[Fraction]]
Distance = Callable[[int, int, list[Fraction]], Fraction]


def nominal(c: int, k: int, n: list[Fraction]) -> Fraction:
    return Fraction(c != k)


def ordinal(c: int, k: int, n: list[Fraction]) -> Fraction:
    low, high = min(c, k), max(c, k)
    return (sum(n[low : high + 1], Fraction(0)) - (n[low] + n[high]) / 2) ** 2


def exact(coincidences: Matrix, distance: Distance) -> Fraction:
    """1 - (n - 1) * sum of o_ck d_ck / sum of n_c n_k d_ck, from a coincidence matrix."""
    n = [sum(row, Fraction(0)) for row in coincidences]
    cells = [(c, k) for c in range(len(n)) for k in range(len(n))]
    observed = sum((coincidences[c][k] * distance(c, k, n) for c, k in cells), Fraction(0))
    expected = sum((n[c] * n[k] * distance(c, k, n) for c, k in cells), Fraction(0))
    return 1 - (sum(n, Fraction(0)) - 1) * observed / expected


def thirds(*rows: str) -> Matrix:
    return [[Fraction(int(cell), 3) for cell in row.split()] for row in rows]


# The coincidence matrix of the paper's section C, in thirds: 9, 13, 10, 5 and 3 answers.
FOUR = thirds("21 4 1 1 0", "4 30 4 1 0", "1 4 24 1 0", "1 1 1 12 0", "0 0 0 0 9")


@pytest.mark.parametrize(("level", "distance", "published"), [
    (Level.NOMINAL, nominal, 0.743), (Level.ORDINAL, ordinal, 0.815),
])  # fmt: skip
def test_four_observers_with_missing_answers(
    level: Level, distance: Distance, published: float
) -> None:
    expected = exact(FOUR, distance)
    assert round(float(expected), 3) == published
    found = table(*FOUR_OBSERVERS, domain="12345")
    assert alpha(found, level).value == pytest.approx(float(expected), abs=1e-9)
    assert alpha_sums(found, level).value() == pytest.approx(float(expected), abs=1e-9)


def test_two_observers_of_binary_data() -> None:
    expected = exact(thirds("30 12", "12 6"), nominal)
    assert expected == 1 - Fraction(19 * 4, 14 * 6) and round(float(expected), 3) == 0.095
    found = table("0100000010", "1110010000", domain="01")
    assert alpha(found, Level.NOMINAL).value == pytest.approx(float(expected), abs=1e-9)


def test_two_observers_of_nominal_data() -> None:
    expected = 1 - Fraction(23 * 6, 24**2 - 4**2 - 6**2 - 6**2 - 6**2 - 2**2)
    assert round(float(expected), 3) == 0.692
    found = table("aabbdcccedda", "babbbccceddd", domain="abcde")
    assert alpha(found, Level.NOMINAL).value == pytest.approx(float(expected), abs=1e-9)


def test_sets_by_hand() -> None:
    none, a, c, both = "[]", '["literal"]', '["wrong_register"]', '["literal","wrong_language"]'
    found = table([a, a, both, none], [a, both, c, none], domain=[none, a, c, both])
    # 2 empty, 3 a, 1 c, 2 both; only a and both are nearer than 1: 1 - 1/2 * 2/3 = 2/3
    observed = 2 * Fraction(2, 3) + 2 * 1
    expected = 2 * (2 * 3 + 2 * 1 + 2 * 2 + 3 * 1 + 3 * 2 * Fraction(2, 3) + 1 * 2)
    assert alpha(found, Level.MASI).value == pytest.approx(
        float(1 - 7 * observed / expected), abs=1e-9)  # fmt: skip


@pytest.mark.parametrize("level", [Level.NOMINAL, Level.ORDINAL])
@pytest.mark.parametrize(("rows", "reason"), [
    (("1.2.", ".1.2"), "no item has two answers"),
    (("", ""), "no item has two answers"),
    (("1111", "1111"), "all answers are the same"),
    (("1.1", "11."), "all answers are the same"),
    (("12", "1."), "all answers are the same"),  # the 2 has nothing to be paired with
])  # fmt: skip
def test_what_has_no_alpha_says_why(level: Level, rows: tuple[str, str], reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = alpha(table(*rows, domain="12"), level)
        assert str(alpha_sums(table(*rows, domain="12"), level).value()) == "nan"
    assert found.value is None
    assert found.reason and reason in found.reason


def test_no_answers_at_all() -> None:
    assert alpha(table([], [], domain=[]), Level.MASI).value is None


def test_perfect_and_reversed_agreement() -> None:
    assert alpha(table("1212", "1212", domain="12"), Level.NOMINAL).value == 1.0
    found = alpha(table("1212", "2121", domain="12"), Level.NOMINAL).value
    assert found == pytest.approx(float(1 - Fraction(7 * 8, 32)), abs=1e-9)


def _equal(found: Ratings, level: Level) -> None:
    library, ours = alpha(found, level), alpha_sums(found, level).value()
    if library.value is None:
        assert str(ours) == "nan"
    else:
        assert ours == pytest.approx(library.value, abs=1e-12, rel=1e-12)


@given(tables("12345"), st.sampled_from([Level.NOMINAL, Level.ORDINAL]))
def test_sums_are_the_librarys_alpha(found: Ratings, level: Level) -> None:
    _equal(found, level)


@given(tables(["[]", '["a"]', '["b"]', '["a","b"]', '["a","b","c"]']))
def test_sums_are_the_librarys_alpha_of_sets(found: Ratings) -> None:
    _equal(found, Level.MASI)


def test_levels_of_questions() -> None:
    names = [Q.VERDICT, Q.RATIONALE_QUALITY, Q.ISSUES]
    assert [level_of(question(name)) for name in names] == list(Level)
    with pytest.raises(KeyError, match="text"):
        level_of(question(Q.NOTE))
