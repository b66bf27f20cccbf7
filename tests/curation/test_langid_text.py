"""curation/langid_text.py."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.curation.langid_text import (
    LABEL,
    measurable,
    normalise,
    thinned,
    training_lines,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nun hai 12 gatos, ¿non?", "nun hai gatos non"),
        ("L\u2019home i l'aigua.", "l' home i l' aigua"),
        ("La pel·lícula és nova.", "la pel·lícula és nova"),
        ("Vio la casa de Danius en Suecia.", "vio la casa de en"),
        ("Llegó tarde. Nadie lo vio.", "llegó tarde nadie lo vio"),
        ("EL PERRO GRANDE", "el perro grande"),
        ("e\u0301l ye bonu", "él ye bonu"),
        ("\u0986\u09ae\u09bf 5", "\u0986\u09ae\u09bf"),
        ("\u4f60\u597d\u5417", "\u4f60 \u597d \u5417"),
        ("123 ... ''", ""),
    ],
)  # fmt: skip
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_normalised_text_has_no_line_breaks_and_single_spaces(text: str) -> None:
    found = normalise(text)
    assert found == " ".join(found.split())
    assert "\n" not in found


def test_measurable_needs_three_words() -> None:
    assert not measurable("")
    assert not measurable("dos pallabres")
    assert measurable("son tres pallabres")


def test_each_language_gets_the_same_number_of_lines() -> None:
    texts = {"spa_Latn": ["uno dos tres cuatro"], "eng_Latn": ["one two", "three four five"] * 5}
    lines = training_lines(texts, rows=40, max_rows=100, piece_words=(2, 3), seed=1)
    assert Counter(line.split()[0] for line in lines) == {
        f"{LABEL}spa_Latn": 40,
        f"{LABEL}eng_Latn": 40,
    }
    assert lines == training_lines(texts, rows=40, max_rows=100, piece_words=(2, 3), seed=1)
    assert lines != training_lines(texts, rows=40, max_rows=100, piece_words=(2, 3), seed=2)


def test_large_languages_are_thinned() -> None:
    texts = {"spa_Latn": [f"uno dos {'x' * n}" for n in range(1, 200)], "eng_Latn": ["one two"]}
    lines = training_lines(texts, rows=10, max_rows=60, piece_words=(2, 3), seed=1)
    assert len(lines) == 120


def test_thinned_is_even() -> None:
    assert thinned("abcdefgh", 4) == ["a", "c", "e", "g"]
    assert thinned("ab", 4) == "ab"
