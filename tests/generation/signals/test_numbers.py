"""Numbers are the same number in every script, with every separator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.signals.numbers import numbers_kept, numbers_of

ZEROS = {"Latn": "0", "Beng": "০", "Deva": "०", "Arab": "٠", "Aran": "۰"}


@pytest.mark.parametrize(("source", "text", "share"), [
    ("10 chairs for 3 people", "3 জনের জন্য ১০টি চেয়ার", 1.0),
    ("10 chairs for 3 people", "१० कुर्सियाँ", 0.5),
    ("in 1999", "٢٠٠٠", 0.0),
    ("1,000 euros", "1.000 euros", 1.0),
    ("3.5 metres", "٣٫٥", 1.0),
    ("7 and 7", "7", 0.5),
    ("room 007", "7", 1.0),
    ("no number", "7", None),
])  # fmt: skip
def test_digits(source: str, text: str, share: float | None) -> None:
    assert numbers_kept(source, "eng_Latn", text, "ben_Beng") == share


@pytest.mark.parametrize(("source", "text", "language", "share"), [
    ("3 cats", "tre gatti", "ita_Latn", 1.0),
    ("three cats", "3 gatti", "ita_Latn", 1.0),
    ("three cats", "gatti", "ita_Latn", 0.0),
    ("two cats", "dúas gatas", "glg_Latn", 1.0),
    ("one cat", "un gatto", "ita_Latn", None),
    ("three cats", "তিনটি বিড়াল", "ben_Beng", None),
    ("three cats and 5 dogs", "৫", "ben_Beng", 1.0),
])  # fmt: skip
def test_number_words_count_where_both_languages_are_listed(
    source: str, text: str, language: str, share: float | None
) -> None:
    assert numbers_kept(source, "eng_Latn", text, language) == share


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5), st.sampled_from(list(ZEROS)))
def test_any_digits_are_found_in_any_script(numbers: list[int], script: str) -> None:
    shift = ord(ZEROS[script]) - ord("0")
    local = ["".join(chr(ord(char) + shift) for char in str(number)) for number in numbers]
    assert numbers_of(" ; ".join(local)) == numbers_of(" ; ".join(map(str, numbers)))
    assert numbers_of(" ; ".join(local)).total() == len(numbers)


@given(st.text(max_size=80))
def test_any_text_keeps_its_own_numbers(text: str) -> None:
    assert numbers_kept(text, "eng_Latn", text, "eng_Latn") in (None, 1.0)
