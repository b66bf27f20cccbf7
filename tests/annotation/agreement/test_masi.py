"""MASI, computed by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.agreement.masi import masi_distance, masi_distances

_sets = st.frozensets(st.sampled_from("abcd"))


@pytest.mark.parametrize(("one", "other", "jaccard", "monotonicity"), [
    ("ab", "ab", Fraction(1), Fraction(1)),
    ("a", "ab", Fraction(1, 2), Fraction(2, 3)),
    ("abc", "a", Fraction(1, 3), Fraction(2, 3)),
    ("ab", "bc", Fraction(1, 3), Fraction(1, 3)),
    ("abc", "bcd", Fraction(2, 4), Fraction(1, 3)),
    ("ab", "cd", Fraction(0), Fraction(0)),
    ("", "a", Fraction(0), Fraction(2, 3)),
])  # fmt: skip
def test_by_hand(one: str, other: str, jaccard: Fraction, monotonicity: Fraction) -> None:
    expected = float(1 - jaccard * monotonicity)
    assert masi_distance(frozenset(one), frozenset(other)) == pytest.approx(expected, abs=1e-9)


def test_two_empty_sets_are_the_same() -> None:
    assert masi_distance(frozenset(), frozenset()) == 0.0


@given(_sets, _sets)
def test_it_is_symmetric_bounded_and_0_for_equal_sets_alone(
    one: frozenset[str], other: frozenset[str]
) -> None:
    distance = masi_distance(one, other)
    assert distance == masi_distance(other, one)
    assert 0.0 <= distance <= 1.0
    assert (distance == 0.0) == (one == other)


def test_a_domains_distances() -> None:
    found = masi_distances([frozenset(), frozenset("a"), frozenset("ab")])
    assert found.tolist() == [[0, 1, 1], [1, 0, pytest.approx(2 / 3)], [1, pytest.approx(2 / 3), 0]]
    assert masi_distances([]).shape == (0, 0)
