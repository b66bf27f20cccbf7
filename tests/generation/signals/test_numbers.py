"""Numbers are the same number in every script, with every separator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.signals.numbers import numbers_kept, numbers_of

ZEROS = {"Latn": "0", "Beng": "০", "Deva": "०", "Arab": "٠", "Aran": "۰"}


@pytest.mark.parametrize(("source", "text", "share"), [
    ("10 chairs for 3 people", "3 জনের জন্য ১০টি চেয়ার", 1.0),
    ("113 chairs for 240 people", "११३ कुर्सियाँ", 0.5),
    ("in 1999", "٢٠٠٠", 0.0),
    ("1,000 euros", "1.000 euros", 1.0),
    ("3.5 metres", "٣٫٥", 1.0),
    ("117 and 117", "117", 0.5),
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
    ("two cats", "dos gatos", "glg_Latn", 0.0),  # dos: of the
    ("one cat", "un gatto", "ita_Latn", None),
    ("three cats", "তিনটি বিড়াল", "ben_Beng", None),
    ("three cats and 5 dogs", "৫", "ben_Beng", 1.0),
])  # fmt: skip
def test_number_words_count_where_both_languages_are_listed(
    source: str, text: str, language: str, share: float | None
) -> None:
    assert numbers_kept(source, "eng_Latn", text, language) == share


@pytest.mark.parametrize(("source", "text", "language", "share"), [
    ("3 cats", "তিনটি বিড়াল", "ben_Beng", None),  # no list
    ("6 cats", "sei gatti", "ita_Latn", None),  # a homograph, so not in the list
    ("9 cats", "nou gats", "cat_Latn", None),
    ("16 cats", "sedici gatti", "ita_Latn", None),  # not in the list
    ("1000 cats", "mille gatti", "ita_Latn", None),
    ("3 cats", "gatti", "ita_Latn", 0.0),
    ("1999", "gatti", "ita_Latn", 0.0),
    ("2.5 metres", "metri", "ita_Latn", 0.0),
    ("7 and 7", "7", "ben_Beng", None),
    ("7 and 1999", "7", "ben_Beng", 0.5),
    ("7 and 1999", "", "ben_Beng", 0.0),
    ("7 and 1999 and 240", "240", "ben_Beng", 0.5),
])  # fmt: skip
def test_what_may_be_spelt_out_is_not_lost(
    source: str, text: str, language: str, share: float | None
) -> None:
    assert numbers_kept(source, "eng_Latn", text, language) == share


@pytest.mark.parametrize(("text", "language"), [
    ("sei vecchia", "ita_Latn"), ("i venti", "ita_Latn"), ("a casa dos vellos", "glg_Latn"),
    ("un pastel doce", "glg_Latn"), ("un llibre nou", "cat_Latn"), ("tinc set", "cat_Latn"),
    ("deu ser vell", "cat_Latn"), ("un libre nòu", "oci_Latn"), ("tres la puerta", "ast_Latn"),
])  # fmt: skip
def test_words_with_another_meaning_are_no_numbers(text: str, language: str) -> None:
    assert not numbers_of(text, language)


@pytest.mark.parametrize(("source", "text", "share"), [
    ("3.5 g", "35 g", 0.0),
    ("0.125 g", "125 g", 0.0),
    ("12.50 euros", "12,5 euros", 1.0),
    ("2.0 litres", "2 litres", 1.0),
    ("1,000.50 euros", "1.000,50 euros", 1.0),
    ("1000.50 euros", "1.000,50 euros", 1.0),
    ("1.5 litres", "১٫৫", 1.0),
    ("1,00,000 rupees", "100.000", 1.0),
    ("12.05.2024", "12.05.2024", 1.0),
])  # fmt: skip
def test_decimals(source: str, text: str, share: float) -> None:
    assert numbers_kept(source, "eng_Latn", text, "ita_Latn") == share


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5), st.sampled_from(list(ZEROS)))
def test_any_digits_are_found_in_any_script(numbers: list[int], script: str) -> None:
    shift = ord(ZEROS[script]) - ord("0")
    local = ["".join(chr(ord(char) + shift) for char in str(number)) for number in numbers]
    assert numbers_of(" ; ".join(local)) == numbers_of(" ; ".join(map(str, numbers)))
    assert numbers_of(" ; ".join(local)).total() == len(numbers)


@given(st.text(max_size=80))
def test_any_text_keeps_its_own_numbers(text: str) -> None:
    assert numbers_kept(text, "eng_Latn", text, "eng_Latn") in (None, 1.0)
