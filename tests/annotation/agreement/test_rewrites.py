"""Rewritten texts beside each other and their originals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.annotation.agreement.making import review
from tests.annotation.made import example, item

from whyguard.annotation.agreement.rewrites import (
    Rewrite,
    against_original,
    between,
    chrf,
    edit_distance,
    levenshtein,
    mean_sums,
    rewrites,
)
from whyguard.annotation.questions import Q, question
from whyguard.core.schemas import Review, ReviewItem
from whyguard.core.tables import Row, frame

ITEMS = [item(example(n), text=f"original {n}") for n in range(2)]


def made(rows: list[Row], asked: Q = Q.CORRECTED_TRANSLATION,
         items: list[Row] = ITEMS) -> list[Rewrite]:  # fmt: skip
    return rewrites(question(asked), frame(Review, rows), frame(ReviewItem, items))


def rated(of: Row, *names: str) -> list[Row]:
    return [review(of, Q.TRANSLATION_ADEQUACY, name, "4") for name in names]


def table_distance(one: str, other: str) -> int:
    """The classic table, a cell at a time."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@pytest.mark.parametrize(("one", "other", "distance"), [
    ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2),
    ("বাংলা", "বাংলায়", 2), ("a" * 300, "a" * 299 + "b", 1),
])  # fmt: skip
def test_known_distances(one: str, other: str, distance: int) -> None:
    assert levenshtein(one, other) == distance


@given(st.text("abc", max_size=80), st.text("abcd", max_size=80))
def test_bits_count_what_the_table_counts(one: str, other: str) -> None:
    assert levenshtein(one, other) == table_distance(one, other)


def test_the_distance_is_a_share_of_the_longer_text() -> None:
    assert edit_distance("kitten", "sitting") == pytest.approx(3 / 7)
    assert edit_distance("", "") == 0.0
    assert edit_distance("ab", "cd") == 1.0


def test_chrf_is_the_same_both_ways() -> None:
    assert chrf("una casa vieya", "una casa vieya") == pytest.approx(100.0)
    assert chrf("una casa", "una casa grande") == chrf("una casa grande", "una casa")
    assert chrf("abcdef", "uvwxyz") == 0.0


def test_who_left_the_correction_out_kept_the_original() -> None:
    rows = [*rated(ITEMS[0], "p1", "p2"),
            review(ITEMS[0], Q.CORRECTED_TRANSLATION, "p1", "another 0"),
            review(ITEMS[1], Q.CORRECTED_TRANSLATION, "p3", "original  1")]  # fmt: skip
    found = made(rows)
    assert [(row.annotator, row.text, row.changed) for row in found] == [
        ("p1", "another 0", True), ("p2", "original 0", False), ("p3", "original 1", False),
    ]  # fmt: skip
    assert [(two.one, two.other) for two in against_original(found)] == [
        ("original 0", "another 0")]  # fmt: skip


def test_versions_are_compared_where_somebody_changed_one() -> None:
    rows = [row for of in ITEMS for row in rated(of, "p1", "p2", "p3")]
    rows += [review(ITEMS[0], Q.CORRECTED_TRANSLATION, "p1", "another")]
    assert [two.who for two in between(made(rows))] == [("p1", "p2"), ("p1", "p3")]


def test_adjudicators_and_items_without_the_text_are_left_aside() -> None:
    bare = item(example(3), rationale=None)
    rows = [
        *rated(bare, "p1"),
        review(ITEMS[0], Q.CORRECTED_RATIONALE, "p2", "x", adjudicator=True),
    ]
    assert made(rows, Q.CORRECTED_RATIONALE, [*ITEMS, bare]) == []


def test_a_question_without_an_original_is_refused() -> None:
    with pytest.raises(KeyError, match="note"):
        made([], Q.NOTE)


def test_means() -> None:
    assert mean_sums([1.0, 0.0, 0.5]).value() == 0.5
    assert str(mean_sums([]).value()) == "nan"
