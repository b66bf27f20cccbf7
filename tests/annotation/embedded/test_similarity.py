"""Cosines by hand."""

import pytest

from whyguard.annotation.embedded.similarity import scores


def test_scores_are_half_of_one_plus_the_cosine() -> None:
    found = scores([[2, 0], [0, 3], [-1, 0], [1, 1]], [5, 0])
    assert found == pytest.approx([1.0, 0.5, 0.0, (1 + 2**-0.5) / 2])


def test_a_vector_without_direction_is_neither_near_nor_far() -> None:
    assert scores([[0, 0], [1, 0]], [1, 0]) == pytest.approx([0.5, 1.0])
    assert scores([[1, 0]], [0, 0]) == [0.5]
